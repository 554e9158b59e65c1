use crate::column::{Columns, Condition, Expression};
use crate::spec::Spec;
use crate::tile::{Span, Tiling};
use crate::{Calendar, Result};
use hashbrown::HashMap;
use taghouse_model::ValueType;
use taghouse_rules::{Aggregate, AggregateFunction, Window};

/// What is computed from events, compiled: tags that look at the same events do so together.
/// One plan serves the batch ([`crate::BatchFold`]) and the stream ([`crate::TileFold`]).
#[derive(Debug)]
pub struct FoldPlan {
    pub(crate) columns: Columns,
    pub(crate) groups: Vec<Group>,
    /// A code for each event name that a tag names; 0 is any other.
    pub(crate) codes: HashMap<String, usize>,
    /// For each code the groups that look at it.
    pub(crate) by_code: Vec<Vec<usize>>,
    pub(crate) tags: Vec<PlannedTag>,
    ordered: bool,
}

/// Tags over the same events of the same window.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) span: Span,
    pub(crate) filter: Option<Condition>,
    pub(crate) values: Vec<ValueGroup>,
    window: Window,
    events: Vec<String>,
}

/// Tags over the same values.
#[derive(Debug)]
pub(crate) struct ValueGroup {
    pub(crate) expression: Option<Expression>,
    pub(crate) tags: Vec<usize>,
    opens_sets: bool,
}

#[derive(Debug)]
pub(crate) struct PlannedTag {
    pub(crate) spec: Spec,
    pub(crate) tag_type: ValueType,
    pub(crate) span: Span,
}

impl FoldPlan {
    /// A plan for these aggregate tags with their types. `types` gives those of properties.
    ///
    /// # Errors
    /// [`crate::Error::Definition`] if a function does not go with its value's type.
    pub fn new(
        tags: &[(&Aggregate, ValueType)],
        types: &dyn Fn(&str) -> Option<ValueType>,
        calendar: &Calendar,
    ) -> Result<Self> {
        let mut plan = Self {
            columns: Columns::default(),
            groups: Vec::new(),
            codes: HashMap::new(),
            by_code: vec![Vec::new()],
            tags: Vec::with_capacity(tags.len()),
            ordered: false,
        };
        let types = |name: &str| own_type(name).or_else(|| types(name));
        for (aggregate, tag_type) in tags {
            plan.add(aggregate, *tag_type, &types, calendar)?;
        }
        plan.index_events();
        Ok(plan)
    }

    fn add(
        &mut self,
        aggregate: &Aggregate,
        tag_type: ValueType,
        types: &dyn Fn(&str) -> Option<ValueType>,
        calendar: &Calendar,
    ) -> Result<()> {
        let spec = Spec::new(aggregate, tag_type, types, calendar)?;
        self.ordered |=
            matches!(aggregate.function, AggregateFunction::First | AggregateFunction::Last);
        let (window, span) = (aggregate.window, calendar.span(aggregate.window));
        let filter = aggregate
            .filter
            .as_ref()
            .map(|filter| Condition::compile(filter, &mut self.columns, types));
        let expression = aggregate
            .value
            .as_ref()
            .map(|value| Expression::compile(value, &mut self.columns, types));
        let mut events = aggregate.events.clone();
        events.sort();
        events.dedup();

        let same = |g: &Group| g.window == window && g.filter == filter && g.events == events;
        let group = match self.groups.iter().position(same) {
            Some(at) => at,
            None => {
                let span = span.clone();
                self.groups.push(Group { span, filter, values: Vec::new(), window, events });
                self.groups.len() - 1
            }
        };

        let (tag, values) = (self.tags.len(), &mut self.groups[group].values);
        let opens_sets = spec.value_type == ValueType::Set && spec.opens_sets();
        match values.iter_mut().find(|v| v.expression == expression && v.opens_sets == opens_sets) {
            Some(value) => value.tags.push(tag),
            None => values.push(ValueGroup { expression, tags: vec![tag], opens_sets }),
        }
        self.tags.push(PlannedTag { spec, tag_type, span });
        Ok(())
    }

    fn index_events(&mut self) {
        for name in self.groups.iter().flat_map(|g| &g.events) {
            if !self.codes.contains_key(name) {
                self.codes.insert(name.clone(), self.by_code.len());
                self.by_code.push(Vec::new());
            }
        }
        for (at, group) in self.groups.iter().enumerate() {
            if group.events.is_empty() {
                self.by_code.iter_mut().for_each(|groups| groups.push(at));
            }
            for code in group.events.iter().filter_map(|name| self.codes.get(name)) {
                self.by_code[*code].push(at);
            }
        }
    }

    /// The columns of events that a batch must have: `event` and `time`, `message_id` if order
    /// matters, and properties.
    pub fn columns(&self) -> Vec<&str> {
        let fixed = ["event", "time"].into_iter().chain(self.ordered.then_some("message_id"));
        fixed
            .chain(self.columns.iter().map(|(name, _)| name).filter(|name| {
                own_type(name).is_none() && (*name != "message_id" || !self.ordered)
            }))
            .collect()
    }

    /// How many tags.
    pub fn tags(&self) -> usize {
        self.tags.len()
    }

    /// Whether first and last values are asked for, which needs message ids.
    pub(crate) fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// The tilings in use, each once.
    pub(crate) fn tilings(&self) -> Vec<Tiling> {
        let mut all: Vec<Tiling> = self.groups.iter().map(|group| group.span.tiling()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The type of what every event has.
fn own_type(name: &str) -> Option<ValueType> {
    match name {
        "time" => Some(ValueType::Time),
        "event" => Some(ValueType::Text),
        _ => None,
    }
}
