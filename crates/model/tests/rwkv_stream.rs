//! A stream of a million tokens through RWKV-4 and RWKV-7: what comes out is what f64 says of the last tokens, where the rest is forgotten.

use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor};
use percept_model::channel::ChannelKind;
use percept_model::config::{NormKind, RotaryLayers};
use percept_model::{LanguageModel, ModelConfig, Rows, Session, parameters};

const TOKENS: usize = 1_000_000;
/// At most e^(-0.05 n) of what stands n tokens back is left in a layer.
const REMEMBERED: usize = 2048;

fn model(name: &str) -> LanguageModel {
    let config = ModelConfig {
        layers: name.into(),
        feed_forward: ChannelKind::from_name(&format!("{name}-channel")).expect("a channel mix"),
        vocab: 23,
        dim: 16,
        depth: 2,
        heads: 1,
        context: 512,
        norm: NormKind::Layer,
        norm_eps: 1e-5,
        rotary: RotaryLayers::None,
        init_std: 0.4,
        ..ModelConfig::default()
    };
    let model = LanguageModel::new(&config, 5, &Device::default()).expect("a model");
    // The fastest channels forget at once, the slowest at e^-0.05 or e^-0.07 a token.
    parameters::map(model, |path, _, tensor| match path.rsplit_once("mixer.").map(|(_, own)| own) {
        Some("decay") => tensor.clamp(-3.0, 3.0),
        Some("decay.second.bias") => tensor.clamp(-2.0, 3.0),
        _ => tensor,
    })
}

fn check(name: &str) {
    let tokens: Vec<u32> = (0..TOKENS as u64).map(|at| (percept_random::mix(at) % 23) as u32).collect();
    let model = model(name);
    let mut session = Session::new(Arc::new(model.clone().into()));
    let ours =
        session.feed(&tokens[..TOKENS - 1]).and_then(|_| session.feed(&tokens[TOKENS - 1..])).expect("a fed stream");
    let last = &tokens[TOKENS - REMEMBERED..];
    let wide = model.with_dtype(DType::F64).forward(last, 1, Rows::plain(REMEMBERED, 0)).expect("logits");
    let logits: Tensor<1> = wide.narrow(1, REMEMBERED - 1, 1).reshape([23]);
    let logits: Vec<f64> = logits.into_data().iter::<f64>().collect();
    let sum = logits.iter().map(|x| x.exp()).sum::<f64>().ln();
    for (ours, theirs) in ours.iter().zip(&logits) {
        assert!((f64::from(*ours) - (theirs - sum)).abs() < 1e-4, "{name}: {ours} {}", theirs - sum);
    }
}

#[test]
fn a_million_tokens_of_rwkv4_leave_what_the_last_of_them_say() {
    check("rwkv4");
}

#[test]
fn a_million_tokens_of_rwkv7_leave_what_the_last_of_them_say() {
    check("rwkv7");
}
