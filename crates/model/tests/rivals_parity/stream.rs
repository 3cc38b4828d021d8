//! A million tokens through whole models of constant state: what they hold then is what the same tokens leave behind in f64, where
//! nothing drifts.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{DType, Device};
use percept_model::layer::BlockState;
use percept_model::{LanguageModel, Mode, ModelConfig, Rows, Session};
use safetensors::SafeTensors;

use super::fixture::relative_l2;

const TOKENS: usize = 1_000_000;
/// Tokens that go through the model at once.
const PART: usize = 8192;
const VOCAB: usize = 13;

/// The one without decay sums up all of the tokens.
const LAYERS: &str = "tost, tost(decay=0.9995, routing=length-scaled), group-conv(width=4)";

fn model() -> LanguageModel {
    let config = ModelConfig {
        layers: LAYERS.into(),
        vocab: VOCAB,
        dim: 8,
        depth: 3,
        heads: 2,
        context: 64,
        feed_forward_dim: 8,
        init_std: 0.3,
        ..ModelConfig::default()
    };
    LanguageModel::new(&config, 3, &Device::default()).expect("a model")
}

fn tokens() -> impl Iterator<Item = Vec<u32>> {
    let token = |at: usize| ((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32 % VOCAB as u32;
    (0..TOKENS).step_by(PART).map(move |start| (start..TOKENS.min(start + PART)).map(token).collect())
}

/// The states of all layers by name, in which the two parts of a sum are one.
type States = BTreeMap<String, Vec<f64>>;

fn joined(name: &str, elements: Vec<f64>) -> Vec<f64> {
    if name.ends_with("rows") {
        return elements;
    }
    let (high, low) = elements.split_at(elements.len() / 2);
    high.iter().zip(low).map(|(high, low)| high + low).collect()
}

fn in_f64(model: &LanguageModel) -> States {
    let model = model.clone().with_dtype(DType::F64);
    let mut states = vec![BlockState::default(); model.config().depth];
    for (part, tokens) in tokens().enumerate() {
        let rows = Rows::plain(tokens.len(), part * PART);
        model.run_blocks(model.embed(&tokens, 1), Some(&mut states), rows, Mode::Evaluation);
    }
    let tensors = states.iter().enumerate().flat_map(|(layer, state)| {
        state.mixer.tensors().map(move |(name, _, flat)| (format!("layers.{layer}.{name}"), flat.clone()))
    });
    tensors
        .map(|(name, flat)| {
            let elements = joined(&name, flat.into_data().iter::<f64>().collect());
            (name, elements)
        })
        .collect()
}

/// Of a session, as its file holds them.
fn of_session(session: &Session) -> States {
    let bytes = session.to_bytes().expect("a state");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let layers = file.tensors().into_iter().filter(|(name, _)| name.starts_with("layers."));
    let read = |b: &[u8]| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    layers
        .map(|(name, view)| {
            let elements = joined(&name, view.data().chunks_exact(4).map(read).collect());
            (name, elements)
        })
        .collect()
}

fn check(what: &str, ours: &States, exact: &States) {
    assert_eq!(ours.keys().collect::<Vec<_>>(), exact.keys().collect::<Vec<_>>());
    for (name, exact) in exact {
        let error = relative_l2(&ours[name], exact);
        eprintln!("{what}: {name} is off by {error:.2e}");
        assert!(error <= 1e-4, "{what}: {name} is off by {error:.2e}");
    }
}

#[test]
fn a_million_tokens_do_not_drift() {
    let model = model();
    let exact = in_f64(&model);
    let [mut by_parts, mut by_one] = [(); 2].map(|()| Session::new(Arc::new(model.clone().into())));
    let mut logits = [0.0; VOCAB];
    for tokens in tokens() {
        by_parts.feed_into(&tokens, &mut logits).expect("fed");
        for token in tokens {
            by_one.feed_into(&[token], &mut logits).expect("fed");
        }
    }
    assert_eq!((by_parts.position(), by_one.position()), (TOKENS, TOKENS));
    check("in parts", &of_session(&by_parts), &exact);
    check("one by one", &of_session(&by_one), &exact);
}
