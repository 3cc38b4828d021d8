//! The OpenAPI document, made of the types that are read and written.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::error::ErrorBody;

/// An operation: read with GET, or written to with POST where it takes a request.
pub(crate) struct Operation {
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) request: Option<Make>,
    pub(crate) answer: Answer,
}

/// Makes the schema of a type.
pub(crate) type Make = fn(&mut SchemaGenerator) -> Schema;

/// What an operation answers with.
pub(crate) enum Answer {
    /// Text, or a document of another kind.
    Other,
    Json(Make),
    /// JSON, or events with JSON in them where the request wants a stream.
    JsonOrEvents(Make),
}

/// The document of all operations.
pub(crate) fn document(operations: &[Operation]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let failed = json!({
        "description": "why not",
        "content": { "application/json": { "schema": generator.subschema_for::<ErrorBody>() } },
    });
    let paths: Map<String, Value> = operations
        .iter()
        .map(|operation| (operation.path.to_owned(), described(operation, &failed, &mut generator)))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Percept", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "security": [{ "token": [] }, {}],
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

/// An event of a stream: in OpenAPI 3.1, the schema of a stream is that of each of its events.
fn event(answer: Schema, failed: &Value) -> Value {
    let json = json!({ "anyOf": [answer, failed["content"]["application/json"]["schema"]] });
    json!({
        "type": "object",
        "required": ["data"],
        "properties": { "data": { "type": "string", "anyOf": [
            { "description": "a part of the answer, or why there is no more", "contentMediaType": "application/json", "contentSchema": json },
            { "description": "after the last part", "const": "[DONE]" },
        ] } },
    })
}

fn described(operation: &Operation, failed: &Value, generator: &mut SchemaGenerator) -> Value {
    let mut given = json!({ "description": "what was asked for" });
    if let Answer::Json(answer) | Answer::JsonOrEvents(answer) = operation.answer {
        given["content"] = json!({ "application/json": { "schema": answer(generator) } });
    }
    if let Answer::JsonOrEvents(answer) = operation.answer {
        given["content"]["text/event-stream"] = json!({ "schema": event(answer(generator), failed) });
    }
    let mut described = json!({
        "summary": operation.summary,
        "responses": { "200": given, "default": failed },
    });
    let parameters: Vec<Value> = operation
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if !parameters.is_empty() {
        described["parameters"] = Value::Array(parameters);
    }
    match operation.request {
        None => json!({ "get": described }),
        Some(request) => {
            let content = json!({ "application/json": { "schema": request(generator) } });
            described["requestBody"] = json!({ "required": true, "content": content });
            json!({ "post": described })
        }
    }
}
