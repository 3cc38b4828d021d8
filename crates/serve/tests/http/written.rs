//! More of what is written: stop strings across tokens, values of log-probabilities, usage.

use percept_serve::Limits;
use serde_json::{Value, json};

use crate::support::Running;

#[test]
fn a_stop_string_across_tokens_is_never_shown() {
    let server = Running::start(Limits::default());
    let mut request = json!({ "prompt": "a", "max_tokens": 60, "seed": 4, "logprobs": 0 });
    let whole = server.complete(&request.to_string())["choices"][0].clone();
    let text = whole["text"].as_str().unwrap();
    // Each token is a byte here.
    let stop: String = text.chars().skip(20).take(3).collect();
    let expected = text.split(&stop).next().unwrap();
    request["stop"] = json!(["never comes", stop]);
    let answer = server.complete(&request.to_string());
    assert_eq!(answer["choices"][0]["text"], expected);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    request["stream"] = json!(true);
    let answer = server.post("/v1/completions", &request.to_string());
    let mut shown = String::new();
    for event in answer.events().into_iter().filter(|event| *event != "[DONE]") {
        let event: Value = serde_json::from_str(event).unwrap();
        // Nobody asked for it.
        assert!(event.get("usage").is_none(), "{event}");
        shown.push_str(event["choices"][0]["text"].as_str().unwrap());
        assert!(expected.starts_with(&shown), "{shown:?}");
    }
    assert_eq!(shown, expected);
}

#[test]
fn what_is_told_of_tokens_that_are_written_is_what_scoring_them_tells() {
    let server = Running::start(Limits::default());
    let prompt = [84, 104, 101];
    // What is told is the model's, whatever the text is drawn by.
    let mut request = json!({
        "prompt": prompt, "max_tokens": 30, "seed": 2, "logprobs": 4, "temperature": 0.7, "top_p": 0.9,
        "logit_bias": { "101": 3 },
    });
    let written = server.complete(&request.to_string())["choices"][0]["logprobs"].clone();
    let ids: Vec<Value> = written["token_ids"].as_array().unwrap().clone();
    assert_eq!(ids.len(), 30);
    let all: Vec<Value> = prompt.iter().map(|id| json!(id)).chain(ids.clone()).collect();
    request = json!({ "prompt": all, "max_tokens": 0, "echo": true, "logprobs": 4 });
    let scored = server.complete(&request.to_string())["choices"][0]["logprobs"].clone();
    let close = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-4;
    for at in 0..30 {
        let (one, other) = (&written["token_logprobs"][at], &scored["token_logprobs"][at + 3]);
        assert!(close(one, other), "{at}: {one} {other}");
        let (one, other) = (&written["top_logprobs"][at], &scored["top_logprobs"][at + 3]);
        let best =
            |all: &Value| all.as_object().unwrap().values().map(|p| p.as_f64().unwrap()).fold(f64::MIN, f64::max);
        assert!(close(&json!(best(one)), &json!(best(other))), "{at}: {one} {other}");
        assert_eq!(one.as_object().unwrap().len(), 4);
    }
}

#[test]
fn each_number_narrows_what_is_drawn() {
    let server = Running::start(Limits::default());
    let text = |more: Value| {
        let mut request = json!({ "prompt": "a", "max_tokens": 20, "seed": 5 });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.complete(&request.to_string())["choices"][0]["text"].clone()
    };
    let likeliest = text(json!({ "temperature": 0 }));
    for only in [json!({ "top_k": 1 }), json!({ "top_p": 1e-6 }), json!({ "min_p": 1 })] {
        assert_eq!(text(only.clone()), likeliest, "{only}");
    }
    let free = text(json!({}));
    assert_ne!(free, likeliest);
    for all in [json!({ "top_k": 257 }), json!({ "top_p": 1 }), json!({ "min_p": 0 }), json!({ "temperature": 1 })] {
        assert_eq!(text(all.clone()), free, "{all}");
    }
}
