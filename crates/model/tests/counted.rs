//! The cost model against the products that are really executed.
//!
//! The count is one for the process, so everything is one test; no other test shares this binary.

use burn::tensor::Device;
use percept_model::channel::ChannelKind;
use percept_model::cost::Cost;
use percept_model::mixer::MixerKind;
use percept_model::properties::Properties;
use percept_model::{Batch, LanguageModel, Mode, ModelConfig, Recompute, Trainable};

/// Relative error that is allowed.
const LIMIT: f64 = 0.05;

fn executed(work: impl FnOnce()) -> Cost {
    let before = Cost::executed();
    work();
    Cost::since(before)
}

fn check(what: &str, formula: Cost, counted: Cost) {
    for (unit, formula, counted) in
        [("operations", formula.macs, counted.macs), ("bytes", formula.elements, counted.elements)]
    {
        let error = formula as f64 / counted as f64 - 1.0;
        assert!(error.abs() <= LIMIT, "{what}: {unit} are off by {:.1} %: {formula}, counted {counted}", 100.0 * error);
    }
}

/// Forward pass and training step, with and without recomputation.
fn check_model(name: &str, config: &ModelConfig, batch: usize, length: usize) {
    let model = LanguageModel::new(config, 1, &Device::flex().autodiff()).unwrap();
    let properties = Properties::of(config).unwrap();
    let tokens: Vec<u32> = (0..batch * length).map(|at| (at * 7 % config.vocab) as u32).collect();
    let input = Batch { targets: tokens.clone(), tokens, rows: batch, length };
    let what = format!("{name}, {batch} x {length}");
    let forward = executed(|| _ = model.evaluate(&input).unwrap());
    check(&format!("{what}, forward"), properties.forward_cost(length, batch), forward);
    for recompute in [Recompute::Keep, Recompute::Blocks] {
        let mode = Mode::Training { seed: 1, step: 0 };
        let step = executed(|| _ = model.loss_and_gradients(&input, mode, recompute, 1.0).unwrap());
        let formula = properties.training_cost(length, batch, recompute);
        check(&format!("{what}, training, {recompute:?}"), formula, step);
    }
}

/// Every mixer and a hybrid, with the default options and with the authors'; and every channel sublayer.
fn models(context: usize) -> Vec<(String, ModelConfig)> {
    let model = |layers: &str| ModelConfig {
        layers: layers.into(),
        vocab: 61,
        dim: 24,
        depth: 3,
        heads: 4,
        kv_heads: 2,
        context,
        ..ModelConfig::default()
            .with("segment", context / 4 - 1)
            .unwrap()
            .with("latents", context / 2 - 3)
            .unwrap()
            .with("history_segments", 3)
            .unwrap()
            .with("compressed", context / 5)
            .unwrap()
    };
    let paper = |layers: &str| ModelConfig { kv_heads: 0, ..model(layers).with_paper_options() };
    let layers = MixerKind::ALL.iter().map(|kind| kind.name()).chain(["llp*2, transformer"]);
    let channels = ChannelKind::ALL.iter().map(|kind| {
        let config = ModelConfig { feed_forward: *kind, ..model("llp") };
        (format!("llp with {}", kind.name()), config)
    });
    let mixers = layers.flat_map(|name| [(name.to_string(), model(name)), (format!("{name} (paper)"), paper(name))]);
    mixers.chain(channels).collect()
}

#[test]
fn operations_and_bytes_are_those_of_the_executed_products() {
    for context in [46, 331] {
        for (name, config) in models(context) {
            check_model(&name, &config, 2, context);
        }
    }
    let grouped = ModelConfig { feed_forward: ChannelKind::Grouped, ..models(46)[0].1.clone() };
    check_model("grouped feed-forward", &grouped, 2, 46);
    let large = "recurrent(segment=30, states=40, gate=fixed, update=skip)";
    for (layers, kv_heads) in [("recurrent(segment=1, states=3, update=dual)", 2), (large, 0)] {
        check_model(layers, &ModelConfig { layers: layers.into(), kv_heads, ..models(46)[0].1.clone() }, 2, 46);
    }
    let shared = ModelConfig { layers: "llp, recurrent".into(), blocks: 2, ..models(46)[0].1.clone() };
    check_model("shared blocks", &shared, 2, 46);
    let weighted = models(46)[0].1.clone();
    let weighted = ModelConfig { layers: "combiner-axial-rowmajor(keys=weighted)".into(), kv_heads: 0, ..weighted };
    check_model("weighted keys", &weighted, 2, 46);
    // A window that is shorter than the context, and a head whose logits are held in several chunks.
    let wide = ModelConfig {
        vocab: 9001,
        context: 200,
        ..models(200)[0].1.clone().with("segment", 32).unwrap().with("latents", 150).unwrap()
    };
    check_model("wide vocabulary", &wide, 3, 117);
}
