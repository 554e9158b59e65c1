//! The page of definitions, made from their JSON Schema.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;

const HEAD: &str = "# Definitions

*This page is made from the JSON Schema of definition files by `make docs`.*

An app, its sources, tags and crowds are YAML documents. A file may hold several, with a line `---` between them. A folder of such files is
applied as a whole: all of it, or nothing if anything in it is wrong. `taghouse schema` prints the schema; an editor that knows it
completes keys and shows mistakes while you type.

A key in **bold** must be there.
";

/// The four kinds of documents; parts follow the first kind that has them.
const KINDS: [&str; 4] = ["App", "Source", "Tag", "Crowd"];

/// The whole page.
pub fn page(schema: &Value) -> String {
    let mut writer =
        Writer { definitions: &schema["$defs"], seen: BTreeSet::new(), page: HEAD.to_owned() };
    for kind in KINDS {
        writer.seen.insert(kind.to_owned());
        writer.section(kind, 2);
        let mut waiting = writer.parts(kind);
        while !waiting.is_empty() {
            let part = waiting.remove(0);
            if writer.seen.insert(part.clone()) {
                writer.section(&part, 3);
                waiting.extend(writer.parts(&part));
            }
        }
    }
    writer.page
}

struct Writer<'a> {
    definitions: &'a Value,
    seen: BTreeSet<String>,
    page: String,
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// `"#/$defs/Tag"` → `Tag`
fn referred(value: &Value) -> Option<&str> {
    value["$ref"].as_str()?.rsplit('/').next()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A text as a cell of a table: on one line, and nothing in it means anything to Markdown but code
/// in backquotes.
pub fn cell(text: &str) -> String {
    let plain = |part: &str| part.replace('*', "\\*").replace('<', "\\<");
    let parts = text
        .split('`')
        .enumerate()
        .map(|(at, part)| if at % 2 == 0 { plain(part) } else { part.to_owned() });
    parts.collect::<Vec<_>>().join("`").replace('\n', " ").replace('|', "\\|")
}

impl Writer<'_> {
    fn section(&mut self, name: &str, level: usize) {
        let definition = &self.definitions[name];
        _ = writeln!(
            self.page,
            "\n{} {}\n\n{}",
            "#".repeat(level),
            self.title(name),
            text(definition, "description")
        );
        if definition["properties"].is_object() {
            self.keys(definition);
        } else {
            self.choices(definition);
        }
    }

    fn title(&self, name: &str) -> String {
        let titled = text(&self.definitions[name], "title").to_owned();
        let words = if titled.is_empty() { spaced(name) } else { titled };
        let mut letters = words.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect())
            .unwrap_or_default()
    }

    /// An object: a row a key.
    fn keys(&mut self, definition: &Value) {
        self.page.push_str("\n| key | what it holds | meaning |\n|---|---|---|\n");
        let required: Vec<&str> = list(&definition["required"]).filter_map(Value::as_str).collect();
        for (key, property) in definition["properties"].as_object().into_iter().flatten() {
            let shown = if required.contains(&key.as_str()) {
                format!("**`{key}`**")
            } else {
                format!("`{key}`")
            };
            _ = writeln!(
                self.page,
                "| {shown} | {} | {} |",
                self.shape(property),
                cell(text(property, "description"))
            );
        }
    }

    /// One of several words or shapes: a row each.
    fn choices(&mut self, definition: &Value) {
        self.page.push_str("\n| one of | meaning |\n|---|---|\n");
        for choice in list(&definition["oneOf"]).chain(list(&definition["anyOf"])) {
            let shown = choice["const"]
                .as_str()
                .map_or_else(|| self.shape(choice), |word| format!("`{word}`"));
            _ = writeln!(self.page, "| {shown} | {} |", cell(text(choice, "description")));
        }
    }

    /// What a key holds, in words.
    fn shape(&self, value: &Value) -> String {
        if let Some(name) = referred(value) {
            let words: Vec<&str> = list(&self.definitions[name]["oneOf"])
                .filter_map(|choice| choice["const"].as_str())
                .collect();
            return match words.as_slice() {
                [word] => format!("`{word}`"),
                _ => format!(
                    "[{}](#{})",
                    self.title(name).to_lowercase(),
                    self.title(name).to_lowercase().replace(' ', "-").replace('\'', "")
                ),
            };
        }
        let choices: Vec<String> = list(&value["anyOf"])
            .chain(list(&value["oneOf"]))
            .filter(|choice| choice["type"] != "null")
            .map(|choice| self.shape(choice))
            .collect();
        if !choices.is_empty() {
            return choices.join(" or ");
        }
        let types: Vec<&str> = value["type"]
            .as_str()
            .into_iter()
            .chain(list(&value["type"]).filter_map(Value::as_str))
            .collect();
        match types.iter().find(|word| **word != "null") {
            Some(&"string") => "text".to_owned(),
            Some(&"integer") => "a whole number".to_owned(),
            Some(&"number") => "a number".to_owned(),
            Some(&"boolean") => "`true` or `false`".to_owned(),
            Some(&"array") => format!("a list of {}", self.shape(&value["items"])),
            Some(&"object") => {
                format!("names, each with {}", self.shape(&value["additionalProperties"]))
            }
            _ => "anything".to_owned(),
        }
    }

    /// The definitions that one names and that have a section of their own, in order.
    fn parts(&self, name: &str) -> Vec<String> {
        let mut parts = Vec::new();
        let mut waiting = vec![&self.definitions[name]];
        while let Some(value) = waiting.pop() {
            match value {
                Value::Object(fields) => {
                    let single = |name: &str| list(&self.definitions[name]["oneOf"]).count() == 1;
                    parts.extend(referred(value).filter(|name| !single(name)).map(str::to_owned));
                    waiting.extend(fields.values().rev());
                }
                Value::Array(items) => waiting.extend(items.iter().rev()),
                _ => {}
            }
        }
        parts
    }
}

/// `ColumnType` → `column type`
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}
