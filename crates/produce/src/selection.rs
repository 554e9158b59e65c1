//! Which tags a production computes, and which of them it publishes.

use std::collections::BTreeSet;
use taghouse_model::Name;
use taghouse_rules::{Definitions, Expression, TagDefinition, TagKind, TagMode};

/// Tags in order of dependency.
pub(crate) struct Selection<'a> {
    /// All tags to compute: the published ones and what they are computed from.
    pub(crate) computed: Vec<&'a TagDefinition>,
    /// Those whose values are written, and published unless the stream keeps them current.
    pub(crate) published: BTreeSet<Name>,
    /// Whether these are all tags of the app.
    pub(crate) complete: bool,
}

impl<'a> Selection<'a> {
    /// All tags, or those named with all that is computed from them.
    pub(crate) fn new(definitions: &'a Definitions, only: Option<&[Name]>) -> Self {
        let order = definitions.tag_order();
        let complete = only.is_none();
        let mut published: BTreeSet<Name> = match only {
            Some(only) => only.iter().cloned().collect(),
            None => order.iter().cloned().collect(),
        };
        for name in &order {
            if definitions.tags.get(name).is_some_and(|tag| {
                inputs(tag).iter().any(|input| published.contains(input.as_str()))
            }) {
                published.insert(name.clone());
            }
        }
        // What the stream alone keeps is computed only where others are computed from it.
        published.retain(|name| {
            definitions.tags.get(name).is_some_and(|tag| tag.mode != TagMode::Stream)
        });
        let mut needed = published.clone();
        for name in order.iter().rev().filter(|name| published.contains(*name)) {
            add_inputs(definitions, name, &mut needed);
        }
        let computed = order
            .iter()
            .filter(|name| needed.contains(*name))
            .filter_map(|name| definitions.tags.get(name))
            .collect();
        Self { computed, published, complete }
    }

    /// The tags that the stream keeps, or the one named, with what they are computed from. Nothing
    /// is published.
    pub(crate) fn of_live(definitions: &'a Definitions, only: Option<&Name>) -> Self {
        let order = definitions.tag_order();
        let wanted = |name: &Name| {
            let is_live = definitions.tags.get(name).is_some_and(|tag| tag.mode.is_live());
            is_live && only.is_none_or(|only| only == name)
        };
        let mut needed = BTreeSet::new();
        for name in order.iter().filter(|name| wanted(name)) {
            needed.insert(name.clone());
            add_inputs(definitions, name, &mut needed);
        }
        let computed = order
            .iter()
            .filter(|name| needed.contains(*name))
            .filter_map(|name| definitions.tags.get(name))
            .collect();
        Self { computed, published: BTreeSet::new(), complete: false }
    }
}

impl Selection<'_> {
    /// The tags to write, in order of dependency.
    pub(crate) fn published_tags(&self) -> Vec<TagDefinition> {
        let tags = self.computed.iter().filter(|tag| self.published.contains(&tag.name));
        tags.map(|tag| (*tag).clone()).collect()
    }

    /// The computed tags that are wanted, with all that they are computed from.
    pub(crate) fn with_inputs(
        &self,
        definitions: &Definitions,
        wanted: &dyn Fn(&Name) -> bool,
    ) -> BTreeSet<Name> {
        let mut all: BTreeSet<Name> =
            self.computed.iter().map(|tag| tag.name.clone()).filter(wanted).collect();
        for name in all.clone() {
            add_inputs(definitions, &name, &mut all);
        }
        all
    }
}

fn add_inputs(definitions: &Definitions, name: &Name, needed: &mut BTreeSet<Name>) {
    let Some(tag) = definitions.tags.get(name) else { return };
    for input in inputs(tag) {
        if let Some((input, _)) = definitions.tags.get_key_value(input.as_str())
            && needed.insert(input.clone())
        {
            add_inputs(definitions, input, needed);
        }
    }
}

/// The tags that a tag is computed from. Definitions are checked for cycles before they come here.
pub(crate) fn inputs(tag: &TagDefinition) -> BTreeSet<String> {
    let names = match &tag.kind {
        TagKind::Cohort { rules, .. } => rules.iter().flat_map(|rule| rule.when.names()).collect(),
        TagKind::Expression(Expression::Condition(condition)) => condition.names(),
        TagKind::Expression(Expression::Scalar(scalar)) => scalar.names(),
        TagKind::Attribute { .. }
        | TagKind::Aggregate(_)
        | TagKind::Session(_)
        | TagKind::State(_)
        | TagKind::Sequence(_)
        | TagKind::Sql { .. } => BTreeSet::new(),
    };
    names.into_iter().map(str::to_owned).collect()
}
