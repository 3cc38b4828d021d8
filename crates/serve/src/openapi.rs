//! The OpenAPI document, made of the types that are read and written.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::error::ErrorBody;

/// Makes the schema of a type.
pub(crate) type Make = fn(&mut SchemaGenerator) -> Schema;

/// What a request holds, or an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    /// Nothing, or what is not described.
    None,
    Json(Make),
    /// A file.
    File,
}

/// An operation: what is done at a path by a method.
pub(crate) struct Operation {
    /// In small letters.
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    /// What may stand behind a `?`.
    pub(crate) query: Option<Make>,
    pub(crate) request: Content,
    /// The status where it succeeds.
    pub(crate) status: u16,
    pub(crate) answer: Content,
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
    let mut paths = Map::new();
    for operation in operations {
        let described = described(operation, &failed, &mut generator);
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        methods[operation.method] = described;
    }
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

fn described(operation: &Operation, failed: &Value, generator: &mut SchemaGenerator) -> Value {
    let mut given = json!({ "description": "what was asked for" });
    if let Some(content) = content(operation.answer, generator) {
        given["content"] = content;
    }
    let mut described = json!({
        "summary": operation.summary,
        "responses": { operation.status.to_string(): given, "default": failed },
    });
    let named = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = named
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if let Some(query) = operation.query {
        parameters.extend(in_query(query(generator), generator));
    }
    if !parameters.is_empty() {
        described["parameters"] = Value::Array(parameters);
    }
    if let Some(content) = content(operation.request, generator) {
        described["requestBody"] = json!({ "required": true, "content": content });
    }
    described
}

fn content(content: Content, generator: &mut SchemaGenerator) -> Option<Value> {
    match content {
        Content::None => None,
        Content::Json(make) => Some(json!({ "application/json": { "schema": make(generator) } })),
        Content::File => Some(json!({ "application/octet-stream": {} })),
    }
}

/// The fields of a type as parameters of a query; none of them is required.
fn in_query(schema: Schema, generator: &SchemaGenerator) -> Vec<Value> {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let fields = generator.definitions().get(name).and_then(|schema| schema.get("properties")?.as_object());
    let parameter = |(name, schema): (&String, &Value)| json!({ "name": name, "in": "query", "schema": schema });
    fields.into_iter().flatten().map(parameter).collect()
}
