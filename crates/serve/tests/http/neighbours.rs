//! A text among others that are certainly written beside it.

use std::sync::Arc;

use percept_model::{InferenceModel, KeyValuePrecision, WeightPrecision};
use percept_serve::{Access, Limits};
use serde_json::{Value, json};

use crate::support::{Client, Running, halves, model, served};

/// As `max_tokens: 20` is to 60000: they are still written when it has long come to its end.
fn endless(server: &Running, count: usize) -> Vec<Client> {
    let ask = |seed: usize| {
        let body = json!({ "prompt": "a".repeat(seed % 9), "max_tokens": 60000, "seed": seed });
        server.posting("/v1/completions", &body.to_string(), "")
    };
    let clients: Vec<Client> = (0..count).map(ask).collect();
    server.wait_for(&format!("percept_texts_active{{model=\"tiny\"}} {count}"));
    clients
}

#[test]
fn a_text_among_63_that_go_on_has_the_bits_that_it_has_alone() {
    let packed = (*model()).clone().with_weight_precision(WeightPrecision::Int8).unwrap();
    let rounded = packed.clone().with_key_value_precision(KeyValuePrecision::Bf16).unwrap();
    for model in [model(), packed.into(), halves("llp(segment=8)").unwrap(), rounded.into()] {
        alone_and_among_63(model);
    }
}

fn alone_and_among_63(model: Arc<InferenceModel>) {
    let limits = Limits { piece: 8, streams: 64, ..Limits::default() };
    let server = Running::of(limits, Access::Loopback, vec![served("tiny", model)]);
    let ask = |seed: usize| -> Value {
        let prompt = "The quick brown fox jumps. ".repeat(seed);
        let body = json!({ "prompt": prompt, "max_tokens": 20, "seed": seed, "logprobs": 2, "echo": seed == 2 });
        server.complete(&body.to_string())["choices"].clone()
    };
    let alone = [0, 1, 2, 5].map(ask);
    let others = endless(&server, 63);
    for (alone, seed) in alone.iter().zip([0, 1, 2, 5]) {
        assert_eq!(&ask(seed), alone, "seed {seed}");
    }
    // None of them has ended.
    server.wait_for(r#"percept_texts_ended_total{model="tiny"} 8"#);
    others.into_iter().for_each(Client::close);
}
