//! States: what is kept of a text, and that a text goes on from it as if it had never been cut.

use percept_data::Tokenizer;
use percept_model::Session;
use percept_serve::{Access, Limits, Tokens};
use serde_json::{Value, json};

use crate::support::{Answer, Running, model, served, with_layers};

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
    for layers in LAYERS {
        let server = Running::layers(layers, Limits { piece: 16, ..Limits::default() });
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
fn what_is_no_state_is_refused_before_there_is_room_for_it() {
    let server = Running::start(Limits { state_bytes: 20_000, ..Limits::default() });
    let state = create(&server, &json!({ "prompt": TEXT }));
    let file = server.bytes(&format!("/v1/states/{}/file", id(&state)));
    let of_another = Session::new(with_layers("rwkv7")).to_bytes().unwrap();
    let mut huge = file.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    for (bytes, message) in [
        (&b""[..], "ended too early"),
        (&file[..4], "ended too early"),
        (&file[..file.len() - 1], "ended too early"),
        (&[&file[..], b"x"].concat(), "more in the request"),
        (&of_another, "another model"),
        (&huge, "damaged"),
        (b"\x02\0\0\0\0\0\0\0{}", "not a state file"),
        (&[0xff; 3000], "damaged"),
    ] {
        let answer = server.upload("/v1/states/upload", bytes);
        let error = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(answer.status == 400 && error.contains(message), "{} {error}", answer.status);
    }
    assert_eq!(server.upload("/v1/states/upload?nam=x", &file).status, 400);
    assert_eq!(server.upload("/v1/states/upload?model=none", &file).status, 404);
    assert_eq!(server.post("/v1/states/upload", "{}").status, 415);
    let small = Running::start(Limits { state_bytes: 1000, ..Limits::default() });
    assert_eq!(
        (
            small.upload("/v1/states/upload", &file).status,
            small.post("/v1/states", r#"{"prompt":"ab cd ef gh"}"#).status
        ),
        (413, 413)
    );
    assert_eq!(server.upload("/v1/states/upload", &file).status, 201);
}

#[test]
fn ids_are_parsed_and_other_requests_refused() {
    let server = Running::start(Limits::default());
    for id in
        ["x", "state-", "..%2f..%2fetc%2fpasswd", "state-aaaaaaaaaaaaaaaaaaaa%2f.", "state-aaaaaaaaaaaaaaaaaaaaaa"]
    {
        assert_eq!(server.get(&format!("/v1/states/{id}")).status, 404, "{id}");
        assert_eq!(server.get(&format!("/v1/states/{id}/file")).status, 404, "{id}");
        assert_eq!(server.post("/v1/completions", &json!({ "state": id }).to_string()).status, 404, "{id}");
    }
    let long = "n".repeat(201);
    for (path, body) in [
        ("/v1/states", r#"{"prompt":["a","b"]}"#.to_owned()),
        ("/v1/states", r#"{"prompts":"a"}"#.to_owned()),
        ("/v1/states", json!({ "prompt": "a", "name": long }).to_string()),
        ("/v1/completions", r#"{"prompt":["a","b"],"keep_state":true}"#.to_owned()),
    ] {
        assert_eq!(server.post(path, &body).status, 400, "{body}");
    }
    for path in ["/v1/states?limit=0", "/v1/states?limit=101", "/v1/states?limit=x", "/v1/states?more=1"] {
        assert_eq!(server.get(path).status, 400, "{path}");
    }
}
