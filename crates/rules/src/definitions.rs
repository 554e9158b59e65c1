//! The check of a whole set of definitions against one another.

mod activation;
mod aggregate;
mod crowd;
mod crowd_policy;
mod events;
mod glob;
mod happened;
mod identities;
mod journey;
mod kafka;
mod link;
mod marks;
mod order;
mod sink;
mod source;
mod strptime;
mod tag;
mod webhook;

pub use events::duration;
pub use glob::FileGlob;
pub use source::RESERVED_PROPERTIES;

use crate::check::{Scope, check_predicate};
use crate::raw::app::RawApp;
use crate::{
    AppDefinition, DefinitionError, Definitions, Document, DocumentKind, EventMapping, Expression,
    Lineage, ParsedPredicate, Predicate, Result, SourceDefinition, SourceFormat, TagDefinition,
    TagKind, parse_and_check_predicate, suggest,
};
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;
use source::ColumnTypes;
use std::collections::{BTreeMap, BTreeSet};
use taghouse_model::{AppId, Name, Value, ValueType};

/// A definition that is well-formed, with the document that it comes from.
type From<'a, T> = (&'a Document, T);

/// Everything wrong that was found so far.
type Errors = Vec<DefinitionError>;

impl Definitions {
    /// Checks all definitions of one app against one another.
    ///
    /// # Errors
    /// Everything that is wrong: not exactly one app, names given twice, expressions that do not
    /// parse or fit, tags that do not have their aggregate's type, unknown names (with a
    /// suggestion), circles. Sorted by place.
    pub fn check(documents: &[Document]) -> std::result::Result<Self, Vec<DefinitionError>> {
        let mut errors = Errors::new();
        let app = app(documents, &mut errors);
        refuse_repetitions(documents, &mut errors);
        // Days and times in expressions are read in the app's zone; where that is wrong, everything
        // else is still checked.
        let zone = app.as_ref().map_or(TimeZone::UTC, |app| app.time_zone.clone());
        let ColumnTypes { properties, attributes } = source::column_types(documents, &mut errors);
        let sources = source::check(documents, &zone, &mut errors);
        let events = closed_events(documents, &sources);
        let inputs = Inputs {
            properties: &properties,
            attributes: &attributes,
            events,
            crowds: crowd_names(documents),
            zone: &zone,
        };
        let mut tags = tag::check(documents, &inputs, &mut errors);
        let anonymous = happened::anonymous_tags(documents, &inputs, &mut errors);
        let mut types = tag::types(documents);
        types.extend(anonymous.types);
        tags.extend(anonymous.tags);
        let crowds = crowd::check(documents, &types, &tags, &zone, &mut errors);
        let sinks = sink::check(
            documents,
            &tags.values().filter(|tag| !tag.is_anonymous()).map(|tag| tag.name.as_str()).collect(),
            &crowd_names(documents),
            &mut errors,
        );
        let known = activation::Known {
            tags: &tags,
            crowds: &crowds,
            crowd_names: &crowd_names(documents),
        };
        let activations = activation::check(documents, &known, &mut errors);
        errors.sort_by(|a, b| {
            (&a.path, a.line, a.column, &a.message).cmp(&(&b.path, b.line, b.column, &b.message))
        });
        match app {
            Some(app) if errors.is_empty() => {
                let lineage = Lineage::of(&sources, &tags, &crowds);
                let definitions = Self { app, sources, tags, crowds, sinks, activations, lineage };
                let mut errors = sink::forbidden(documents, &definitions);
                errors.extend(activation::forbidden(documents, &definitions));
                if errors.is_empty() { Ok(definitions) } else { Err(errors) }
            }
            _ => Err(errors),
        }
    }

    /// The type of every property: the union over the sources.
    pub fn properties(&self) -> BTreeMap<Name, ValueType> {
        let all = self.sources.values().flat_map(|s| &s.properties);
        all.map(|(name, column)| (name.clone(), column.value_type)).collect()
    }

    /// The type of every attribute: the union over the sources.
    pub fn attributes(&self) -> BTreeMap<Name, ValueType> {
        let all = self.sources.values().flat_map(|s| &s.attributes);
        all.map(|(name, column)| (name.clone(), column.value_type)).collect()
    }

    /// The type of a tag's values.
    pub fn tag_type(&self, name: &str) -> Option<ValueType> {
        self.tags.get(name).map(|tag| tag.value_type)
    }

    /// All tags, each after those that it is computed from; otherwise by name.
    pub fn tag_order(&self) -> Vec<Name> {
        let needs = self.tags.iter().map(|(name, tag)| (name.clone(), tag.kind.tags())).collect();
        order::dependencies_first(&needs).0
    }

    /// All crowds, each after those that it is computed from; otherwise by name.
    pub fn crowd_order(&self) -> Vec<Name> {
        let needs = self
            .crowds
            .iter()
            .map(|(name, crowd)| (name.clone(), owned(&crowd.crowds())))
            .collect();
        order::dependencies_first(&needs).0
    }

    /// Reads and checks a condition over this app's tags and crowds: as written, and with literals
    /// of the tags' types.
    ///
    /// # Errors
    /// [`crate::Error::Syntax`] with the place and, for an unknown name, a suggestion.
    pub fn check_expression(&self, text: &str) -> Result<(Predicate, Predicate<Value>)> {
        let named = self.tags.values().filter(|tag| !tag.is_anonymous()).map(|tag| &tag.name);
        let known: Vec<&str> = named.chain(self.crowds.keys()).map(Name::as_str).collect();
        parse_and_check_predicate(
            text,
            &|name| self.tag_type(name),
            &|name| self.crowds.contains_key(name),
            &self.app.time_zone,
            &known,
        )
    }
}

impl TagKind {
    /// The tags that it is computed from.
    pub fn tags(&self) -> BTreeSet<Name> {
        match self {
            Self::Cohort { rules, .. } => {
                rules.iter().flat_map(|rule| owned(&rule.when.names())).collect()
            }
            Self::Expression(Expression::Scalar(scalar)) => owned(&scalar.names()),
            Self::Expression(Expression::Condition(condition)) => owned(&condition.names()),
            Self::Attribute { .. }
            | Self::Aggregate(_)
            | Self::Session(_)
            | Self::State(_)
            | Self::Sequence(_)
            | Self::Sql { .. } => BTreeSet::new(),
        }
    }
}

fn owned(names: &BTreeSet<&str>) -> BTreeSet<Name> {
    // A checked expression only has names that are names.
    names.iter().filter_map(|name| Name::new(name).ok()).collect()
}

/// What tags are computed from.
struct Inputs<'a> {
    properties: &'a BTreeMap<Name, ValueType>,
    attributes: &'a BTreeMap<Name, ValueType>,
    /// The names of all events, where the sources say them all.
    events: Option<BTreeSet<String>>,
    /// No tag is computed from them; known so that errors can say so.
    crowds: BTreeSet<&'a str>,
    zone: &'a TimeZone,
}

/// The names of all possible events; `None` where some source takes them from its input or
/// is wrong, or there is none.
fn closed_events(
    documents: &[Document],
    sources: &BTreeMap<Name, SourceDefinition>,
) -> Option<BTreeSet<String>> {
    if documents.iter().filter(|d| d.kind == DocumentKind::Source).count() != sources.len() {
        return None;
    }
    let mut names = BTreeSet::new();
    for source in sources.values() {
        match &source.event {
            _ if source.format == SourceFormat::Segment => return None,
            Some(EventMapping::Column(_)) => return None,
            Some(EventMapping::Rules(rules)) => {
                names.extend(rules.iter().map(|rule| rule.name.clone()))
            }
            None => {}
        }
    }
    if names.is_empty() { None } else { Some(names) }
}

/// The longest name of an event in definitions, in bytes.
const MAX_EVENT_NAME_BYTES: usize = 128;

fn check_event_name(name: &str) -> std::result::Result<(), String> {
    match name.len() {
        1..=MAX_EVENT_NAME_BYTES => Ok(()),
        bytes => Err(format!(
            "an event's name has 1 to {MAX_EVENT_NAME_BYTES} bytes, and this has {bytes}"
        )),
    }
}

/// The documents of a kind, read; what cannot be read is an error.
fn read<'a, T: DeserializeOwned>(
    documents: &'a [Document],
    kind: DocumentKind,
    errors: &mut Errors,
) -> Vec<From<'a, T>> {
    let mut read = Vec::new();
    for document in documents.iter().filter(|d| d.kind == kind) {
        match T::deserialize(&document.body) {
            Ok(raw) => read.push((document, raw)),
            Err(e) => errors.push(document.error("", format!("not a definition of a {kind}: {e}"))),
        }
    }
    read
}

fn app(documents: &[Document], errors: &mut Errors) -> Option<AppDefinition> {
    let mut apps = documents.iter().filter(|d| d.kind == DocumentKind::App);
    let Some(document) = apps.next() else {
        let path = documents.first().map_or_else(|| "definitions".to_owned(), |d| d.path.clone());
        let message =
            "there is no app: one document with `kind: app` and `id` is needed".to_owned();
        errors.push(DefinitionError {
            path,
            line: usize::from(documents.first().is_some_and(|d| d.line > 0)),
            column: 1,
            message,
        });
        return None;
    };
    for other in apps {
        errors.push(other.error("", format!("a second app: the first is at {}", place(document))));
    }
    let mut wrong = Errors::new();
    let (_, raw) = read::<RawApp>(std::slice::from_ref(document), DocumentKind::App, &mut wrong)
        .pop()
        .or_else(|| {
            errors.append(&mut wrong);
            None
        })?;
    let id = AppId::new(&raw.id).map_err(|e| errors.push(document.error("/id", e.to_string())));
    let time_zone = match raw.time_zone.as_deref() {
        None => Ok(TimeZone::UTC),
        Some(name) => zone_of(name).map_err(|e| errors.push(document.error("/time_zone", e))),
    };
    let identities = raw.identities.map(|raw| identities::check(document, &raw, errors));
    let (id, time_zone) = (id.ok()?, time_zone.ok()?);
    let access = marks::policy(document, raw.access.as_ref(), errors);
    Some(AppDefinition { id, time_zone, description: raw.description, identities, access })
}

/// A zone by its IANA name.
fn zone_of(name: &str) -> std::result::Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        let all: Vec<String> = jiff::tz::db().available().map(|n| n.as_str().to_owned()).collect();
        format!(
            "`{name}` is not an IANA time zone{}",
            suggest::did_you_mean(name, all.iter().map(String::as_str))
        )
    })
}

fn place(document: &Document) -> String {
    if document.line == 0 {
        document.path.clone()
    } else {
        format!("{}:{}", document.path, document.line)
    }
}

/// Names are unique within a kind, in any case: readers of the lake do not all tell `A` from `a`.
fn refuse_repetitions(documents: &[Document], errors: &mut Errors) {
    let mut seen: BTreeMap<(DocumentKind, String), &Document> = BTreeMap::new();
    for document in documents.iter().filter(|d| d.kind != DocumentKind::App) {
        match seen.entry((document.kind, document.name.to_lowercase())) {
            std::collections::btree_map::Entry::Vacant(entry) => _ = entry.insert(document),
            std::collections::btree_map::Entry::Occupied(entry) => {
                let (first, kind, name) = (entry.get(), document.kind, &document.name);
                let message = if first.name == *name {
                    format!("a second {kind} `{name}`: the first is at {}", place(first))
                } else {
                    format!(
                        "{kind} `{name}` differs only in case from `{}` at {}",
                        first.name,
                        place(first)
                    )
                };
                errors.push(document.error("/name", message));
            }
        }
    }
}

/// The document's name, if it is one.
fn name_of(document: &Document, errors: &mut Errors) -> Option<Name> {
    Name::new(&document.name).map_err(|e| errors.push(document.error("/name", e.to_string()))).ok()
}

/// Checks the condition that stands at `pointer`.
fn condition(
    document: &Document,
    pointer: &str,
    text: &str,
    scope: Scope<'_>,
    errors: &mut Errors,
) -> Option<(Predicate, Predicate<Value>)> {
    check_predicate(text, scope)
        .map_err(|e| errors.push(document.expression_error(pointer, &e)))
        .ok()
}

/// As [`condition`], where crowds have no place.
fn condition_without_crowds(
    document: &Document,
    pointer: &str,
    text: &str,
    scope: Scope<'_>,
    errors: &mut Errors,
) -> Option<Predicate<Value>> {
    let mut report = |error: &crate::Error| errors.push(document.expression_error(pointer, error));
    let parsed = ParsedPredicate::parse(text).map_err(|error| report(&error.into())).ok()?;
    if !parsed.tree().crowds().is_empty() {
        errors.push(document.error(
            pointer,
            "`crowd(…)` has its place in crowds only: write the condition itself, or a tag for it",
        ));
        return None;
    }
    parsed.check_in(scope).map_err(|error| report(&error)).ok()
}

fn crowd_names(documents: &[Document]) -> BTreeSet<&str> {
    documents.iter().filter(|d| d.kind == DocumentKind::Crowd).map(|d| d.name.as_str()).collect()
}

/// `pointer` gives the place of what a definition is computed from, by its name.
fn refuse_circles(
    documents: &[Document],
    kind: DocumentKind,
    needs: &BTreeMap<Name, BTreeSet<Name>>,
    pointer: &dyn Fn(&str) -> &'static str,
    errors: &mut Errors,
) {
    for circle in order::dependencies_first(needs).1 {
        let Some(document) = documents
            .iter()
            .find(|d| d.kind == kind && circle.first().is_some_and(|c| c.as_str() == d.name))
        else {
            continue;
        };
        let mut way: Vec<&str> = circle.iter().map(Name::as_str).collect();
        way.push(&document.name);
        errors.push(document.error(
            pointer(&document.name),
            format!("{kind}s are computed from one another in a circle: {}", way.join(" → ")),
        ));
    }
}

/// Tags that are well-formed, whether or not the others are.
fn kept(tags: Vec<TagDefinition>) -> BTreeMap<Name, TagDefinition> {
    tags.into_iter().map(|tag| (tag.name.clone(), tag)).collect()
}
