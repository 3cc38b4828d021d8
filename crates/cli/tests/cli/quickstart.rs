//! `percept quickstart`, the same code with fewer steps and a smaller model.

use crate::support::{TINY, Work};

#[test]
fn quickstart_reports_the_model_beside_the_baseline() {
    let work = Work::new();
    let mut arguments = vec!["quickstart", "--json", "--set", "train.steps=4"];
    arguments.extend(TINY.iter().flat_map(|set| ["--set", set]));
    let finished = work.run(&arguments);
    let report = finished.json();
    let (model, baseline) =
        (report["bits_per_byte"].as_f64().unwrap(), report["order2_bits_per_byte"].as_f64().unwrap());
    assert!(baseline > 1.5 && baseline < 4.0, "{baseline}");
    // Four steps don't beat the baseline, and the program says so.
    assert!(model > baseline);
    assert_eq!(finished.code, 1);
    assert!(finished.stderr.contains("hint: train on: percept resume"), "{}", finished.stderr);
    assert_eq!(report["run"], "runs/quickstart");
    assert!(report["seconds"].is_f64());
    // What the run leaves can be resumed and scored, with the same figure.
    work.run(&["resume", "runs/quickstart", "--steps", "5"]).succeeds();
    let score =
        ["eval", "runs/quickstart", "--checkpoint", "4", "--data", "runs/quickstart/text/held-out.jsonl", "--json"];
    let again = work.run(&score).succeeds().json()["bits_per_byte"].as_f64().unwrap();
    assert!((again - model).abs() < 1e-6, "{again} {model}");
}
