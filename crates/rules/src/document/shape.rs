//! Whether a document has the shape that its JSON Schema gives, so that the schema is the one truth
//! and every mistake is found at once. Knows what schemars makes of our raw structs, not all of
//! JSON Schema; patterns and ranges are left to the check of meaning.

use super::DocumentKind;
use super::node::{Node, NodeValue, Span};
use crate::suggest;
use serde_json::Value as Json;

/// Keys of tags that are to come.
const LATER: [&str; 1] = ["import"];

/// Everything wrong with `node`.
pub(super) fn check(
    node: &Node,
    schema: &Json,
    root: &Json,
    kind: DocumentKind,
) -> Vec<(Span, String)> {
    let mut shape = Shape { root, wrong: Vec::new() };
    shape.node(node, schema, "");
    if kind == DocumentKind::Tag
        && let NodeValue::Map(entries) = &node.value
    {
        for (key, _) in entries.iter().filter(|(key, _)| LATER.contains(&key.text.as_str())) {
            let unknown = shape.wrong.iter_mut().find(|(at, _)| *at == key.at);
            if let Some((_, message)) = unknown {
                *message =
                    format!("a tag's `{}` comes with the stream and is not there yet", key.text);
            }
        }
    }
    shape.wrong.sort_by_key(|(at, _)| (at.line, at.column));
    shape.wrong
}

struct Shape<'a> {
    root: &'a Json,
    wrong: Vec<(Span, String)>,
}

impl<'a> Shape<'a> {
    fn error(&mut self, at: Span, message: String) {
        self.wrong.push((at, message));
    }

    /// The schema that a `$ref` stands for.
    fn resolved(&self, schema: &'a Json) -> &'a Json {
        match schema["$ref"].as_str() {
            Some(reference) => reference
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer))
                .unwrap_or(schema),
            None => schema,
        }
    }

    /// `key` is what holds the node; empty for the document itself and for elements of a list.
    fn node(&mut self, node: &Node, schema: &'a Json, key: &str) {
        let schema = self.resolved(schema);
        if let Some(allowed) = self.allowed_texts(schema) {
            return self.one_of(node, &allowed, key);
        }
        if let Some(branches) = alternatives(schema) {
            let fitting = branches.iter().map(|b| self.resolved(b)).filter(|b| self.takes(b, node));
            // Of several the first of those that know most of the keys: its errors are the ones
            // that help.
            return match fitting.min_by_key(|b| unknown_keys(b, node)) {
                Some(branch) => self.node(node, branch, key),
                None => self.unfit(node, schema, key),
            };
        }
        if !self.takes(schema, node) {
            return self.unfit(node, schema, key);
        }
        match &node.value {
            NodeValue::Map(_) => self.map(node, schema),
            NodeValue::List(nodes) => nodes.iter().for_each(|n| self.node(n, &schema["items"], "")),
            _ => {}
        }
    }

    fn map(&mut self, node: &Node, schema: &'a Json) {
        let NodeValue::Map(entries) = &node.value else { return };
        let properties = schema["properties"].as_object();
        let what = schema["title"].as_str().unwrap_or("it");
        for (key, value) in entries {
            match (properties.and_then(|p| p.get(&key.text)), &schema["additionalProperties"]) {
                (Some(schema), _) => self.node(value, schema, &key.text),
                (None, others @ Json::Object(_)) => self.node(value, others, &key.text),
                (None, _) => {
                    let known: Vec<&str> =
                        properties.iter().flat_map(|p| p.keys()).map(String::as_str).collect();
                    let near = suggest::did_you_mean(&key.text, known.iter().copied());
                    let all = if near.is_empty() {
                        format!(" (known: {})", known.join(", "))
                    } else {
                        String::new()
                    };
                    self.error(key.at, format!("unknown key `{}` in {what}{near}{all}", key.text));
                }
            }
        }
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str)
        {
            if !entries.iter().any(|(key, _)| key.text == required) {
                self.error(node.at, format!("{what} needs `{required}`"));
            }
        }
    }

    /// The texts that an enum allows.
    fn allowed_texts(&self, schema: &'a Json) -> Option<Vec<&'a str>> {
        let schema = self.resolved(schema);
        if let Some(only) = schema["const"].as_str() {
            return Some(vec![only]);
        }
        if let Some(all) = schema["enum"].as_array() {
            return all.iter().map(Json::as_str).collect();
        }
        let branches: Option<Vec<Vec<&str>>> =
            alternatives(schema)?.iter().map(|b| self.allowed_texts(b)).collect();
        Some(branches?.concat())
    }

    fn one_of(&mut self, node: &Node, allowed: &[&str], key: &str) {
        match &node.value {
            NodeValue::Text(text) if allowed.contains(&text.as_str()) => {}
            NodeValue::Text(text) => {
                let near = suggest::did_you_mean(text, allowed.iter().copied());
                self.error(
                    node.at,
                    format!("{}`{text}` is not one of {}{near}", holder(key), allowed.join(", ")),
                );
            }
            _ => self.error(
                node.at,
                format!(
                    "{}expected one of {}, found {}",
                    holder(key),
                    allowed.join(", "),
                    found(node)
                ),
            ),
        }
    }

    /// Whether the node is of a kind that the schema takes at all.
    fn takes(&self, schema: &'a Json, node: &Node) -> bool {
        let schema = self.resolved(schema);
        if self.allowed_texts(schema).is_some() {
            return matches!(node.value, NodeValue::Text(_));
        }
        if let Some(branches) = alternatives(schema) {
            return branches.iter().any(|b| self.takes(b, node));
        }
        let types = types_of(schema);
        types.is_empty() || types.iter().any(|ty| is_of(&node.value, ty))
    }

    fn unfit(&mut self, node: &Node, schema: &'a Json, key: &str) {
        let mut expected: Vec<&str> = Vec::new();
        self.expected(schema, &mut expected);
        let quotes = match node.value {
            NodeValue::Bool(_) | NodeValue::Int(_) | NodeValue::Float(_)
                if expected.contains(&"text") =>
            {
                "; write it in quotes"
            }
            _ => "",
        };
        self.error(
            node.at,
            format!(
                "{}expected {}, found {}{quotes}",
                holder(key),
                expected.join(" or "),
                found(node)
            ),
        );
    }

    fn expected(&self, schema: &'a Json, words: &mut Vec<&'a str>) {
        let schema = self.resolved(schema);
        if let Some(branches) = alternatives(schema) {
            return branches.iter().for_each(|b| self.expected(b, words));
        }
        for ty in types_of(schema) {
            let word = match ty {
                "boolean" => "true or false",
                "integer" => "a whole number",
                "number" => "a number",
                "string" => "text",
                "array" => "a list",
                "object" => "a mapping",
                _ => continue,
            };
            if !words.contains(&word) {
                words.push(word);
            }
        }
    }
}

/// The alternatives of a schema; not those that only say which keys go together.
fn alternatives(schema: &Json) -> Option<&Vec<Json>> {
    ["anyOf", "oneOf"].iter().find_map(|key| schema[*key].as_array()).filter(|all| {
        all.iter().any(|b| b.get("required").is_none() || b.get("properties").is_some())
    })
}

/// How many of the node's keys the schema does not have.
fn unknown_keys(schema: &Json, node: &Node) -> usize {
    let NodeValue::Map(entries) = &node.value else { return 0 };
    entries.iter().filter(|(key, _)| schema["properties"].get(&key.text).is_none()).count()
}

/// Whether a value is of a type as JSON Schema calls it.
fn is_of(value: &NodeValue, ty: &str) -> bool {
    match value {
        NodeValue::Null => ty == "null",
        NodeValue::Bool(_) => ty == "boolean",
        NodeValue::Int(_) => ty == "integer" || ty == "number",
        NodeValue::Float(_) => ty == "number",
        NodeValue::Text(_) => ty == "string",
        NodeValue::List(_) => ty == "array",
        NodeValue::Map(_) => ty == "object",
    }
}

fn types_of(schema: &Json) -> Vec<&str> {
    match &schema["type"] {
        Json::String(one) => vec![one],
        Json::Array(all) => all.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn holder(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("`{key}`: ") }
}

fn found(node: &Node) -> &'static str {
    match node.value {
        NodeValue::Null => "nothing",
        NodeValue::Bool(_) => "a truth value",
        NodeValue::Int(_) | NodeValue::Float(_) => "a number",
        NodeValue::Text(_) => "text",
        NodeValue::List(_) => "a list",
        NodeValue::Map(_) => "a mapping",
    }
}
