//! The live tags of an app, compiled.

use crate::Result;
use crate::watches::Watches;
use std::collections::HashSet;
use std::sync::Arc;
use taghouse_fold::{AttributeFold, Calendar, DerivedFold, FoldPlan};
use taghouse_model::{Name, ValueType};
use taghouse_rules::{ANONYMOUS_TAG, Definitions, Expression, TagDefinition, TagKind};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// What the stream computes of an app. A tag's number is its place in `tags`.
pub(crate) struct StreamPlan {
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) fold: Arc<FoldPlan>,
    /// Those with states first: those over events in the order of `fold`, then attributes; then
    /// derived ones, each after its inputs; then live crowds.
    pub(crate) tags: Vec<LiveTag>,
    /// The live crowds that are computed only for users whom a change may concern.
    pub(crate) watches: Arc<Watches>,
    /// Of all live tags of the definitions, be it that the plan has a part of them.
    pub(crate) fingerprint: String,
}

/// Which of an app's live tags a plan is of.
#[derive(Clone, Copy)]
pub(crate) enum Part<'p> {
    All,
    /// Those with these hashes, and the live crowds that need no others.
    Only(&'p HashSet<u64>),
    /// Those with states that have other hashes than these.
    StatesBut(&'p HashSet<u64>),
}

impl Part<'_> {
    fn has_states_of(self, hash: u64) -> bool {
        match self {
            Self::All => true,
            Self::Only(held) => held.contains(&hash),
            Self::StatesBut(held) => !held.contains(&hash),
        }
    }

    fn has_derived(self, hash: u64) -> bool {
        match self {
            Self::All => true,
            Self::Only(held) => held.contains(&hash),
            Self::StatesBut(_) => false,
        }
    }
}

pub(crate) struct LiveTag {
    pub(crate) name: Name,
    /// Of all that its states and values follow, so that it names them: those of another hash are of
    /// no use, and those of the same one stay when other definitions change.
    pub(crate) hash: u64,
    pub(crate) value_type: ValueType,
    pub(crate) kind: LiveKind,
    /// Whether it is a live crowd: its value is whether a user is a member, and is not shown.
    pub(crate) is_crowd: bool,
}

pub(crate) enum LiveKind {
    OverEvents,
    Attribute { attribute: Name, fold: AttributeFold },
    Derived(Derived),
}

pub(crate) struct Derived {
    pub(crate) fold: DerivedFold,
    /// What it is computed by, where dates relative to now have a part in it: the fold is made
    /// again for each instant then.
    pub(crate) moving: Option<Box<TagKind>>,
    /// The numbers of the tags that it is computed from, with their names.
    pub(crate) inputs: Vec<(String, usize)>,
}

impl StreamPlan {
    /// `None`: the app has no live tags.
    ///
    /// # Errors
    /// Of the fold, for definitions that do not go together.
    pub(crate) fn new(definitions: &Arc<Definitions>) -> Result<Option<Self>> {
        Self::of(definitions, Part::All)
    }

    /// The same of a part of them.
    ///
    /// # Errors
    /// As [`StreamPlan::new`].
    pub(crate) fn of(definitions: &Arc<Definitions>, part: Part<'_>) -> Result<Option<Self>> {
        // Asked ten times a second, also of apps that have none.
        if !definitions.tags.values().any(|tag| tag.mode.is_live()) {
            return Ok(None);
        }
        let live: Vec<&TagDefinition> = definitions
            .tag_order()
            .iter()
            .filter_map(|name| definitions.tags.get(name))
            .filter(|tag| tag.mode.is_live())
            .collect();
        let properties = definitions.properties();
        let calendar = Calendar::new(&definitions.app.time_zone);
        let (mut over_events, mut tags) = (Vec::new(), Vec::new());

        // 1. Tags over events, in an order that does not hang on other definitions.
        for tag in by_name(&live) {
            let Some(event_tag) = tag.kind.over_events() else { continue };
            let hash = hash(definitions, tag);
            if part.has_states_of(hash) {
                over_events.push((event_tag, tag.value_type));
                tags.push(LiveTag::new(tag, hash, LiveKind::OverEvents));
            }
        }
        let types = |name: &str| properties.get(name).copied();
        let fold = Arc::new(FoldPlan::new(&over_events, &types, &calendar)?);

        // 2. Attributes.
        for tag in by_name(&live) {
            let TagKind::Attribute { attribute } = &tag.kind else { continue };
            let hash = hash(definitions, tag);
            if part.has_states_of(hash) {
                let fold = AttributeFold::new(tag.value_type, &calendar);
                let attribute = attribute.clone();
                tags.push(LiveTag::new(tag, hash, LiveKind::Attribute { attribute, fold }));
            }
        }
        // 3. What is computed from them, in the order of dependency.
        for tag in &live {
            let Some(fold) = derived(definitions, tag.value_type, &tag.kind) else { continue };
            let inputs = named(&tags, tag.kind.tags().iter().map(Name::as_str));
            let hash = with_inputs(hash(definitions, tag), &inputs, &tags);
            if part.has_derived(hash) {
                let moving = tag.kind.moves().then(|| Box::new(tag.kind.clone()));
                let kind = LiveKind::Derived(Derived { fold, moving, inputs });
                tags.push(LiveTag::new(tag, hash, kind));
            }
        }
        // 4. Live crowds, which may come and go while the states stay.
        let watches = Arc::new(add_crowds(&mut tags, definitions, part));
        let fingerprint = fingerprint(definitions, &live);
        let definitions = definitions.clone();
        Ok(Some(Self { definitions, fold, tags, watches, fingerprint }))
    }

    /// The hashes of tags and live crowds, by number.
    pub(crate) fn all_hashes(&self) -> Vec<u64> {
        self.tags.iter().map(|tag| tag.hash).collect()
    }

    /// The hashes of the tags, without live crowds.
    pub(crate) fn hashes(&self) -> HashSet<u64> {
        self.tags.iter().filter(|tag| !tag.is_crowd).map(|tag| tag.hash).collect()
    }

    /// The same of live crowds.
    pub(crate) fn crowd_hashes(&self) -> HashSet<u64> {
        self.tags.iter().filter(|tag| tag.is_crowd).map(|tag| tag.hash).collect()
    }

    /// How many are tags: the first ones.
    pub(crate) fn without_crowds(&self) -> usize {
        self.tags.iter().take_while(|tag| !tag.is_crowd).count()
    }

    /// How many tags have states: the first ones.
    pub(crate) fn with_states(&self) -> usize {
        self.tags.iter().take_while(|tag| tag.has_states()).count()
    }

    /// The definitions of the tags.
    pub(crate) fn tag_definitions(&self) -> Vec<&TagDefinition> {
        let tags = self.tags.iter().filter(|tag| !tag.is_crowd);
        tags.filter_map(|tag| self.definitions.tags.get(&tag.name)).collect()
    }
}

impl LiveTag {
    fn has_states(&self) -> bool {
        !matches!(self.kind, LiveKind::Derived(_))
    }

    /// Whether it stands for a condition of live crowds on what users did.
    pub(crate) fn is_anonymous(&self) -> bool {
        !self.is_crowd && self.name.as_str().starts_with(ANONYMOUS_TAG)
    }

    fn new(tag: &TagDefinition, hash: u64, kind: LiveKind) -> Self {
        Self { name: tag.name.clone(), hash, value_type: tag.value_type, kind, is_crowd: false }
    }
}

/// Adds the live crowds of which all tags are there. Gives those that are computed only where a
/// comparison of theirs changes.
fn add_crowds(tags: &mut Vec<LiveTag>, definitions: &Definitions, part: Part<'_>) -> Watches {
    let with_states = tags.iter().take_while(|tag| tag.has_states()).count();
    let mut watches = Watches::default();
    for crowd in definitions.crowds.values().filter(|crowd| crowd.is_live) {
        let Some(checked) = crowd.rule().map(|rule| &rule.checked) else { continue };
        let rule = TagKind::Expression(Expression::Condition(checked.clone()));
        let Some(fold) = derived(definitions, ValueType::Bool, &rule) else { continue };
        let inputs = named(tags, checked.names().into_iter());
        let is_whole = inputs.len() == checked.names().len();
        if matches!(part, Part::StatesBut(_)) || !is_whole {
            continue;
        }
        let text = format!("crowd {} {rule:?} {:?}", crowd.name, zone(definitions));
        let hash = with_inputs(xxh3_64(text.as_bytes()), &inputs, tags);
        let moving = rule.moves().then(|| Box::new(rule));
        if moving.is_none() && inputs.iter().all(|(_, at)| *at < with_states) {
            let types: Vec<ValueType> = inputs.iter().map(|(_, at)| tags[*at].value_type).collect();
            watches.add(tags.len(), checked, &inputs, &types);
        }
        let kind = LiveKind::Derived(Derived { fold, moving, inputs });
        let (name, value_type) = (crowd.name.clone(), ValueType::Bool);
        tags.push(LiveTag { name, hash, value_type, kind, is_crowd: true });
    }
    watches.finish();
    watches
}

/// The numbers of these tags, with their names.
fn named<'a>(tags: &[LiveTag], names: impl Iterator<Item = &'a str>) -> Vec<(String, usize)> {
    let number = |name: &str| {
        let at = tags.iter().position(|tag| !tag.is_crowd && tag.name.as_str() == name)?;
        Some((name.to_owned(), at))
    };
    names.filter_map(number).collect()
}

fn by_name<'a>(tags: &[&'a TagDefinition]) -> Vec<&'a TagDefinition> {
    let mut tags = tags.to_vec();
    tags.sort_by(|a, b| a.name.cmp(&b.name));
    tags
}

/// How a tag of this type is computed from others, if it is.
pub(crate) fn derived(
    definitions: &Definitions,
    value_type: ValueType,
    kind: &TagKind,
) -> Option<DerivedFold> {
    let types = |name: &str| definitions.tag_type(name);
    match kind {
        TagKind::Cohort { rules, otherwise } => {
            Some(DerivedFold::cohort(rules, otherwise.as_ref(), value_type, &types))
        }
        TagKind::Expression(expression) => {
            Some(DerivedFold::expression(expression, value_type, &types))
        }
        TagKind::Aggregate(_)
        | TagKind::Session(_)
        | TagKind::State(_)
        | TagKind::Sequence(_)
        | TagKind::Attribute { .. }
        | TagKind::Sql { .. } => None,
    }
}

/// The definitions that all states and values follow.
fn fingerprint(definitions: &Definitions, live: &[&TagDefinition]) -> String {
    let text: String = by_name(live).into_iter().map(|tag| followed(definitions, tag)).collect();
    format!("{:032x}", xxh3_128(text.as_bytes()))
}

/// The same of one tag, without its inputs.
fn hash(definitions: &Definitions, tag: &TagDefinition) -> u64 {
    xxh3_64(followed(definitions, tag).as_bytes())
}

fn with_inputs(own: u64, inputs: &[(String, usize)], tags: &[LiveTag]) -> u64 {
    let mut bytes = own.to_le_bytes().to_vec();
    bytes.extend(inputs.iter().flat_map(|(_, at)| tags[*at].hash.to_le_bytes()));
    xxh3_64(&bytes)
}

fn zone(definitions: &Definitions) -> Option<&str> {
    definitions.app.time_zone.iana_name()
}

/// What the tag's states and values follow: its definition, the types of the properties that it
/// looks at, and the zone.
fn followed(definitions: &Definitions, tag: &TagDefinition) -> String {
    let zone = zone(definitions);
    let mut text = format!("\n{} {:?} {:?} {zone:?}", tag.name, tag.value_type, tag.kind);
    if let Some(event_tag) = tag.kind.over_events() {
        let properties = definitions.properties();
        for property in event_tag.properties() {
            text += &format!(" {property}: {:?}", properties.get(property));
        }
    }
    text
}
