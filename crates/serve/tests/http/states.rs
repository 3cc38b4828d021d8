//! States: what is kept of a text, and that a text goes on from it as if it had never been cut.

use std::time::Duration;

use percept_data::Tokenizer;
use percept_model::Session;
use percept_serve::{Access, Limits, Tokens};
use serde_json::{Value, json};

use crate::support::{Answer, Running, halves, model, served, with_layers};

/// Layers of each kind of state: a ring, a window that is run again, a recurrence, and a history that is compressed.
const LAYERS: [&str; 4] = ["llp(segment=8)", "transformer", "rwkv7", "perceiver-ar(latents=8)"];
const TEXT: &str = "The quick brown fox jumps over the lazy dog, and again.";

fn made(answer: &Answer) -> Value {
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()
}

fn id(state: &Value) -> &str {
    state["id"].as_str().unwrap()
}

fn create(server: &Running, request: &Value) -> Value {
    made(&server.post("/v1/states", &request.to_string()))
}

fn complete(server: &Running, request: &Value) -> Value {
    server.complete(&request.to_string())["choices"][0].clone()
}

/// The ids and the log-probabilities of what was written.
fn written(choice: &Value) -> Vec<(Value, Value)> {
    let list = |key: &str| choice["logprobs"][key].as_array().unwrap().clone();
    list("token_ids").into_iter().zip(list("token_logprobs")).collect()
}

#[test]
fn a_text_that_is_cut_goes_on_with_the_tokens_of_one_that_is_not() {
    let exact = LAYERS.map(|layers| (layers, with_layers(layers)));
    let rounded = LAYERS.into_iter().filter_map(|layers| Some((layers, halves(layers)?)));
    for (layers, model) in exact.into_iter().chain(rounded) {
        let limits = Limits { piece: 16, ..Limits::default() };
        let server = Running::of(limits, Access::Loopback, vec![served("tiny", model)]);
        let mut request = json!({ "prompt": TEXT, "max_tokens": 60, "seed": 5, "logprobs": 0 });
        let whole = written(&complete(&server, &request));
        (request["max_tokens"], request["keep_state"]) = (json!(23), json!(true));
        let first = complete(&server, &request);
        let state = &first["state"];
        assert_eq!((&state["position"], &state["model"]), (&json!(1 + TEXT.len() + 23), &json!("tiny")), "{layers}");
        // Twice from the state, once from a fork of it, and once from its file.
        let fork = made(&server.post(&format!("/v1/states/{}/fork", id(state)), "{}"));
        let file = server.bytes(&format!("/v1/states/{}/file", id(state)));
        assert_eq!(json!(file.len()), state["bytes"]);
        for id in [id(state), id(state), id(&fork)] {
            let rest = json!({ "state": id, "max_tokens": 37, "seed": 5, "logprobs": 0 });
            let joined = [written(&first), written(&complete(&server, &rest))].concat();
            assert!(joined == whole, "{layers}: {joined:?} {whole:?}");
        }
        // The draws of what was sent are counted from there; the most probable tokens are not drawn.
        let sent = made(&server.upload("/v1/states/upload?name=sent%20to&pinned=true", &file));
        assert_eq!(
            (&sent["position"], &sent["name"], &sent["pinned"]),
            (&state["position"], &json!("sent to"), &json!(true))
        );
        let mut rest = json!({ "max_tokens": 37, "temperature": 0, "logprobs": 0 });
        let [kept, sent] = [id(state), id(&sent)].map(|id| {
            rest["state"] = json!(id);
            complete(&server, &rest)
        });
        assert_eq!(kept, sent);
    }
}

#[test]
fn a_stream_tells_its_state_with_its_last_piece() {
    let server = Running::start(Limits::default());
    let request = json!({ "prompt": TEXT, "max_tokens": 9, "seed": 1, "keep_state": true, "stream": true });
    let answer = server.post("/v1/completions", &request.to_string());
    let events: Vec<Value> = answer.events().into_iter().filter_map(|event| serde_json::from_str(event).ok()).collect();
    let (last, others) = events.split_last().unwrap();
    assert!(others.iter().all(|event| event["choices"][0].get("state").is_none()));
    let state = &last["choices"][0]["state"];
    assert_eq!((&state["object"], &state["position"]), (&json!("state"), &json!(1 + TEXT.len() + 9)));
    assert_eq!(server.get(&format!("/v1/states/{}", id(state))).json()["id"], state["id"]);
}

#[test]
fn a_prompt_goes_on_from_a_state_and_is_told() {
    let server = Running::start(Limits::default());
    let (begin, rest) = TEXT.split_at(20);
    let state = create(&server, &json!({ "prompt": begin, "name": "beginning" }));
    assert_eq!(
        (&state["position"], &state["name"], &state["expires"]),
        (&json!(21), &json!("beginning"), &Value::Null)
    );
    let after = create(&server, &json!({ "prompt": rest, "state": id(&state) }));
    assert_eq!(after["position"], json!(1 + TEXT.len()));
    // Scores of the rest are those of a session that read the beginning, the first one too.
    let request = json!({ "prompt": rest, "state": id(&state), "max_tokens": 0, "echo": true, "logprobs": 1 });
    let choice = complete(&server, &request);
    assert_eq!(choice["text"], rest);
    let mut session = Session::new(model());
    session.feed(&[&[256][..], &Tokenizer::bytes().encode(begin.as_bytes()).unwrap()].concat()).unwrap();
    let tokens: Vec<u32> = rest.bytes().map(u32::from).collect();
    let nll = session.score(&tokens).unwrap();
    for ((_, value), nll) in written(&choice).iter().zip(&nll) {
        assert!((value.as_f64().unwrap() + f64::from(*nll)).abs() < 1e-4, "{value} {nll}");
    }
    assert_eq!(written(&choice).len(), nll.len());
}

#[test]
fn states_are_listed_named_and_removed() {
    let server = Running::start(Limits::default());
    let ids: Vec<String> = (0..3).map(|_| id(&create(&server, &json!({ "prompt": "a" }))).to_owned()).collect();
    let list = server.get("/v1/states?limit=2&model=tiny").json();
    assert_eq!(
        (&list["first_id"], &list["last_id"], &list["has_more"]),
        (&json!(ids[2]), &json!(ids[1]), &json!(true))
    );
    let rest = server.get(&format!("/v1/states?after={}", ids[1])).json();
    assert_eq!((&rest["data"][0]["id"], &rest["has_more"]), (&json!(ids[0]), &json!(false)));
    let one = format!("/v1/states/{}", ids[0]);
    let changed = server.post(&one, r#"{"name":"größer","pinned":true}"#).json();
    assert_eq!((&changed["name"], &changed["pinned"]), (&json!("größer"), &json!(true)));
    assert_eq!(server.post(&one, r#"{"pinned":false}"#).json()["name"], "größer");
    assert!(server.post(&one, r#"{"name":""}"#).json()["name"].is_null());
    let removed = server.delete(&one);
    assert_eq!(removed.json(), json!({ "id": ids[0], "object": "state.deleted", "deleted": true }));
    assert_eq!((server.get(&one).status, server.delete(&one).status), (404, 404));
    server.wait_for("percept_states 2");
}

#[test]
fn a_state_belongs_to_the_token_that_made_it() {
    let tokens = Tokens::of_lines("a-token-that-is-long\nanother-token-as-long\n", "tokens").unwrap();
    let server = Running::with(Limits { piece: 4, ..Limits::default() }, Access::Tokens(tokens), &["tiny"]);
    let ask = |token: &str, method: &str, path: &str, body: &str| {
        let (length, kind) = (body.len(), "Content-Type: application/json");
        let head =
            format!("{method} {path} HTTP/1.0\r\n{kind}\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}");
        server.open(&format!("{head}\r\n\r\n{body}")).answer()
    };
    let (first, second) = ("a-token-that-is-long", "another-token-as-long");
    let state = made(&ask(first, "POST", "/v1/states", &json!({ "prompt": TEXT }).to_string()));
    let (one, goes_on) =
        (format!("/v1/states/{}", id(&state)), json!({ "state": id(&state), "max_tokens": 1 }).to_string());
    for (method, path, body) in [
        ("GET", one.clone(), ""),
        ("GET", format!("{one}/file"), ""),
        ("GET", format!("/v1/states?after={}", id(&state)), ""),
        ("POST", one.clone(), "{}"),
        ("POST", format!("{one}/fork"), "{}"),
        ("POST", "/v1/states".into(), goes_on.replace(r#""max_tokens":1,"#, "").as_str()),
        ("POST", "/v1/completions".into(), goes_on.as_str()),
        ("DELETE", one.clone(), ""),
    ] {
        let answer = ask(second, method, &path, body);
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (404, &json!("state_not_found")),
            "{method} {path}"
        );
    }
    assert_eq!(ask(second, "GET", "/v1/states", "").json()["data"], json!([]));
    assert_eq!(ask(first, "POST", "/v1/completions", &goes_on).status, 200);
    // What others have sent makes nothing faster: the beginning is known to its owner alone.
    let prompt = json!({ "prompt": TEXT, "max_tokens": 1 }).to_string();
    let hits = || {
        let metrics = ask(first, "GET", "/metrics", "").body;
        let line = metrics.lines().find(|line| line.starts_with("percept_prefix_hits_total")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!((ask(second, "POST", "/v1/completions", &prompt).status, hits()), (200, 0));
    assert_eq!((ask(first, "POST", "/v1/completions", &prompt).status, hits()), (200, 1));
}

#[test]
fn a_restart_keeps_states_and_knows_their_model() {
    let folder = tempfile::tempdir().unwrap();
    let start = |model| Running::keeping(Some(folder.path()), Limits::default(), Access::Loopback, vec![model]);
    let server = start(served("old", model()));
    let request = json!({ "prompt": TEXT, "max_tokens": 20, "seed": 2, "logprobs": 0, "keep_state": true });
    let first = complete(&server, &request);
    let mut rest = json!({ "state": id(&first["state"]), "max_tokens": 20, "seed": 2, "logprobs": 0 });
    let expected = complete(&server, &rest);
    drop(server);
    // The same weights under another name.
    let server = start(served("new", model()));
    let list = server.get("/v1/states?model=new").json();
    assert_eq!((&list["data"][0]["id"], &list["data"][0]["model"]), (&first["state"]["id"], &json!("new")));
    assert_eq!(complete(&server, &rest), expected);
    drop(server);
    let server = start(served("old", with_layers("rwkv7")));
    rest["model"] = json!("old");
    let answer = server.post("/v1/completions", &rest.to_string());
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (409, &json!("other_model")));
    assert_eq!(server.get("/v1/states?model=old").json()["data"], json!([]));
}

#[test]
fn what_does_not_fit_is_answered_507_and_the_server_goes_on() {
    let server = Running::start(Limits { states_bytes: 5000, ..Limits::default() });
    let pinned = create(&server, &json!({ "prompt": TEXT, "pinned": true }));
    assert!(pinned["bytes"].as_u64().unwrap() > 2500, "room for one: {pinned}");
    let request = json!({ "prompt": TEXT, "max_tokens": 4, "keep_state": true, "seed": 1 });
    let answer = server.post("/v1/completions", &request.to_string());
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (507, &json!("no_room")));
    assert_eq!(server.post(&format!("/v1/states/{}/fork", id(&pinned)), "{}").status, 507);
    let mut stream = request.clone();
    stream["stream"] = json!(true);
    let last = server.post("/v1/completions", &stream.to_string()).events().last().map(|event| (*event).to_owned());
    assert_eq!(serde_json::from_str::<Value>(&last.unwrap()).unwrap()["error"]["code"], "no_room");
    // Once it is not pinned, the next one takes its place.
    server.post(&format!("/v1/states/{}", id(&pinned)), r#"{"pinned":false}"#);
    let kept = complete(&server, &request)["state"].clone();
    assert_eq!(server.get("/v1/states").json()["data"], json!([kept]));
    server.wait_for("percept_states_evicted_total 1");
}

#[test]
fn states_that_keep_keys_and_values_in_another_precision_are_refused_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let start = |model| {
        let models = vec![served("tiny", model)];
        Running::keeping(Some(folder.path()), Limits::default(), Access::Loopback, models)
    };
    let server = start(model());
    let state = create(&server, &json!({ "prompt": TEXT }));
    let (file, _) = file_of(&server, &state);
    let request = json!({ "state": id(&state), "max_tokens": 20, "seed": 2, "logprobs": 0 });
    let expected = complete(&server, &request);
    drop(server);
    let server = start(halves("llp(segment=8)").unwrap());
    let why =
        "this state keeps keys and values in f32, and here they are kept in bf16: go on from it with --keys-values f32";
    for answer in [server.post("/v1/completions", &request.to_string()), server.upload("/v1/states/upload", &file)] {
        assert_eq!((answer.status, &answer.json()["error"]["message"]), (400, &json!(why)));
    }
    let smaller = create(&server, &json!({ "prompt": TEXT }));
    assert!(smaller["bytes"].as_u64() < state["bytes"].as_u64().map(|bytes| 2 * bytes / 3), "{smaller} {state}");
    drop(server);
    let server = start(model());
    assert_eq!(complete(&server, &request), expected);
}

/// A state's file, and where its head ends.
fn file_of(server: &Running, state: &Value) -> (Vec<u8>, usize) {
    let file = server.bytes(&format!("/v1/states/{}/file", id(state)));
    let head = 8 + u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    (file, head)
}

#[test]
fn a_state_that_is_larger_than_one_may_be_is_not_taken() {
    let server = Running::start(Limits::default());
    let (file, head) = file_of(&server, &create(&server, &json!({ "prompt": TEXT })));
    let small = Running::start(Limits { state_bytes: file.len() - 1, ..Limits::default() });
    // It is known by its head: the rest need not come.
    let kind = "Content-Type: application/octet-stream";
    let request = format!(
        "POST /v1/states/upload HTTP/1.0\r\nHost: localhost\r\n{kind}\r\nContent-Length: {}\r\n\r\n",
        file.len()
    );
    let client = small.open(&request);
    client.write(&file[..head]);
    assert_eq!(client.answer().status, 413);
    assert_eq!(small.post("/v1/states", &json!({ "prompt": TEXT }).to_string()).status, 413);
    let large = Running::start(Limits { state_bytes: file.len(), ..Limits::default() });
    assert_eq!(large.upload("/v1/states/upload", &file).status, 201);
}

#[test]
fn a_file_that_does_not_come_is_given_up() {
    let server = Running::start(Limits { receive: Duration::from_millis(50), ..Limits::default() });
    let kind = "Content-Type: application/octet-stream";
    let head = format!("POST /v1/states/upload HTTP/1.0\r\nHost: localhost\r\n{kind}\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(server.open(&head).answer().status, 408);
}

#[test]
fn numbers_of_a_stranger_harm_nobody_else() {
    for layers in LAYERS {
        let server = Running::layers(layers, Limits::default());
        let request = json!({ "prompt": TEXT, "max_tokens": 40, "seed": 7, "logprobs": 1 });
        let expected = complete(&server, &request);
        let (mut file, head) = file_of(&server, &create(&server, &json!({ "prompt": TEXT })));
        let tensors: Value = serde_json::from_slice(&file[8..head]).unwrap();
        for tensor in tensors.as_object().unwrap().values().filter(|tensor| tensor["dtype"] == "F32") {
            let [begin, end] = [0, 1].map(|at| head + tensor["data_offsets"][at].as_u64().unwrap() as usize);
            file[begin..end].chunks_exact_mut(4).for_each(|number| number.copy_from_slice(&f32::NAN.to_le_bytes()));
        }
        let strange = made(&server.upload("/v1/states/upload", &file));
        let from_it = json!({ "state": id(&strange), "prompt": "on", "max_tokens": 40, "seed": 1 }).to_string();
        std::thread::scope(|scope| {
            let others: Vec<_> = (0..4).map(|_| scope.spawn(|| server.post("/v1/completions", &from_it))).collect();
            assert_eq!(complete(&server, &request), expected, "{layers}");
            for other in others {
                let answer = other.join().unwrap();
                let told = (answer.status, answer.json()["error"]["code"].clone());
                assert_eq!(told, (422, json!("no_distribution")), "{layers}: {}", answer.body);
            }
        });
        assert!(server.failures().is_empty(), "it is no failure of ours");
    }
}

#[test]
fn several_texts_go_on_from_one_state_each_by_itself() {
    let server = Running::start(Limits::default());
    let state = create(&server, &json!({ "prompt": TEXT }));
    let ask = |prompt: Value| {
        let request = json!({ "state": id(&state), "prompt": prompt, "max_tokens": 20, "seed": 3, "logprobs": 0 });
        server.complete(&request.to_string())["choices"].as_array().unwrap().iter().map(written).collect::<Vec<_>>()
    };
    let alone: Vec<_> = ["one", "two", "three"].into_iter().flat_map(|prompt| ask(json!(prompt))).collect();
    assert_eq!(ask(json!(["one", "two", "three"])), alone);
    // A state from a state alone is the same one.
    let same = create(&server, &json!({ "state": id(&state), "name": "" }));
    assert_eq!((&same["position"], &same["name"]), (&state["position"], &Value::Null));
    assert_eq!(file_of(&server, &same).0.len(), file_of(&server, &state).0.len());
}

#[test]
fn texts_that_go_on_from_states_wait_for_places_alone() {
    let limits =
        Limits { streams: 20, request: Duration::from_secs(60), send: Duration::from_secs(1000), ..Limits::default() };
    let server = Running::start(limits);
    let state = create(&server, &json!({ "prompt": TEXT }));
    let long = json!({ "state": id(&state), "max_tokens": 60000, "stream": true, "logprobs": 20 }).to_string();
    // More than are loaded at once; nobody reads them, so that each keeps its place.
    let mut clients: Vec<_> = (0..12).map(|_| server.posting("/v1/completions", &long, "")).collect();
    for client in &mut clients {
        assert!(!client.event().unwrap().contains("error"));
    }
    clients.into_iter().for_each(crate::support::Client::close);
}
