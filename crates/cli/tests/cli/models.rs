//! Models without training: plans, promises, and weights that come and go.

use std::path::Path;

use crate::support::Work;

#[test]
fn the_paper_preset_has_the_parameters_of_the_paper() {
    let plan = Work::new().run(&["plan", "llp-paper", "--quick", "--json"]).succeeds().json();
    assert_eq!(plan["parameters"].as_u64(), Some(214_640_452));
    for key in ["flops_per_token", "score_entries", "peak_memory_bytes", "state_bytes"] {
        assert!(plan[key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert!(plan["seconds_total"].is_null());
}

#[test]
fn a_plan_measures_and_warns_before_memory_runs_out() {
    let work = Work::new();
    let small = ["plan", "llp-tiny", "--set", "model.dim=16", "--set", "model.context=512", "--json"];
    assert!(work.run(&small).succeeds().json()["seconds_total"].as_f64().unwrap() > 0.0);
    if !Path::new("/proc/meminfo").exists() {
        return println!("skipped: free memory is known on Linux only");
    }
    let large = work.run(&["plan", "llp-paper", "--set", "train.batch=100000"]).succeeds();
    assert!(large.stderr.contains("warning: training needs about"), "{}", large.stderr);
}

#[test]
fn promises_are_verified_for_presets_and_runs() {
    let work = Work::trained(3);
    for model in ["llp-tiny", "run"] {
        let report = work.run(&["verify", model, "--json"]).succeeds().json();
        assert_eq!(report["passed"].as_bool(), Some(true));
        let checks = report["checks"].as_array().unwrap();
        for key in ["name", "passed", "value", "limit"] {
            assert!(checks.iter().all(|check| check.get(key).is_some()), "{key}");
        }
    }
    let refusal = work.run(&["verify", "llp-tyni"]).stderr;
    assert!(refusal.contains("did you mean `llp-tiny`?"), "{refusal}");
}

#[test]
fn an_exported_model_is_used_like_its_run_and_imported_again() {
    let work = Work::trained(10);
    let exported = work.run(&["export", "run", "--out", "out", "--json"]).succeeds().json();
    assert_eq!(exported["step"].as_u64(), Some(10));
    let generate = |run: &str| work.run(&["generate", run, "--prompt", "The", "--tokens", "30"]).succeeds().stdout;
    assert_eq!(generate("out"), generate("run"));
    work.run(&["import", "out/model.safetensors", "--out", "again"]).succeeds();
    assert_eq!(generate("again"), generate("run"));
    // An exported folder is taken: it is not written over.
    assert_eq!(work.run(&["export", "run", "--out", "out"]).code, 2);
    work.train(&["--steps", "1", "--run", "further", "--init-from", "again"]).succeeds();
}

#[test]
fn weights_of_fewer_bits_write_text_of_the_same_length() {
    let work = Work::trained(3);
    let generate = |weights: &str| {
        let arguments = ["generate", "run", "--prompt", "The", "--tokens", "30", "--json", "--weights", weights];
        work.run(&arguments).succeeds().json()
    };
    for weights in ["f32", "bf16", "int8"] {
        assert_eq!(generate(weights)["tokens"].as_u64(), Some(30), "{weights}");
        assert_eq!(generate(weights)["text"], generate(weights)["text"], "{weights}");
    }
    let refusal = work.run(&["generate", "run", "--prompt", "x", "--weights", "int4"]);
    assert_eq!(refusal.code, 2);
    assert!(refusal.stderr.contains("int8"), "{}", refusal.stderr);
}

#[test]
fn what_rounded_weights_cost_is_scored() {
    let work = Work::trained(60);
    let eval = |more: &[&'static str]| {
        work.run(&[&["eval", "run", "--data", "text.txt", "--json"], more].concat()).succeeds().json()
    };
    let exact = eval(&[]);
    assert_eq!(exact["weights"], "f32");
    let bits = |score: &serde_json::Value| score["bits_per_byte"].as_f64().unwrap();
    for weights in ["bf16", "int8"] {
        let whole = eval(&["--weights", weights]);
        assert_eq!(whole["weights"], weights);
        assert!(whole["model"].as_str().unwrap().ends_with(&format!(", {weights} weights")), "{whole}");
        let off = (bits(&whole) - bits(&exact)).abs();
        assert!(off > 1e-7 && off < 0.05, "{weights}: {} {}", bits(&whole), bits(&exact));
        let windows = eval(&["--weights", weights, "--window", "64", "--stride", "32"]);
        assert_ne!(bits(&windows), bits(&eval(&["--window", "64", "--stride", "32"])), "{weights} in windows");
    }
}

#[test]
fn weights_go_out_and_come_in_under_the_authors_names() {
    let work = Work::new();
    let paper = ["train", "llp-paper", "--data", "text.txt", "--run", "run", "--steps", "2"];
    let sizes =
        ["vocab=257", "dim=16", "depth=2", "heads=2", "context=64", "segment=16"].map(|set| format!("model.{set}"));
    let mut arguments: Vec<&str> = paper.to_vec();
    arguments.extend(sizes.iter().flat_map(|set| ["--set", set.as_str()]));
    arguments.extend(["--set", "train.batch=1", "--set", "data.tokenizer=bytes", "--set", "sample.tokens=0"]);
    work.run(&arguments).succeeds();
    work.run(&["export", "run", "--out", "out", "--names", "paper"]).succeeds();
    let names = work.run(&["import", "out/model.safetensors", "--out", "again"]);
    assert!(names.stderr.contains("does not say what its model is"), "{}", names.stderr);
    let import = ["import", "out/model.safetensors", "--config", "out/config.toml", "--out", "again", "--json"];
    let imported = work.run(&import).succeeds().json();
    assert_eq!(imported["ignored"].as_array().map(Vec::len), Some(0));
    let generate = |run: &str| work.run(&["generate", run, "--prompt", "The", "--tokens", "30"]).succeeds().stdout;
    assert_eq!(generate("again"), generate("run"));
}

#[test]
fn longer_contexts_are_planned_for_several_models() {
    let work = Work::new();
    let models = "llp-tiny,transformer-tiny,perceiver-ar";
    let plan = ["plan", "llp-tiny", "--context", "1k..1M", "--models", models, "--svg", "out/costs.svg"];
    let json = work.run(&[&plan[..], &["--flops-per-second", "1e12", "--json"]].concat()).succeeds().json();
    assert_eq!(json["contexts"], serde_json::json!([1024, 4096, 16_384, 65_536, 262_144, 1_048_576]));
    let last = |model: usize, key: &str| json["models"][model]["costs"][5][key].as_f64().unwrap();
    for key in ["flops_per_token", "score_entries", "state_bytes", "seconds_per_token"] {
        assert!(last(0, key) > 0.0 && last(1, key) > last(0, key), "{key}");
    }
    // Fused attention keeps no scores: both keep the same rows.
    assert_eq!(last(0, "memory_bytes"), last(1, "memory_bytes"));
    assert_eq!(last(0, "seconds_per_token"), last(0, "training_flops_per_token") / 1e12);
    let svg = std::fs::read_to_string(work.path("out/costs.svg")).unwrap();
    for part in ["llp-tiny", "transformer-tiny", "perceiver-ar", "At 1M tokens", ">64k</text>"] {
        assert!(svg.contains(part), "{part}");
    }
    let text = work.run(&["plan", "llp-tiny", "--context", "64k", "--quick"]).succeeds().stdout;
    assert!(text.contains("llp-tiny") && text.contains("65,536"), "{text}");
}

#[test]
fn a_wrong_context_or_model_is_refused() {
    let work = Work::new();
    insta::assert_snapshot!(work.run(&["plan", "--context", "8k..1k"]).refusal(), @r"
    exit 2
    error: --context: `8k..1k` does not rise
    hint: write 8k, a list 1k,8k,64k, or a range 1k..1M
    ");
    insta::assert_snapshot!(work.run(&["plan", "--context", "1k", "--models", "transfomer", "--quick"]).refusal(), @r"
    exit 2
    error: --models: `transfomer` is no preset, file or mixer
    hint: did you mean `transformer`?
    ");
    insta::assert_snapshot!(work.run(&["plan", "--context", "1k", "--flops-per-second", "0"]).refusal(), @r"
    exit 2
    error: --flops-per-second 0 is not a speed
    hint: operations per second, e.g. 6e10 for two cores or 2e14 for a GPU
    ");
    insta::assert_snapshot!(work.run(&["plan", "--models", "llp"]).refusal(), @r"
    exit 2
    error: the following required arguments were not provided: --context <TOKENS>
    hint: `percept plan --help` shows what is accepted
    ");
}

#[test]
fn what_has_no_weights_gets_the_hint_that_helps() {
    let work = Work::new();
    assert_eq!(work.train(&["--steps", "9", "--set", "train.learning_rate=1e35"]).code, 1);
    let diverged = work.run(&["eval", "run", "--data", "text.txt"]).refusal();
    assert!(diverged.starts_with("exit 3\nerror: run has no checkpoint: training diverged"), "{diverged}");
    assert!(diverged.contains("hint: train again") && !diverged.contains("resume"), "{diverged}");
    let work = Work::trained(1);
    work.run(&["export", "run", "--out", "out"]).succeeds();
    std::fs::remove_file(work.path("out/model.safetensors")).unwrap();
    insta::assert_snapshot!(work.run(&["generate", "out", "--prompt", "a"]).refusal(), @r"
    exit 3
    error: out has no model.safetensors: its weights are gone
    hint: export or import it again into another folder
    ");
}

#[test]
fn a_text_may_begin_with_a_dash() {
    let work = Work::trained(1);
    let generate = ["generate", "run", "--tokens", "2", "--prompt", "- item", "--stop", "---", "--stop", "-"];
    work.run(&generate).succeeds();
    work.run(&["state", "save", "run", "--prompt", "--- a", "--out", "state"]).succeeds();
}
