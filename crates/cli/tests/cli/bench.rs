//! `percept bench` on tiny models: keys, comparisons, what is refused.

use crate::support::Work;

/// A model that is timed in no time.
const TINY: [&str; 12] = [
    "--set",
    "model.dim=16",
    "--set",
    "model.depth=2",
    "--set",
    "model.heads=2",
    "--set",
    "model.context=64",
    "--set",
    "model.segment=16",
    "--set",
    "model.vocab=300",
];

fn arguments<'a>(task: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    ["bench", task].into_iter().chain(TINY).chain(more.iter().copied()).collect()
}

#[test]
fn every_task_prints_the_keys_that_are_promised() {
    let work = Work::new();
    let tasks: [(&str, &[&str]); 4] = [
        ("train", &["--config", "S", "--steps", "3"]),
        ("prefill", &["llp-tiny", "--tokens", "100"]),
        ("decode", &["--tokens", "20", "--streams", "3", "--weights", "bf16"]),
        ("start", &["--steps", "1"]),
    ];
    for (task, more) in tasks {
        let report = work.run(&arguments(task, &[more, &["--json"]].concat())).succeeds().json();
        assert_eq!(report["task"], task);
        for key in ["min_ms", "median_ms", "ms_per_token", "tokens_per_s", "parameters"] {
            assert!(report[key].as_f64().unwrap() > 0.0, "{task}: {key} in {report}");
        }
        assert!(report["config"].is_string() && report["precision"].is_string() && report["changes"].is_array());
        assert_eq!(
            (report["machine"]["threads"].as_u64(), report["machine"]["device"].as_str()),
            (Some(1), Some("cpu"))
        );
        assert!(report["machine"].get("commit").is_some() && report["machine"]["version"].is_string(), "{task}");
        let has_peak = cfg!(target_os = "linux") && task != "start";
        assert_eq!(report["peak_rss_mib"].as_f64().is_some_and(|peak| peak > 1.0), has_peak, "{task}");
        match task {
            "train" => assert_eq!((report["tokens"].as_u64(), report["steps"].as_u64()), (Some(4 * 64), Some(3))),
            "decode" => {
                assert_eq!((report["position"].as_u64(), report["streams"].as_u64()), (Some(32), Some(3)));
                assert!(report["state_bytes"].as_u64().unwrap() > 0);
            }
            _ => {}
        }
    }
    let text = work.run(&arguments("train", &["--steps", "1"])).succeeds().stdout;
    assert!(text.contains("GFLOP/s") && text.contains("tokens/s"), "{text}");
}

#[test]
fn kernels_are_timed_beside_the_peaks() {
    let work = Work::new();
    let report = work.run(&arguments("kernels", &["--steps", "1", "--only", "llp", "--json"])).succeeds().json();
    let kernels = report["kernels"].as_array().unwrap();
    // Forward and backward, in every format of this processor.
    let bf16 =
        ["bf16_gflop_per_s", "amx_gflop_per_s"].iter().filter(|peak| report["peaks"][**peak].is_number()).count();
    assert_eq!(kernels.len(), 2 * (1 + bf16), "{report}");
    assert!(kernels.iter().all(|kernel| kernel["of_peak"].as_f64().unwrap() > 0.0));
    assert!(report["peaks"]["fma_gflop_per_s"].as_f64().unwrap() > 0.0);
    let refusal = work.run(&arguments("kernels", &["--only", "warp drive"])).refusal();
    assert!(refusal.starts_with("exit 2") && refusal.contains("AdamW"), "{refusal}");
}

#[test]
fn contexts_are_measured_compared_and_plotted() {
    let work = Work::new();
    let small =
        ["--contexts", "32,128", "--models", "llp", "--tokens-per-step", "128", "--steps", "1", "--tokens", "4"];
    let report = work.run(&arguments("context", &[&small[..], &["--svg", "plot.svg", "--json"]].concat())).succeeds();
    let report = report.json();
    let points = report["points"].as_array().unwrap();
    assert_eq!(points.len(), 2);
    for point in points {
        for task in ["train", "prefill", "decode"] {
            assert!(point["ms_per_token"][task].as_f64().unwrap() > 0.0, "{point}");
        }
    }
    assert_eq!(points[0]["state_bytes"], points[1]["state_bytes"]);
    assert_eq!((&report["machine"]["precision"], &report["precision"]), (&"f32".into(), &"f32".into()));
    assert!(report["machine"].get("commit").is_some() && report["machine"]["version"].is_string());
    let ratios: Vec<&str> = report["ratios"].as_array().unwrap().iter().map(|r| r["of"].as_str().unwrap()).collect();
    assert_eq!(ratios, ["train", "prefill", "decode", "state"]);
    let svg = std::fs::read_to_string(work.path("plot.svg")).unwrap();
    assert!(svg.contains("llp train") && svg.trim_end().ends_with("</svg>"));
    let refusal = work.run(&["bench", "context", "--contexts", "64", "--tokens-per-step", "32"]).refusal();
    assert!(refusal.contains("longer than a step"), "{refusal}");
    let refusal = work.run(&["bench", "context", "--contexts", "many"]).refusal();
    assert!(refusal.starts_with("exit 2") && refusal.contains("4k"), "{refusal}");
}

#[cfg(unix)]
#[test]
fn another_command_is_compared_turn_by_turn() {
    let work = Work::new();
    let against =
        "echo turn >> turns; echo '{\"median_ms\": 1, \"peak_rss_mib\": 9, \"import_rss_mib\": 4, \"params\": 1}'";
    let report = work.run(&arguments("train", &["--steps", "1", "--against", against, "--json"])).succeeds().json();
    let rounds = report["rounds"].as_array().unwrap();
    assert_eq!((rounds.len(), report["key"].as_str(), report["task"].as_str()), (3, Some("median_ms"), Some("train")));
    assert_eq!(std::fs::read_to_string(work.path("turns")).unwrap().lines().count(), 3);
    let number = |key: &str| report[key].as_f64().unwrap();
    assert_eq!(number("ratio"), number("ours_median"));
    assert!(number("ratio_min") <= number("ratio") && number("ratio") <= number("ratio_max"));
    if cfg!(target_os = "linux") {
        assert_eq!(report["memory_mib"]["theirs"].as_f64(), Some(5.0));
    }
}

#[cfg(unix)]
#[test]
fn a_broken_comparison_says_what_is_broken() {
    let work = Work::new();
    let refusal = |more: &[&str]| work.run(&arguments("decode", &[&["--tokens", "2"], more].concat())).refusal();
    let failed = refusal(&["--against", "echo no torch here >&2; exit 5"]);
    assert!(
        failed.starts_with("exit 1") && failed.contains("no torch here") && failed.contains("status: 5"),
        "{failed}"
    );
    let text = refusal(&["--against", "echo 12 ms"]);
    assert!(text.contains("printed no JSON object, but \"12 ms\""), "{text}");
    let keys = refusal(&["--against", "echo '{\"seconds\": 1}'"]);
    assert!(keys.starts_with("exit 2") && keys.contains("seconds") && keys.contains("--key"), "{keys}");
    let key = refusal(&["--against", "echo '{\"seconds\": 1}'", "--key", "seconds"]);
    assert!(key.contains("`percept`: `seconds` is nothing"), "{key}");
    assert!(refusal(&["--against", "true", "--rounds", "2"]).contains("2 is not in 3.."));
    // Ours fails too, with its own words.
    let ours = work.run(&["bench", "train", "--set", "model.dim=0", "--against", "true"]).refusal();
    assert!(ours.contains("model.dim is 0"), "{ours}");
}

#[test]
fn what_cannot_be_timed_is_refused() {
    let work = Work::new();
    insta::assert_snapshot!(work.run(&["bench", "train", "llp-tiny", "--config", "S"]).refusal(), @r"
    exit 2
    error: the argument '[PRESET|FILE]' cannot be used with '--config <SIZE>'
    hint: `percept bench train --help` shows what is accepted
    ");
    insta::assert_snapshot!(work.run(&["bench", "train", "--config", "XL"]).refusal(), @r"
    exit 2
    error: invalid value 'XL' for '--config <SIZE>' [possible values: S, M, L]
    hint: `percept bench train --help` shows what is accepted
    ");
    insta::assert_snapshot!(work.run(&["bench", "decode", "--streams", "0"]).refusal(), @r"
    exit 2
    error: invalid value '0' for '--streams <N>': use at least 1
    hint: `percept bench decode --help` shows what is accepted
    ");
    insta::assert_snapshot!(work.run(&["bench"]).refusal(), @r"
    exit 2
    error: no command given
    hint: `percept bench --help` lists them
    ");
}
