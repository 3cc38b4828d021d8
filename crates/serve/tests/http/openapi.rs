//! The document that is made of the types.

use percept_serve::Limits;
use serde_json::Value;

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
    for path in paths {
        let operation = document["paths"][path].as_object().unwrap();
        let method = operation.keys().next().unwrap();
        let answer = match method.as_str() {
            "get" => server.get(&path.replace("{model}", "tiny")),
            _ => server.post(path, "{}"),
        };
        // An empty request is a completion of nothing, and lacks a field elsewhere.
        assert!(answer.status == 200 || answer.status == 400, "{path}: {}", answer.status);
    }
}
