//! The document that is made of the types.

use percept_serve::Limits;
use serde_json::{Value, json};

use crate::support::Running;

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn the_document_names_the_limits_that_no_flag_moves() {
    let server = Running::start(Limits::default());
    let document = server.get("/openapi.json").json();
    let schemas = &document["components"]["schemas"];
    let field = |of: &str, name: &str| schemas[of]["properties"][name].clone();
    for (name, key, limit) in [
        ("logprobs", "maximum", json!(20)),
        ("temperature", "minimum", json!(0.0)),
        ("top_p", "exclusiveMinimum", json!(0.0)),
        ("top_p", "maximum", json!(1.0)),
        ("top_k", "minimum", json!(1)),
        ("min_p", "minimum", json!(0.0)),
        ("min_p", "maximum", json!(1.0)),
        ("logit_bias", "maxProperties", json!(1024)),
        ("n", "maximum", json!(1)),
        ("best_of", "minimum", json!(1)),
        ("presence_penalty", "maximum", json!(0.0)),
        ("frequency_penalty", "minimum", json!(0.0)),
    ] {
        assert_eq!(field("CompletionRequest", name)[key], limit, "{name} {key}");
    }
    let stops = &schemas["Stop"]["anyOf"];
    assert_eq!((&stops[0]["minLength"], &stops[0]["maxLength"]), (&json!(1), &json!(1024)));
    assert_eq!((&stops[1]["maxItems"], &stops[1]["items"]["maxLength"]), (&json!(16), &json!(1024)));
    for of in ["MakeState", "NamedState"] {
        assert_eq!(field(of, "name")["maxLength"], 200, "{of}");
    }
    let in_query = |path: &str, method: &str, name: &str| {
        let parameters = document["paths"][path][method]["parameters"].as_array().unwrap();
        parameters.iter().find(|one| one["name"] == name).unwrap()["schema"].clone()
    };
    let limit = in_query("/v1/states", "get", "limit");
    assert_eq!((&limit["minimum"], &limit["maximum"]), (&json!(1), &json!(100)));
    assert_eq!(in_query("/v1/states/upload", "post", "name")["maxLength"], 200);
}

#[test]
fn the_document_names_every_way_in_and_every_type() {
    let server = Running::start(Limits::default());
    let document = server.get("/openapi.json").json();
    let paths: Vec<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert!(paths.contains(&"/v1/completions") && paths.contains(&"/v1/models/{model}"), "{paths:?}");
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 10);
    for reference in found {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{reference} is not there");
    }
    let request = &document["components"]["schemas"]["CompletionRequest"];
    assert_eq!(request["additionalProperties"], false);
    assert_eq!(request["properties"]["prompt"]["anyOf"][0]["$ref"], "#/components/schemas/Prompt");
    let answers = |path: &str| document["paths"][path]["post"]["responses"]["200"]["content"].clone();
    let events = &answers("/v1/completions")["text/event-stream"]["schema"]["properties"]["data"]["anyOf"];
    assert_eq!(events[0]["contentSchema"]["anyOf"][0], answers("/v1/completions")["application/json"]["schema"]);
    assert_eq!(events[1]["const"], "[DONE]");
    assert!(answers("/v1/tokenize").get("text/event-stream").is_none());
    let operations = paths.iter().flat_map(|path| {
        let methods = document["paths"][*path].as_object().unwrap().keys();
        methods.map(move |method| (path.replace("{model}", "tiny"), method.as_str()))
    });
    for (path, method) in operations {
        let answer = match method {
            "get" => server.get(&path),
            "delete" => server.delete(&path),
            _ => server.post(&path, "{}"),
        };
        // An empty request is a completion of nothing, and lacks a field elsewhere; there is no state, and none is sent.
        let expected: &[u16] = match path.as_str() {
            "/v1/states/upload" => &[415],
            path if path.contains("{state}") => &[404],
            _ => &[200, 201, 400],
        };
        assert!(expected.contains(&answer.status), "{method} {path}: {}", answer.status);
    }
    let states = &document["paths"]["/v1/states"];
    let query: Vec<&Value> = states["get"]["parameters"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(query, ["after", "limit", "model"]);
    assert!(states["post"]["responses"]["201"].is_object());
}
