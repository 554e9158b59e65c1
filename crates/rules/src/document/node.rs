//! A YAML document as a tree in which every part knows its place.

use super::{DefinitionError, DefinitionFile, Position, Positions};
use rust_decimal::Decimal;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};
use serde_saphyr::Spanned;
use std::fmt;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub(super) line: usize,
    pub(super) column: usize,
    byte: Option<usize>,
    bytes: usize,
}

impl Span {
    pub(super) fn error(
        self,
        file: &DefinitionFile,
        message: impl Into<String>,
    ) -> DefinitionError {
        DefinitionError {
            path: file.path.clone(),
            line: self.line,
            column: self.column,
            message: message.into(),
        }
    }
}

impl From<serde_saphyr::Location> for Span {
    fn from(location: serde_saphyr::Location) -> Self {
        let small = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let size = |n: Option<u64>| n.and_then(|n| usize::try_from(n).ok());
        let span = location.span();
        Self {
            line: small(location.line()),
            column: small(location.column()),
            byte: size(span.byte_offset()),
            bytes: size(span.byte_len()).unwrap_or(0),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: NodeValue,
    pub(super) at: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) at: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum NodeValue {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The most documents of one file: room for an app of tens of thousands of tags.
const MAX_DOCUMENTS: usize = 100_000;

/// All documents of a file.
pub(super) fn read(file: &DefinitionFile) -> Result<Vec<Node>, DefinitionError> {
    // YAML 1.2: only `true` and `false` are truth values, so that a country `NO` stays a text.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: 64, max_documents: MAX_DOCUMENTS },
    };
    match serde_saphyr::from_multiple_with_options::<Spanned<NodeValue>>(&file.text, options) {
        Ok(nodes) => Ok(nodes.into_iter().map(Node::from).collect()),
        Err(e) => {
            let at = e.location().map(Span::from).unwrap_or(Span {
                line: 1,
                column: 1,
                ..Span::default()
            });
            let message = e.render_with_formatter(&serde_saphyr::UserMessageFormatter);
            Err(at.error(file, format!("not YAML: {}", without_place(&message))))
        }
    }
}

/// The message without the place that serde-saphyr ends it with, for ours begins with it.
fn without_place(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |at| &message[..at])
}

impl From<Spanned<NodeValue>> for Node {
    fn from(spanned: Spanned<NodeValue>) -> Self {
        Self { value: spanned.value, at: spanned.referenced.into() }
    }
}

impl<'de> Deserialize<'de> for NodeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = NodeValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_unit<E>(self) -> Result<NodeValue, E> {
        Ok(NodeValue::Null)
    }

    fn visit_none<E>(self) -> Result<NodeValue, E> {
        Ok(NodeValue::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<NodeValue, E> {
        Ok(NodeValue::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<NodeValue, E> {
        Ok(NodeValue::Int(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<NodeValue, E> {
        Ok(i64::try_from(v).map_or(NodeValue::Float(v as f64), NodeValue::Int))
    }

    fn visit_f64<E>(self, v: f64) -> Result<NodeValue, E> {
        Ok(NodeValue::Float(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<NodeValue, E> {
        Ok(NodeValue::Text(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<NodeValue, E> {
        Ok(NodeValue::Text(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<NodeValue, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = seq.next_element::<Spanned<NodeValue>>()? {
            nodes.push(node.into());
        }
        Ok(NodeValue::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NodeValue, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, node)) = map.next_entry::<Spanned<String>, Spanned<NodeValue>>()? {
            entries.push((Key { text: key.value, at: key.referenced.into() }, node.into()));
        }
        Ok(NodeValue::Map(entries))
    }
}

impl Node {
    /// The same as JSON; where each part stands goes into `positions`.
    pub(super) fn to_json(&self, source: &str, pointer: String, positions: &mut Positions) -> Json {
        let text_column = if let NodeValue::Text(text) = &self.value {
            self.text_column(source, text)
        } else {
            None
        };
        let position = Position { line: self.at.line, column: self.at.column, text_column };
        let json = match &self.value {
            NodeValue::Null => Json::Null,
            NodeValue::Bool(v) => Json::from(*v),
            NodeValue::Int(v) => Json::from(*v),
            NodeValue::Float(v) => self.number(source, *v),
            NodeValue::Text(v) => Json::from(v.as_str()),
            NodeValue::List(nodes) => nodes
                .iter()
                .enumerate()
                .map(|(i, node)| node.to_json(source, format!("{pointer}/{i}"), positions))
                .collect(),
            NodeValue::Map(entries) => {
                let mut object = Map::new();
                for (key, node) in entries {
                    let step = key.text.replace('~', "~0").replace('/', "~1");
                    object.insert(
                        key.text.clone(),
                        node.to_json(source, format!("{pointer}/{step}"), positions),
                    );
                }
                Json::Object(object)
            }
        };
        positions.insert(pointer, position);
        json
    }

    fn source<'a>(&self, source: &'a str) -> Option<&'a str> {
        let start = self.at.byte?;
        source.get(start..start.checked_add(self.at.bytes)?)
    }

    fn text_column(&self, source: &str, text: &str) -> Option<usize> {
        let written = self.source(source)?;
        if written == text {
            return Some(self.at.column);
        }
        let quoted = written.len() == text.len() + 2
            && written.starts_with(['"', '\''])
            && written.get(1..=text.len()) == Some(text);
        quoted.then_some(self.at.column + 1)
    }

    /// A number with a point: as it is where a JSON number keeps its digits, else as `{"decimal":
    /// …}`.
    fn number(&self, source: &str, value: f64) -> Json {
        let plain = Json::from(value);
        let kept = Decimal::from_str_exact(&plain.to_string()).ok();
        let written =
            self.source(source).and_then(|text| Decimal::from_str_exact(text.trim()).ok());
        match written {
            Some(written) if kept != Some(written) => {
                serde_json::json!({"decimal": written.to_string()})
            }
            _ => plain,
        }
    }
}
