//! Answers are as the OpenAPI document says: nothing is missing, and nothing is there that it does not name.

use percept_serve::Limits;
use serde_json::{Map, Value, json};

use crate::support::Running;

/// Whether a value is as a schema says; a keyword that is not known here is a fault of this test.
fn check(value: &Value, schema: &Value, document: &Value, place: &str) -> Result<(), String> {
    let Some(schema) = schema.as_object() else { return Ok(()) };
    for (keyword, says) in schema {
        let of = |says: &Value| check(value, says, document, place);
        match keyword.as_str() {
            "$ref" => {
                let place = says.as_str().and_then(|text| text.strip_prefix('#')).unwrap();
                of(document.pointer(place).unwrap())?;
            }
            "anyOf" => {
                let refused: Vec<String> = says.as_array().unwrap().iter().filter_map(|one| of(one).err()).collect();
                if refused.len() == says.as_array().unwrap().len() {
                    return Err(refused.join("; "));
                }
            }
            "type" => {
                let types = says.as_array().cloned().unwrap_or_else(|| vec![says.clone()]);
                if !types.iter().any(|name| is(value, name.as_str().unwrap())) {
                    return Err(format!("{place} is {value}, not {says}"));
                }
            }
            "required" => {
                let missing = says.as_array().unwrap().iter().find(|name| value.get(name.as_str().unwrap()).is_none());
                if let Some(name) = missing {
                    return Err(format!("{place} has no {name}"));
                }
            }
            "items" => {
                for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(item, says, document, &format!("{place}[{at}]"))?;
                }
            }
            "minimum" if value.is_number() && value.as_f64() < says.as_f64() => {
                return Err(format!("{place} is {value}"));
            }
            "properties" | "additionalProperties" | "description" | "format" | "minimum" | "maximum" => {}
            _ => panic!("what does {keyword} mean?"),
        }
    }
    fields(value, schema, document, place)
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("what is {name}?"),
    }
}

/// The fields of an object, and those that the schema does not name.
fn fields(value: &Value, schema: &Map<String, Value>, document: &Value, place: &str) -> Result<(), String> {
    if !schema.contains_key("properties") && !schema.contains_key("additionalProperties") {
        return Ok(());
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        let known = schema.get("properties").and_then(|all| all.get(name)).or(schema.get("additionalProperties"));
        let known = known.ok_or_else(|| format!("{place} has {name}, which the document does not name"))?;
        check(field, known, document, &format!("{place}.{name}"))?;
    }
    Ok(())
}

#[test]
fn answers_are_as_the_document_says() {
    let server = Running::start(Limits { max_tokens: 100, ..Limits::default() });
    let document = server.get("/openapi.json").json();
    let is_as = |value: &Value, path: &str, method: &str, status: &str| {
        let responses = &document["paths"][path][method]["responses"];
        let schema = &responses[status]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {path} {status}: {responses}");
        check(value, schema, &document, path).unwrap_or_else(|why| panic!("{method} {path} {status}: {why}\n{value}"));
    };
    let completions = "/v1/completions";
    for (path, good, bad) in [
        (
            completions,
            json!({ "prompt": "é", "max_tokens": 3, "logprobs": 2, "echo": true }),
            json!({ "max_tokens": 101 }),
        ),
        (completions, json!({ "prompt": ["a", "b"], "max_tokens": 0 }), json!({ "n": 2 })),
        ("/v1/tokenize", json!({ "text": "é" }), json!({ "model": "other", "text": "a" })),
        ("/v1/detokenize", json!({ "tokens": [195] }), json!({ "tokens": [300] })),
    ] {
        is_as(&server.post(path, &good.to_string()).json(), path, "post", "200");
        is_as(&server.post(path, &bad.to_string()).json(), path, "post", "default");
    }
    let streamed =
        json!({ "max_tokens": 3, "logprobs": 1, "stream": true, "stream_options": { "include_usage": true } });
    let answer = server.post(completions, &streamed.to_string());
    let (last, events) = answer.events().split_last().map(|(last, events)| (*last, events.to_vec())).unwrap();
    assert!(last == "[DONE]" && events.len() > 3, "{}", answer.body);
    for event in events {
        is_as(&serde_json::from_str(event).unwrap(), completions, "post", "200");
    }
    for path in ["/v1/models", "/health"] {
        is_as(&server.get(path).json(), path, "get", "200");
    }
    is_as(&server.get("/v1/models/tiny").json(), "/v1/models/{model}", "get", "200");
    is_as(&server.get("/v1/models/other").json(), "/v1/models/{model}", "get", "default");
    let answer = server.post(completions, &json!({ "max_tokens": 1 }).to_string());
    let id = answer.head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    assert_eq!(answer.json()["id"], format!("cmpl-{id}"));
    let card = server.get("/v1/models/tiny").json();
    assert_eq!((&answer.json()["system_fingerprint"], &card["id"]), (&card["fingerprint"], &json!("tiny")));
    // The check itself refuses what is wrong.
    let schema = json!({ "$ref": "#/components/schemas/Tokenized" });
    for wrong in [
        json!({ "tokens": [1] }),
        json!({ "tokens": ["a"], "count": 1 }),
        json!({ "tokens": [], "count": 0, "more": 1 }),
    ] {
        assert!(check(&wrong, &schema, &document, "wrong").is_err(), "{wrong}");
    }
}
