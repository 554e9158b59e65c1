//! Where labels come from: they flow from columns of sources to tags, from tags to tags that are
//! computed of them, and on to crowds.

use crate::{
    AccessPolicy, CrowdDefinition, CrowdSource, Definitions, EventMapping, SourceDefinition,
    TagDefinition, TagKind, Use,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use taghouse_model::Name;

/// A tag or a crowd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Labelled<'a> {
    /// By its name.
    Tag(&'a str),
    /// By its name.
    Crowd(&'a str),
}

impl fmt::Display for Labelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(name) => write!(f, "tag {name}"),
            Self::Crowd(name) => write!(f, "crowd {name}"),
        }
    }
}

/// Where something has a label from: the nearest step.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// Its own definition.
    Own,
    Column {
        source: Name,
        column: String,
        /// The column decides which rows count, or as which event.
        decides: bool,
        /// It may be read by a query, which nobody follows further.
        query: bool,
    },
    Tag(Name),
    Crowd(Name),
}

type Labels = BTreeMap<String, Origin>;

/// The labels of all tags and crowds of an app.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lineage {
    tags: BTreeMap<Name, Labels>,
    crowds: BTreeMap<Name, Labels>,
}

/// A label that forbids a use, and the way on which it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden {
    /// The label.
    pub label: String,
    /// `crowd vip uses tag income, which reads column salary of source hr, labelled no-export`
    pub path: String,
}

impl Lineage {
    pub(crate) fn of(
        sources: &BTreeMap<Name, SourceDefinition>,
        tags: &BTreeMap<Name, TagDefinition>,
        crowds: &BTreeMap<Name, CrowdDefinition>,
    ) -> Self {
        let columns = Columns::of(sources);
        let mut lineage = Self::default();
        if columns.is_empty()
            && tags.values().all(|tag| tag.marks.labels.is_empty())
            && crowds.values().all(|crowd| crowd.marks.labels.is_empty())
        {
            return lineage;
        }
        for name in tags.keys() {
            lineage.add_tag(name, tags, &columns);
        }
        for name in crowds.keys() {
            lineage.add_crowd(name, crowds, &columns);
        }
        lineage
    }

    fn add_tag(&mut self, name: &Name, tags: &BTreeMap<Name, TagDefinition>, columns: &Columns) {
        let Some(tag) = tags.get(name).filter(|_| !self.tags.contains_key(name)) else { return };
        // Definitions are checked to have no circles; if there is one, it ends here.
        self.tags.insert(name.clone(), Labels::new());
        let mut labels = columns.of_tag(&tag.kind);
        for input in tag.kind.tags() {
            self.add_tag(&input, tags, columns);
            for label in self.tags.get(&input).into_iter().flat_map(BTreeMap::keys) {
                labels.entry(label.clone()).or_insert_with(|| Origin::Tag(input.clone()));
            }
        }
        labels.extend(tag.marks.labels.iter().map(|label| (label.clone(), Origin::Own)));
        self.tags.insert(name.clone(), labels);
    }

    fn add_crowd(
        &mut self,
        name: &Name,
        crowds: &BTreeMap<Name, CrowdDefinition>,
        columns: &Columns,
    ) {
        let Some(crowd) = crowds.get(name).filter(|_| !self.crowds.contains_key(name)) else {
            return;
        };
        self.crowds.insert(name.clone(), Labels::new());
        let mut labels = match crowd.source {
            CrowdSource::Sql { .. } => columns.of_queries(),
            _ => Labels::new(),
        };
        for tag in crowd.tags() {
            let Some((tag, inherited)) = self.tags.get_key_value(tag) else { continue };
            for label in inherited.keys() {
                labels.entry(label.clone()).or_insert_with(|| Origin::Tag(tag.clone()));
            }
        }
        for other in crowd.crowds() {
            let Some((other, _)) = crowds.get_key_value(other) else { continue };
            self.add_crowd(other, crowds, columns);
            for label in self.crowds.get(other).into_iter().flat_map(BTreeMap::keys) {
                labels.entry(label.clone()).or_insert_with(|| Origin::Crowd(other.clone()));
            }
        }
        labels.extend(crowd.marks.labels.iter().map(|label| (label.clone(), Origin::Own)));
        self.crowds.insert(name.clone(), labels);
    }

    fn labels(&self, of: Labelled<'_>) -> Option<&Labels> {
        match of {
            Labelled::Tag(name) => self.tags.get(name),
            Labelled::Crowd(name) => self.crowds.get(name),
        }
    }

    /// The way on which a label came.
    fn path(&self, of: Labelled<'_>, label: &str, tags: &BTreeMap<Name, TagDefinition>) -> String {
        let mut text = named(of, tags);
        let (mut at, mut verb) = (of, "");
        while let Some(origin) = self.labels(at).and_then(|labels| labels.get(label)) {
            match origin {
                Origin::Own if verb.is_empty() => return format!("{text} is labelled {label}"),
                Origin::Own => break,
                Origin::Column { source, column, decides, query } => {
                    let which = if verb.is_empty() { "" } else { ", which" };
                    let reads = match (decides, query) {
                        (_, true) => "is a query, which may read",
                        (true, _) => "reads rows chosen by",
                        (false, _) => "reads",
                    };
                    text += &format!("{which} {reads} column {column} of source {source}");
                    break;
                }
                Origin::Tag(name) => at = Labelled::Tag(name.as_str()),
                Origin::Crowd(name) => at = Labelled::Crowd(name.as_str()),
            }
            text += &format!("{verb} uses {}", named(at, tags));
            verb = ", which";
        }
        format!("{text}, labelled {label}")
    }
}

/// As people know it: what has no name is shown as it was written.
fn named(of: Labelled<'_>, tags: &BTreeMap<Name, TagDefinition>) -> String {
    match of {
        Labelled::Tag(name) => match tags.get(name).filter(|tag| tag.is_anonymous()) {
            Some(tag) => tag.description.clone().unwrap_or_else(|| of.to_string()),
            None => of.to_string(),
        },
        Labelled::Crowd(_) => of.to_string(),
    }
}

impl Definitions {
    /// The labels that a tag or a crowd has, its own and inherited ones.
    pub fn labels(&self, of: Labelled<'_>) -> BTreeSet<&str> {
        let labels = self.lineage.labels(of).into_iter().flat_map(BTreeMap::keys);
        labels.map(String::as_str).collect()
    }

    /// The first label that forbids the use.
    pub fn forbidden(&self, of: Labelled<'_>, asked: Use) -> Option<Forbidden> {
        forbidden(&self.lineage, &self.app.access, &self.tags, of, asked)
    }

    /// All labels that forbid the use.
    pub fn forbidding(&self, of: Labelled<'_>, asked: Use) -> Vec<Forbidden> {
        let policy = &self.app.access;
        let labels = self.labels(of).into_iter().filter(|label| policy.forbids(label, asked));
        let one = |label: &str| Forbidden {
            label: label.to_owned(),
            path: self.lineage.path(of, label, &self.tags),
        };
        labels.map(one).collect()
    }

    /// The labels of a source's columns that forbid the use, each once.
    pub fn forbidding_columns(&self, source: &str, asked: Use) -> Vec<Forbidden> {
        let Some(definition) = self.sources.get(source) else { return Vec::new() };
        let columns = definition.properties.values().chain(definition.attributes.values());
        let mut found = BTreeMap::new();
        for mapping in columns {
            for label in mapping.labels.iter().filter(|l| self.app.access.forbids(l, asked)) {
                let column = &mapping.column;
                let path = format!("column {column} of source {source} is labelled {label}");
                let one = Forbidden { label: label.clone(), path };
                found.entry(label.clone()).or_insert(one);
            }
        }
        found.into_values().collect()
    }
}

pub(crate) fn forbidden(
    lineage: &Lineage,
    policy: &AccessPolicy,
    tags: &BTreeMap<Name, TagDefinition>,
    of: Labelled<'_>,
    asked: Use,
) -> Option<Forbidden> {
    let labels = lineage.labels(of)?;
    let label = labels.keys().find(|label| policy.forbids(label, asked))?;
    Some(Forbidden { label: label.clone(), path: lineage.path(of, label, tags) })
}

/// The labels of columns, by what reads them.
#[derive(Default)]
struct Columns {
    properties: BTreeMap<Name, Labels>,
    attributes: BTreeMap<Name, Labels>,
    /// Of columns that decide which rows of events count, and as which event.
    events: Labels,
    /// The same of attributes' rows, by attribute.
    rows: BTreeMap<Name, Labels>,
    all: Labels,
}

impl Columns {
    fn of(sources: &BTreeMap<Name, SourceDefinition>) -> Self {
        let mut columns = Self::default();
        for (name, source) in sources {
            let labels = |mapping: &crate::ColumnMapping, decides: bool| -> Labels {
                let origin = Origin::Column {
                    source: name.clone(),
                    column: mapping.column.clone(),
                    decides,
                    query: false,
                };
                mapping.labels.iter().map(|label| (label.clone(), origin.clone())).collect()
            };
            for (property, mapping) in &source.properties {
                columns
                    .properties
                    .entry(property.clone())
                    .or_default()
                    .extend(labels(mapping, false));
                columns.all.extend(labels(mapping, false));
            }
            for (attribute, mapping) in &source.attributes {
                columns
                    .attributes
                    .entry(attribute.clone())
                    .or_default()
                    .extend(labels(mapping, false));
                columns.all.extend(labels(mapping, false));
            }
            let conditions = source.filters.iter().chain(source.rejects.iter().map(|r| &r.when));
            let deciding: BTreeSet<&str> = conditions.flat_map(|c| c.names()).collect();
            let naming: BTreeSet<&str> = match &source.event {
                Some(EventMapping::Rules(rules)) => rules
                    .iter()
                    .filter_map(|rule| rule.when.as_ref())
                    .flat_map(|c| c.names())
                    .collect(),
                _ => BTreeSet::new(),
            };
            let of_property = |property: &&str| source.properties.get(*property);
            for mapping in deciding.iter().chain(&naming).filter_map(of_property) {
                columns.events.extend(labels(mapping, true));
            }
            for mapping in deciding.iter().filter_map(of_property) {
                for attribute in source.attributes.keys() {
                    columns
                        .rows
                        .entry(attribute.clone())
                        .or_default()
                        .extend(labels(mapping, true));
                }
            }
        }
        columns
    }

    fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn of_queries(&self) -> Labels {
        let by_query = |origin: &Origin| match origin.clone() {
            Origin::Column { source, column, decides, .. } => {
                Origin::Column { source, column, decides, query: true }
            }
            other => other,
        };
        self.all.iter().map(|(label, origin)| (label.clone(), by_query(origin))).collect()
    }

    fn of_tag(&self, kind: &TagKind) -> Labels {
        let mut labels = Labels::new();
        let mut add = |more: Option<&Labels>| {
            for (label, origin) in more.into_iter().flatten() {
                labels.entry(label.clone()).or_insert_with(|| origin.clone());
            }
        };
        if let Some(events) = kind.over_events() {
            for property in events.properties() {
                add(self.properties.get(property));
            }
            add(Some(&self.events));
            return labels;
        }
        match kind {
            TagKind::Attribute { attribute } => {
                add(self.attributes.get(attribute));
                add(self.rows.get(attribute));
                labels
            }
            TagKind::Sql { .. } => self.of_queries(),
            _ => labels,
        }
    }
}
