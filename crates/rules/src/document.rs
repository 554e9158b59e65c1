//! YAML files into documents: shape, keys and where everything stands. What the documents mean is
//! for `Definitions::check`.

mod node;
mod shape;

use crate::raw::{
    activation::RawActivation, app::RawApp, crowd::RawCrowd, sink::RawSink, source::RawSource,
    tag::RawTag,
};
use crate::{Error, schema, suggest};
use node::{Node, NodeValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt;
use taghouse_model::{ErrorKind, Invalid};

/// A file of definitions: YAML (or JSON, which is YAML too), perhaps several documents with `---`
/// between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionFile {
    /// What errors call it.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// What is wrong with a definition, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct DefinitionError {
    /// The file, or for a stored definition its kind and name.
    pub path: String,
    /// From 1; 0 where there is no file.
    pub line: usize,
    /// From 1; 0 where there is no file.
    pub column: usize,
    /// What is wrong and how to fix it; of an expression with its text and a caret, on several
    /// lines.
    pub message: String,
}

impl DefinitionError {
    /// Always `Invalid`: fix the definition and call again.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}:{}: {}", self.path, self.column, self.message),
        }
    }
}

/// What a document defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DocumentKind {
    /// The app itself.
    App,
    /// Where events and attributes come from.
    Source,
    /// A description of users.
    Tag,
    /// A set of users.
    Crowd,
    /// Where changes go.
    Sink,
    /// Where a crowd is sent.
    Activation,
}

impl DocumentKind {
    /// Every kind, in the order in which they build on one another.
    pub const ALL: [Self; 6] =
        [Self::App, Self::Source, Self::Tag, Self::Crowd, Self::Sink, Self::Activation];

    /// As the YAML says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Source => "source",
            Self::Tag => "tag",
            Self::Crowd => "crowd",
            Self::Sink => "sink",
            Self::Activation => "activation",
        }
    }
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for DocumentKind {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let near = suggest::did_you_mean(text, Self::ALL.map(Self::as_str));
            Invalid(format!(
                "`{text}` is not a kind of definition{near} (one of app, source, tag, crowd, sink, activation)"
            ))
        })
    }
}

/// One definition, of the right shape and not yet checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it defines.
    pub kind: DocumentKind,
    /// The name; of an app its id.
    pub name: String,
    /// All of it (kind and name too) as canonical JSON, keys in a fixed order, defaults left away:
    /// equal definitions are equal here.
    pub body: Json,
    /// The file it comes from.
    pub path: String,
    /// The line on which it begins, from 1; 0 where there is no file.
    pub line: usize,
    positions: Positions,
}

impl Document {
    /// A document that comes from the catalog and so has no place in a file: errors name its kind
    /// and name instead. `None` if `kind` is none.
    pub fn stored(kind: &str, name: &str, body: &Json) -> Option<Self> {
        let kind: DocumentKind = kind.parse().ok()?;
        let path = format!("{kind} {name}");
        Some(Self {
            kind,
            name: name.to_owned(),
            body: body.clone(),
            path,
            line: 0,
            positions: Positions::new(),
        })
    }

    /// An error at the part that the JSON pointer names, or at the nearest part around it that has
    /// a place.
    pub(crate) fn error(&self, pointer: &str, message: impl Into<String>) -> DefinitionError {
        let position = self.position(pointer).unwrap_or(Position {
            line: self.line,
            column: usize::from(self.line > 0),
            text_column: None,
        });
        DefinitionError {
            path: self.path.clone(),
            line: position.line,
            column: position.column,
            message: message.into(),
        }
    }

    /// An error within the expression that the JSON pointer names.
    pub(crate) fn expression_error(&self, pointer: &str, error: &Error) -> DefinitionError {
        let mut found = self.error(pointer, error.to_string());
        let text_column = self.positions.get(pointer).and_then(|position| position.text_column);
        if let (Error::Syntax(e), Some(column)) = (error, text_column) {
            found.column = column + e.column - 1;
        }
        found
    }

    fn position(&self, pointer: &str) -> Option<Position> {
        let mut pointer = pointer;
        loop {
            if let Some(position) = self.positions.get(pointer) {
                return Some(*position);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }
}

/// Where the parts of a document stand, by JSON pointer.
type Positions = BTreeMap<String, Position>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    line: usize,
    column: usize,
    /// For a text that stands on one line as it is, without escapes: the column of its first
    /// character.
    text_column: Option<usize>,
}

/// Reads definition files: all documents, in order.
///
/// # Errors
/// Everything that is wrong with the files' shape: YAML that cannot be read, unknown keys (with a
/// suggestion), missing keys, values of the wrong kind. All at once, though of a file that is not
/// YAML only the first.
pub fn parse_definitions(files: &[DefinitionFile]) -> Result<Vec<Document>, Vec<DefinitionError>> {
    let mut documents = Vec::new();
    let mut errors = Vec::new();
    for file in files {
        match node::read(file) {
            Ok(nodes) => {
                for node in nodes.iter().filter(|node| node.value != NodeValue::Null) {
                    match document(file, node) {
                        Ok(document) => documents.push(document),
                        Err(wrong) => errors.extend(wrong),
                    }
                }
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(documents) } else { Err(errors) }
}

fn document(file: &DefinitionFile, node: &Node) -> Result<Document, Vec<DefinitionError>> {
    let kind = kind_of(file, node).map_err(|e| vec![e])?;
    let wrong = shape::check(node, schema::of_kind(kind), schema::shared(), kind);
    if !wrong.is_empty() {
        return Err(wrong.into_iter().map(|(at, message)| at.error(file, message)).collect());
    }
    let mut positions = Positions::new();
    let json = node.to_json(&file.text, String::new(), &mut positions);
    let body = canonical(kind, json).map_err(|e| vec![node.at.error(file, e.to_string())])?;
    let name_key = if kind == DocumentKind::App { "id" } else { "name" };
    let name = body.get(name_key).and_then(Json::as_str).unwrap_or_default().to_owned();
    Ok(Document { kind, name, body, path: file.path.clone(), line: node.at.line, positions })
}

fn kind_of(file: &DefinitionFile, node: &Node) -> Result<DocumentKind, DefinitionError> {
    let NodeValue::Map(entries) = &node.value else {
        return Err(node.at.error(
            file,
            "a definition is a mapping that begins with `kind: app`, source, tag, crowd, sink or activation",
        ));
    };
    let Some((_, kind)) = entries.iter().find(|(key, _)| key.text == "kind") else {
        return Err(node
            .at
            .error(file, "`kind` is missing: one of app, source, tag, crowd, sink, activation"));
    };
    let NodeValue::Text(text) = &kind.value else {
        return Err(kind
            .at
            .error(file, "`kind` is one of app, source, tag, crowd, sink, activation"));
    };
    text.parse().map_err(|e: Invalid| kind.at.error(file, e.0))
}

/// The JSON through the raw structs and back: a fixed order of keys, defaults left away.
fn canonical(kind: DocumentKind, json: Json) -> serde_json::Result<Json> {
    fn through<T: DeserializeOwned + Serialize>(json: Json) -> serde_json::Result<Json> {
        serde_json::to_value(serde_json::from_value::<T>(json)?)
    }
    match kind {
        DocumentKind::App => through::<RawApp>(json),
        DocumentKind::Source => through::<RawSource>(json),
        DocumentKind::Tag => through::<RawTag>(json),
        DocumentKind::Crowd => through::<RawCrowd>(json),
        DocumentKind::Sink => through::<RawSink>(json),
        DocumentKind::Activation => through::<RawActivation>(json),
    }
}
