//! The beginnings of prompts that are known: nothing but the time differs.

use percept_serve::{Access, Limits};
use serde_json::{Value, json};

use crate::support::{Running, halves, served, with_layers};

/// What is told of all that was written, and of the state at the end.
fn told(server: &Running, prompt: &str, state: bool) -> Value {
    let request = json!({ "prompt": prompt, "max_tokens": 12, "seed": 3, "logprobs": 2, "keep_state": state });
    server.complete(&request.to_string())["choices"][0].clone()
}

#[test]
fn a_known_beginning_gives_the_same_bits_and_is_counted() {
    let exact = ["llp(segment=8)", "transformer", "rwkv7", "perceiver-ar(latents=8)", "llp(segment=8), tost"];
    let exact = exact.map(|layers| (layers, with_layers(layers)));
    let rounded = ["llp(segment=8)", "transformer"].map(|layers| (layers, halves(layers).unwrap()));
    for (layers, model) in exact.into_iter().chain(rounded) {
        let start = |prefix_bytes| {
            let limits = Limits { piece: 20, prefix_bytes, ..Limits::default() };
            Running::of(limits, Access::Loopback, vec![served("tiny", model.clone())])
        };
        let (with, without) = (start(1 << 20), start(0));
        let shared = "What stands at the beginning of every prompt of a client, again and again. ".repeat(2);
        let prompts: Vec<String> =
            ["", "one", "two", "", "one and more than a piece of it"].map(|end| format!("{shared}{end}")).into();
        for prompt in &prompts {
            assert_eq!(told(&with, prompt, false), told(&without, prompt, false), "{layers}: {prompt}");
        }
        // 151 tokens, the document token included, are seven pieces: after 20, 40, 80 and 140 tokens a state is kept.
        for line in [
            "percept_prefix_lookups_total{model=\"tiny\"} 5",
            "percept_prefix_hits_total{model=\"tiny\"} 4",
            "percept_prefix_tokens_total{model=\"tiny\"} 560",
        ] {
            assert!(with.get("/metrics").body.lines().any(|found| found == line), "{line}");
        }
        assert!(without.get("/metrics").body.contains("percept_prefix_lookups_total{model=\"tiny\"} 0"));
        // Files of states, too.
        let [mut a, mut b] = [&with, &without].map(|server| {
            let choice = told(server, &prompts[1], true);
            let file = server.bytes(&format!("/v1/states/{}/file", choice["state"]["id"].as_str().unwrap()));
            // What is said about the tensors stands in no order.
            let head = 8 + u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
            (file[head..].to_vec(), choice)
        });
        for choice in [&mut a.1, &mut b.1] {
            for key in ["id", "created", "used"] {
                choice["state"][key] = Value::Null;
            }
        }
        assert!(a == b, "{layers}");
        // Where a prompt is told each of its tokens is read.
        let echo = json!({ "prompt": shared, "max_tokens": 3, "seed": 1, "logprobs": 1, "echo": true }).to_string();
        assert_eq!(with.complete(&echo)["choices"], without.complete(&echo)["choices"], "{layers}");
    }
}
