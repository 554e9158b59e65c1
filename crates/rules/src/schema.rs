use crate::DocumentKind;
use crate::raw::{
    activation::RawActivation, app::RawApp, crowd::RawCrowd, sink::RawSink, source::RawSource,
    tag::RawTag,
};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json, json};
use std::sync::OnceLock;

/// The JSON Schema (2020-12) of one YAML document, for editors; shipped as
/// `schema/taghouse.schema.json`.
pub fn json_schema() -> Json {
    shared().clone()
}

/// The same schema, made once: documents are checked against it.
pub(crate) fn shared() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(generate)
}

/// The schema of one kind's documents.
pub(crate) fn of_kind(kind: DocumentKind) -> &'static Json {
    &shared()["$defs"][definition_name(kind)]
}

fn definition_name(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::App => "App",
        DocumentKind::Source => "Source",
        DocumentKind::Tag => "Tag",
        DocumentKind::Crowd => "Crowd",
        DocumentKind::Sink => "Sink",
        DocumentKind::Activation => "Activation",
    }
}

fn generate() -> Json {
    let mut definitions = Map::new();
    add::<RawApp>(DocumentKind::App, &mut definitions);
    add::<RawSource>(DocumentKind::Source, &mut definitions);
    add::<RawTag>(DocumentKind::Tag, &mut definitions);
    add::<RawCrowd>(DocumentKind::Crowd, &mut definitions);
    add::<RawSink>(DocumentKind::Sink, &mut definitions);
    add::<RawActivation>(DocumentKind::Activation, &mut definitions);
    definitions.sort_keys();
    let any: Vec<Json> = DocumentKind::ALL
        .into_iter()
        .map(|kind| json!({"$ref": format!("#/$defs/{}", definition_name(kind))}))
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A Taghouse definition",
        "description": "An app, a source, a tag, a crowd, a sink or an activation. A file may hold several documents, separated by ---.",
        "type": "object",
        "required": ["kind"],
        "oneOf": any,
        "$defs": definitions,
    })
}

fn add<T: JsonSchema>(kind: DocumentKind, definitions: &mut Map<String, Json>) {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
    polish(&mut schema);
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        if let Some(Json::Object(parts)) = object.remove("$defs") {
            definitions
                .extend(parts.into_iter().map(|(name, part)| (plain(&name).to_owned(), part)));
        }
    }
    definitions.insert(definition_name(kind).to_owned(), schema);
}

/// The structs' names without the `Raw` that tells them from the definitions.
fn plain(name: &str) -> &str {
    name.strip_prefix("Raw").unwrap_or(name)
}

/// Renames the references to structs, and joins the lines of comments: editors would show their
/// line breaks.
fn polish(schema: &mut Json) {
    match schema {
        Json::Object(object) => {
            for (key, value) in object {
                match (key.as_str(), value.as_str()) {
                    ("$ref", Some(reference)) => {
                        let name = reference.trim_start_matches("#/$defs/");
                        *value = Json::from(format!("#/$defs/{}", plain(name)));
                    }
                    ("description", Some(text)) => *value = Json::from(text.replace('\n', " ")),
                    _ => polish(value),
                }
            }
        }
        Json::Array(all) => all.iter_mut().for_each(polish),
        _ => {}
    }
}
