//! Every mixer passes; the broken ones are caught by name (see `broken`).

use burn::tensor::Device;
use percept_model::ModelConfig;
use percept_model::mixer::MixerKind;

use super::*;

fn check(name: &str, config: &ModelConfig) -> Verdict {
    let subject = ModelSubject::random(name, &reduced(config).unwrap(), 5, &Device::flex()).unwrap();
    verify(&subject, Effort::THOROUGH, &mut |_| ()).unwrap()
}

fn config(layers: &str) -> ModelConfig {
    ModelConfig { layers: layers.into(), vocab: 257, ..ModelConfig::default() }
}

#[test]
fn every_mixer_keeps_its_promises() {
    for kind in MixerKind::ALL {
        let report = check(kind.name(), &config(kind.name()));
        assert!(report.passed, "{report:#?}");
    }
}

#[test]
fn the_paper_presets_and_hybrids_keep_their_promises() {
    for kind in MixerKind::ALL {
        let report = check(kind.name(), &config(kind.name()).with_paper_options());
        assert!(report.passed, "paper {report:#?}");
    }
    for layers in ["llp*3, transformer", "llp(segment=64), llp(segment=128)"] {
        let report = check(layers, &config(layers));
        assert!(report.passed, "{report:#?}");
    }
}

#[test]
fn a_model_is_checked_as_it_is() {
    let config = ModelConfig { dim: 16, heads: 2, depth: 4, context: 24, ..config("llp").with("segment", 8).unwrap() };
    let subject = ModelSubject::random("as it is", &config, 1, &Device::flex()).unwrap();
    let mut seen = Vec::new();
    let report = verify(&subject, Effort::SAMPLED, &mut |check| seen.push(check.name)).unwrap();
    assert!(report.passed, "{report:#?}");
    assert_eq!(seen, report.checks.iter().map(|check| check.name).collect::<Vec<_>>());
    // Four layers are more than the reach check can look through.
    let reach = report.checks.iter().find(|check| check.name == "reach-at").unwrap();
    assert_eq!((reach.value, reach.passed), (None, true));
    let failed = Check { name: "parity-loss", passed: false, ..reach.clone() };
    assert_eq!(report.with([failed]).failures(), ["parity-loss"]);
}
