//! The formulas against built models and against the figures of the specification.

use burn::tensor::Device;
use percept_model::LanguageModel;
use percept_model::channel::ChannelKind;
use percept_model::config::{Head, NormKind};
use percept_model::mixer::MixerKind;
use percept_train::{presets, resolve_preset};
use proptest::prelude::*;

use percept_train::{PrecisionChoice, Recompute};

use super::*;

fn run(model: ModelConfig) -> RunConfig {
    let mut config = RunConfig { model, ..RunConfig::default() };
    config.train.device = "cpu".into();
    config
}

fn small(layers: &str) -> ModelConfig {
    ModelConfig {
        layers: layers.into(),
        vocab: 300,
        dim: 32,
        depth: 3,
        heads: 4,
        context: 32,
        ..ModelConfig::default().with("segment", 8).unwrap().with("latents", 16).unwrap().with("compressed", 8).unwrap()
    }
}

#[test]
fn the_paper_model_has_its_published_size() {
    let plan = plan(&resolve_preset("llp-paper").unwrap()).unwrap();
    assert_eq!(plan.parameters, 214_640_452);
    // L (2 S - 1) m^2 with L 24, S 8, m 256.
    assert_eq!(plan.score_entries, 24 * 15 * 256 * 256);
    // A token of segment j reaches back to the start of segment j - L.
    assert_eq!(plan.reach, Some(25 * 256 - 1));
    let weights = 4 * plan.parameters;
    assert_eq!((plan.memory.weights, plan.memory.optimizer), (weights, 2 * weights));
}

#[test]
fn every_preset_has_a_plan() {
    for preset in presets() {
        let plan = plan(&resolve_preset(preset.name).unwrap()).unwrap();
        assert!(plan.peak_memory_bytes > plan.memory.weights && plan.flops_per_token > 0.0, "{}", preset.name);
    }
}

#[test]
fn an_llp_costs_the_same_at_any_length_and_a_transformer_does_not() {
    let plans = ["llp", "transformer"].map(|layers| plan(&run(small(layers))).unwrap());
    let growth = plans.map(|plan| {
        let [near, far] = plan.lengths[..] else { panic!("two lengths") };
        (far.flops_per_token / near.flops_per_token, far.state_bytes as f64 / near.state_bytes as f64)
    });
    assert!(growth[0].0 < 1.2 && growth[0].1 < 2.1, "{growth:?}");
    assert!(growth[1].0 > 100.0 && growth[1].1 > 1000.0, "{growth:?}");
}

#[test]
fn forward_operations_are_those_of_the_matrices() {
    // Two operations per weight of every matrix but the embedding, and attention's scores: the window of 32 is one
    // block of query rows, which together see 32 keys; per score two products of the width, in three layers.
    let model = ModelConfig { head: Head::Untied, ..small("llp") };
    let plan = plan(&run(model.clone())).unwrap();
    let norms = 32 + 3 * (2 * 32 + 2 * 8);
    let matrices = 2.0 * (plan.parameters - 300 * 32 - norms) as f64;
    let scores = f64::from(3 * 2 * 2 * 32 * 32);
    assert_eq!(plan.flops_per_token, matrices + scores);
    assert_eq!(plan.training_flops_per_token, 3.0 * matrices + 3.5 * scores);
}

#[test]
fn recomputation_trades_memory_for_work() {
    let mut config = run(ModelConfig { depth: 12, ..small("llp") });
    let keep = plan(&config).unwrap();
    config.train.recompute = Recompute::Blocks;
    let again = plan(&config).unwrap();
    assert!(again.memory.activations < keep.memory.activations / 3);
    assert!(again.training_flops_per_token > keep.training_flops_per_token);
}

#[test]
fn memory_and_time_are_compared_with_what_there_is() {
    let plan = plan(&run(small("llp"))).unwrap();
    let peak = plan.peak_memory_bytes;
    assert_eq!((plan.clone().against(peak).fits, plan.clone().against(peak - 1).fits), (Some(true), Some(false)));
    let speed =
        Speed { flops_per_second: 1e9, device: "cpu".into(), precision: PrecisionChoice::F32, measured_layers: 3 };
    let timed = plan.at_speed(speed);
    let expected = timed.training_flops_per_token * 4.0 * 32.0 / 1e9;
    assert_eq!(timed.seconds_per_step, Some(expected));
    assert_eq!(timed.seconds_total, Some(expected * 1000.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn parameters_are_those_of_the_built_model(
        (mixer, depth, kv_heads) in (0..MixerKind::ALL.len(), 1usize..4, 0usize..3),
        (norm, gelu, tied, qk_norm, paper) in any::<(bool, bool, bool, bool, bool)>(),
    ) {
        let base = small(MixerKind::ALL[mixer].name());
        let base = if paper { base.with_paper_options() } else { base };
        let model = ModelConfig {
            depth,
            kv_heads: [0, 2, 4][kv_heads],
            norm: if norm { NormKind::Layer } else { base.norm },
            feed_forward: if gelu { ChannelKind::Gelu } else { base.feed_forward },
            head: if tied { Head::Tied } else { Head::Untied },
            qk_norm: qk_norm || base.qk_norm,
            ..base
        };
        let built = LanguageModel::zeros(&model, &Device::flex()).unwrap().parameter_count();
        prop_assert_eq!(plan(&run(model)).unwrap().parameters, built as u64);
    }
}
