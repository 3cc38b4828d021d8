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
fn a_checkpoint_of_the_authors_is_imported() {
    let checkpoint =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/paper/llp-checkpoint.pt"));
    if !checkpoint.exists() {
        return println!("skipped: no {}", checkpoint.display());
    }
    let work = Work::new();
    let sizes =
        ["vocab=61", "dim=32", "heads=4", "depth=3", "context=64", "segment=16"].map(|set| format!("model.{set}"));
    let checkpoint = checkpoint.to_string_lossy();
    let mut import = vec!["import", &*checkpoint, "--config", "llp-paper", "--out", "run", "--json"];
    import.extend(sizes.iter().flat_map(|set| ["--set", set.as_str()]));
    let imported = work.run(&import).succeeds();
    assert!(imported.json()["ignored"].as_array().unwrap().iter().all(|name| name.as_str().unwrap().contains(".fn.")));
    assert!(imported.stderr.contains("warning: tokenizer mismatch"), "{}", imported.stderr);
    assert_eq!(work.run(&["verify", "run", "--json"]).succeeds().json()["passed"].as_bool(), Some(true));
}
