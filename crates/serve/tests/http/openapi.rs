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
