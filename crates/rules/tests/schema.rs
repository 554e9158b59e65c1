//! The JSON Schema that is shipped is the one that the code gives. `UPDATE_SCHEMA=1` rewrites it.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::Value as Json;
use std::path::Path;

#[test]
fn the_shipped_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema/taghouse.schema.json");
    let made = serde_json::to_string_pretty(&taghouse_rules::json_schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &made).unwrap();
    }
    let shipped = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        shipped == made,
        "schema/taghouse.schema.json is not what the code gives: run this test with UPDATE_SCHEMA=1 and look at the diff"
    );
}

/// Editors show the descriptions, so every key has one.
#[test]
fn every_key_is_described() {
    let schema = taghouse_rules::json_schema();
    let mut keys = 0;
    for (definition, part) in schema["$defs"].as_object().unwrap() {
        for (key, property) in part["properties"].as_object().into_iter().flatten() {
            keys += 1;
            assert!(
                property["description"].as_str().is_some_and(|d| d.len() > 3),
                "{definition}.{key} has no description"
            );
        }
        if part["type"] == "object" {
            assert_eq!(
                part["additionalProperties"],
                Json::Bool(false),
                "{definition} takes unknown keys"
            );
        }
    }
    assert!(keys > 50, "only {keys} keys");
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(json: &Json, root: &Json) {
        match json {
            Json::Object(object) => {
                for (key, value) in object {
                    if key == "$ref" {
                        let pointer = value.as_str().unwrap().strip_prefix('#').unwrap();
                        assert!(root.pointer(pointer).is_some(), "{pointer} leads nowhere");
                    }
                    walk(value, root);
                }
            }
            Json::Array(all) => all.iter().for_each(|part| walk(part, root)),
            _ => {}
        }
    }
    let schema = taghouse_rules::json_schema();
    walk(&schema, &schema);
}
