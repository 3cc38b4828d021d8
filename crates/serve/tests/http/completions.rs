//! What is written, however it is asked for.

use percept_data::Tokenizer;
use percept_generate::{GenerationConfig, SamplingConfig, generate};
use percept_model::properties::Properties;
use percept_model::{KeyValuePrecision, Session};
use percept_serve::{Access, Limits};
use serde_json::{Value, json};

use crate::support::{Running, config, halves, model, served};

fn text(answer: &Value) -> &str {
    answer["choices"][0]["text"].as_str().unwrap()
}

#[test]
fn a_completion_is_what_the_library_writes() {
    let server = Running::start(Limits::default());
    let tokenizer = Tokenizer::bytes();
    let config = GenerationConfig {
        tokens: 40,
        sampling: SamplingConfig { temperature: 0.9, top_p: Some(0.9), seed: 11, ..Default::default() },
        ..Default::default()
    };
    let prompt = [&[256][..], &tokenizer.encode("Größe".as_bytes()).unwrap()].concat();
    let mut session = Session::new(model());
    let expected = generate(&mut session, &tokenizer, &prompt, &config, &mut |_| Ok(())).unwrap();
    let settings = json!({ "max_tokens": 40, "temperature": 0.9, "top_p": 0.9, "seed": 11, "user": "u", "n": 1 });
    // The same prompt in its four forms.
    for form in [json!("Größe"), json!(["Größe"]), json!(prompt), json!([prompt[1..]])] {
        let mut request = settings.clone();
        request["prompt"] = form;
        let answer = server.complete(&request.to_string());
        assert_eq!(text(&answer), expected.text);
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
        assert_eq!((answer["object"].as_str(), answer["model"].as_str()), (Some("text_completion"), Some("tiny")));
        assert_eq!(answer["usage"]["completion_tokens"], 40);
        assert_eq!(answer["choices"][0]["state_bytes"], session.state_bytes());
        assert!(answer["choices"][0]["logprobs"].is_null());
    }
    // A stop string ends the text before it.
    let stop = expected.text.chars().nth(5).unwrap().to_string();
    let mut request = settings;
    request["prompt"] = json!("Größe");
    request["stop"] = json!([stop]);
    let answer = server.complete(&request.to_string());
    assert_eq!(text(&answer), expected.text.split(&stop).next().unwrap());
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[test]
fn a_stream_adds_up_to_the_whole() {
    let server = Running::start(Limits::default());
    let mut request = json!({ "prompt": ["ab", "cd"], "max_tokens": 30, "seed": 4, "logprobs": 2, "echo": true });
    let whole = server.complete(&request.to_string());
    request["stream"] = json!(true);
    request["stream_options"] = json!({ "include_usage": true });
    let answer = server.post("/v1/completions", &request.to_string());
    assert!(answer.status == 200 && answer.head.contains("content-type: text/event-stream"), "{}", answer.head);
    let events = answer.events();
    let (last, events) = events.split_last().unwrap();
    assert_eq!(*last, "[DONE]");
    let events: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let (usage, events) = events.split_last().unwrap();
    assert_eq!((&usage["usage"], &usage["choices"]), (&whole["usage"], &json!([])));
    assert_eq!(usage["usage"]["total_tokens"], 2 * (2 + 30));
    for index in 0..2 {
        let choices: Vec<&Value> =
            events.iter().map(|event| &event["choices"][0]).filter(|choice| choice["index"] == index).collect();
        let text: String = choices.iter().map(|choice| choice["text"].as_str().unwrap()).collect();
        let expected = &whole["choices"][index];
        assert_eq!(text, expected["text"].as_str().unwrap());
        let values = choices.iter().flat_map(|choice| choice["logprobs"]["token_logprobs"].as_array().unwrap());
        assert_eq!(&Value::from_iter(values.cloned()), &expected["logprobs"]["token_logprobs"]);
        let (last, before) = choices.split_last().unwrap();
        assert!(before.len() > 10 && last["finish_reason"] == "length");
        assert!(before.iter().all(|choice| choice["finish_reason"].is_null() && choice["state_bytes"].is_null()));
        assert!(last["state_bytes"].is_u64() && last["state_bytes"] == expected["state_bytes"]);
        let ids = choices.iter().flat_map(|choice| choice["logprobs"]["top_token_ids"].as_array().unwrap());
        assert_eq!(&Value::from_iter(ids.cloned()), &expected["logprobs"]["top_token_ids"]);
    }
}

#[test]
fn scores_of_a_prompt_are_those_of_a_session() {
    let server = Running::start(Limits::default());
    let prompt = "The quick brown fox jumps over the lazy dog.";
    let request = json!({ "prompt": prompt, "max_tokens": 0, "echo": true, "logprobs": 3 });
    let answer = server.complete(&request.to_string());
    let logprobs = &answer["choices"][0]["logprobs"];
    assert_eq!((text(&answer), &answer["usage"]["completion_tokens"]), (prompt, &json!(0)));
    let mut session = Session::new(model());
    session.feed(&[256]).unwrap();
    let tokens: Vec<u32> = prompt.bytes().map(u32::from).collect();
    let nll = session.score(&tokens).unwrap();
    assert_eq!(logprobs["token_ids"], json!(tokens));
    for (at, nll) in nll.iter().enumerate() {
        let value = logprobs["token_logprobs"][at].as_f64().unwrap();
        assert!((value + f64::from(*nll)).abs() < 1e-4, "{at}: {value} {nll}");
        assert_eq!(logprobs["text_offset"][at], at);
        assert_eq!(logprobs["tokens"][at], prompt[at..at + 1]);
        let top = logprobs["top_logprobs"][at].as_object().unwrap();
        let best = top.values().map(|value| value.as_f64().unwrap()).fold(f64::NEG_INFINITY, f64::max);
        assert!(top.len() <= 3 && best >= value);
        let ids = logprobs["top_token_ids"][at].as_object().unwrap();
        assert!(top.keys().eq(ids.keys()), "{top:?} {ids:?}");
        for (text, id) in ids.iter().filter(|(text, _)| text.len() == 1) {
            assert_eq!(id.as_u64(), Some(u64::from(text.as_bytes()[0])));
        }
        // What evaluation harnesses look at: whether the token is the likeliest, by equality.
        if let Some(same) = top.get(&prompt[at..at + 1]) {
            assert_eq!(same, &logprobs["token_logprobs"][at]);
        }
    }
    // A prompt that begins with the document token, which nothing predicts.
    let ids = json!({ "prompt": [256, 84], "max_tokens": 1, "echo": true, "logprobs": 1, "temperature": 0 });
    let logprobs = server.complete(&ids.to_string())["choices"][0]["logprobs"].clone();
    assert_eq!(logprobs["token_logprobs"].as_array().unwrap().len(), 3);
    assert!(logprobs["token_logprobs"][0].is_null() && logprobs["top_logprobs"][0].is_null());
    let value = logprobs["token_logprobs"][1].as_f64().unwrap();
    assert!((value + f64::from(nll[0])).abs() < 1e-4, "{value} {}", nll[0]);
}

#[test]
fn a_text_is_the_same_alone_and_among_63_others() {
    // Small pieces, so that prompts are read while others are written.
    let server = Running::start(Limits { piece: 8, streams: 48, ..Limits::default() });
    let request = |seed: usize| {
        let prompt = "The quick brown fox jumps over the lazy dog. ".repeat(1 + seed % 5);
        json!({ "prompt": prompt, "max_tokens": 20 + seed % 17, "seed": seed, "logprobs": 1 }).to_string()
    };
    let choices = |answer: Value| answer["choices"].clone();
    let alone = [0, 7, 40].map(|seed| choices(server.complete(&request(seed))));
    let together: Vec<Value> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..64)
            .map(|seed| {
                scope.spawn({
                    let server = &server;
                    move || choices(server.complete(&request(seed)))
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for (alone, seed) in alone.iter().zip([0, 7, 40]) {
        assert_eq!(&together[seed], alone, "seed {seed}");
    }
    assert_ne!(together[0][0]["text"], together[5][0]["text"], "the same prompt, another seed");
}

#[test]
fn a_bias_decides_and_without_a_seed_texts_differ() {
    let server = Running::start(Limits::default());
    let biased = json!({ "prompt": "a", "max_tokens": 5, "temperature": 0, "logit_bias": { "122": 100 } });
    assert_eq!(text(&server.complete(&biased.to_string())), "zzzzz");
    let free = json!({ "prompt": "a", "max_tokens": 30 }).to_string();
    assert_ne!(text(&server.complete(&free)), text(&server.complete(&free)));
}

#[test]
fn models_are_listed_and_chosen_by_name() {
    let server = Running::with(Limits::default(), Access::Loopback, &["one", "two"]);
    let list = server.get("/v1/models").json();
    assert_eq!((&list["data"][0]["id"], &list["data"][1]["id"]), (&json!("one"), &json!("two")));
    let card = server.get("/v1/models/two").json();
    let state_limit = Properties::of(&config()).unwrap().state_limit(4);
    assert_eq!((&card["vocab"], &card["state_limit"]), (&json!(257), &json!(state_limit)));
    assert_eq!(server.get("/v1/models/three").status, 404);
    let answer = server.complete(r#"{"model":"two","prompt":"a","max_tokens":1}"#);
    assert_eq!(answer["model"], "two");
    assert_eq!(server.post("/v1/completions", r#"{"prompt":"a"}"#).status, 400);
}

#[test]
fn the_most_that_a_state_takes_is_told_as_its_keys_and_values_are_kept() {
    let rounded = served("tiny", halves("llp(segment=8)").unwrap());
    let server = Running::of(Limits::default(), Access::Loopback, vec![rounded]);
    let limit = server.get("/v1/models/tiny").json()["state_limit"].clone();
    let properties = Properties::of(&config()).unwrap();
    assert_eq!(limit, json!(properties.state_limit(KeyValuePrecision::Bf16)));
    assert!(limit.as_u64() < Some(properties.state_limit(4) as u64));
    // What a text really comes to.
    let long = json!({ "prompt": "a".repeat(100), "max_tokens": 1 }).to_string();
    assert!(server.complete(&long)["choices"][0]["state_bytes"].as_u64() <= limit.as_u64());
}

#[test]
fn tokenizers_are_there_too() {
    let server = Running::start(Limits::default());
    let tokens = server.post("/v1/tokenize", r#"{"text":"aé"}"#).json();
    assert_eq!(tokens, json!({ "tokens": [97, 195, 169], "count": 3 }));
    let text = server.post("/v1/detokenize", r#"{"tokens":[97,195,169,195]}"#).json();
    assert_eq!(text, json!({ "text": "aé\u{fffd}" }));
}
