use crate::aggregate::own_type;
use crate::column::{Columns, Condition, Expression};
use crate::spec::Spec;
use crate::{Calendar, Result};
use hashbrown::HashMap;
use taghouse_model::{TimestampMs, ValueType};
use taghouse_rules::{Aggregate, AggregateFunction};

/// What a pass over the events computes, compiled: tags that look at the same events do so
/// together. Shared by all workers.
#[derive(Debug)]
pub struct BatchPlan {
    pub(super) as_of_ms: TimestampMs,
    pub(super) columns: Columns,
    pub(super) groups: Vec<Group>,
    /// A code for each event name that a tag names; 0 is any other.
    pub(super) codes: HashMap<String, usize>,
    /// For each code the groups that look at it.
    pub(super) by_code: Vec<Vec<usize>>,
    pub(super) tags: Vec<PlannedTag>,
    earliest_ms: TimestampMs,
    ordered: bool,
}

/// Tags over the same events of the same window.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) start_ms: TimestampMs,
    pub(super) filter: Option<Condition>,
    pub(super) values: Vec<ValueGroup>,
    events: Vec<String>,
}

/// Tags over the same values.
#[derive(Debug)]
pub(super) struct ValueGroup {
    pub(super) expression: Option<Expression>,
    pub(super) tags: Vec<usize>,
    opens_sets: bool,
}

#[derive(Debug)]
pub(super) struct PlannedTag {
    pub(super) spec: Spec,
    pub(super) tag_type: ValueType,
}

impl BatchPlan {
    /// A plan for these aggregate tags with their types, as of a time. `types` gives those of
    /// properties.
    ///
    /// # Errors
    /// [`crate::Error::Definition`] if a function does not go with its value's type.
    pub fn new(
        tags: &[(&Aggregate, ValueType)],
        types: &dyn Fn(&str) -> Option<ValueType>,
        calendar: &Calendar,
        as_of_ms: TimestampMs,
    ) -> Result<Self> {
        let mut plan = Self {
            as_of_ms,
            columns: Columns::default(),
            groups: Vec::new(),
            codes: HashMap::new(),
            by_code: vec![Vec::new()],
            tags: Vec::with_capacity(tags.len()),
            earliest_ms: as_of_ms,
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
        let start_ms = calendar.span(aggregate.window).start_ms(self.as_of_ms);
        self.earliest_ms = self.earliest_ms.min(start_ms);
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
        let same = |g: &Group| g.start_ms == start_ms && g.filter == filter && g.events == events;
        let group = match self.groups.iter().position(same) {
            Some(at) => at,
            None => {
                self.groups.push(Group { start_ms, filter, values: Vec::new(), events });
                self.groups.len() - 1
            }
        };
        let (tag, values) = (self.tags.len(), &mut self.groups[group].values);
        let opens_sets = spec.value_type == ValueType::Set && spec.opens_sets();
        match values.iter_mut().find(|v| v.expression == expression && v.opens_sets == opens_sets) {
            Some(value) => value.tags.push(tag),
            None => values.push(ValueGroup { expression, tags: vec![tag], opens_sets }),
        }
        self.tags.push(PlannedTag { spec, tag_type });
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

    /// No event before this instant counts for any tag; the as-of time if there are no tags.
    pub fn earliest_ms(&self) -> TimestampMs {
        self.earliest_ms
    }

    /// How many tags.
    pub fn tags(&self) -> usize {
        self.tags.len()
    }

    /// The as-of time: no event from it on counts.
    pub fn as_of_ms(&self) -> TimestampMs {
        self.as_of_ms
    }

    /// Whether first and last values are asked for, which needs message ids.
    pub(super) fn is_ordered(&self) -> bool {
        self.ordered
    }
}
