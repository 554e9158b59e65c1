use crate::cell::Cell;
use crate::column::{Columns, Expression};
use crate::journey::{Look, Machine, Sequence, Session};
use crate::partial::{AnyPartial, Finished, PartialForm};
use crate::spec::Spec;
use crate::tile::{Span, Tiling};
use crate::{Calendar, Outcome, Result};
use hashbrown::HashMap;
use taghouse_model::{Name, TimestampMs, Value, ValueType};
use taghouse_rules::{
    self as rules, Aggregate, AggregateFunction, Condition, EventFilter, EventTag, Predicate,
    Scalar, Window,
};

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
    /// How the values are read, if there is an expression.
    pub(crate) spec: Spec,
    /// Aggregates of the values.
    pub(crate) tags: Vec<usize>,
    /// Tags that look at the order of these events.
    pub(crate) marks: Vec<Marks>,
    opens_sets: bool,
}

impl ValueGroup {
    /// The tags that look at these events; one that does in several ways is there more than once.
    pub(crate) fn all_tags(&self) -> impl Iterator<Item = usize> {
        self.tags.iter().copied().chain(self.marks.iter().map(|marks| marks.tag))
    }
}

/// The marks that a group's events leave in a tag's states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    pub(crate) tag: usize,
    pub(crate) symbol: u8,
}

#[derive(Debug)]
pub(crate) struct PlannedTag {
    pub(crate) kind: PlannedKind,
    pub(crate) tag_type: ValueType,
    pub(crate) span: Span,
}

/// What is computed of a tag's states.
#[derive(Debug)]
pub(crate) enum PlannedKind {
    Aggregate(Spec),
    Session(Session),
    State(Machine),
    Sequence { sequence: Sequence, keyed: bool },
}

impl PlannedTag {
    /// How its partial aggregates are stored.
    pub(crate) fn form(&self) -> PartialForm {
        match &self.kind {
            PlannedKind::Aggregate(spec) => spec.form(),
            PlannedKind::Session(session) => PartialForm::Sessions { gap_ms: session.gap_ms },
            PlannedKind::State(_) => PartialForm::Trace { keyed: false },
            PlannedKind::Sequence { keyed, .. } => PartialForm::Trace { keyed: *keyed },
        }
    }

    /// What so many different values come to.
    pub(crate) fn look_count(&self, count: u64) -> Look {
        match &self.kind {
            PlannedKind::Aggregate(spec) => {
                Look::steady(spec.outcome(Finished::Count(count), Cell::clone))
            }
            _ => Look::steady(Outcome::Nothing),
        }
    }

    /// What all that counts as of an instant comes to.
    pub(crate) fn look(&self, all: AnyPartial, as_of_ms: TimestampMs) -> Look {
        match (&self.kind, all) {
            (PlannedKind::Aggregate(spec), all) => {
                Look::steady(spec.outcome(all.finish(), Cell::clone))
            }
            (PlannedKind::Session(session), AnyPartial::Sessions(sessions)) => {
                Look::steady(session.outcome(&sessions.finish(session.gap_ms)))
            }
            (PlannedKind::State(machine), AnyPartial::Trace(trace)) => {
                machine.look(&trace.finish(), as_of_ms)
            }
            (PlannedKind::Sequence { sequence, .. }, AnyPartial::Trace(trace)) => {
                sequence.look(&trace.finish(), as_of_ms)
            }
            _ => {
                debug_assert!(false, "a state of another tag");
                Look::steady(Outcome::Nothing)
            }
        }
    }
}

/// Events of a group that are looked at.
struct Events<'a> {
    names: &'a [String],
    filter: Option<&'a Predicate<Value>>,
    window: Window,
}

impl FoldPlan {
    /// A plan for these tags with their types. `types` gives those of properties.
    ///
    /// # Errors
    /// [`crate::Error::Definition`] if a function does not go with its value's type.
    pub fn new(
        tags: &[(EventTag<'_>, ValueType)],
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
        for (tag, tag_type) in tags {
            let planning = Planning { tag_type: *tag_type, types: &types, calendar };
            match tag {
                EventTag::Aggregate(aggregate) => plan.aggregate(aggregate, &planning)?,
                EventTag::Session(session) => plan.session(session, &planning)?,
                EventTag::State(machine) => plan.state(machine, &planning)?,
                EventTag::Sequence(sequence) => plan.sequence(sequence, &planning)?,
            }
        }
        plan.index_events();
        Ok(plan)
    }

    fn aggregate(&mut self, aggregate: &Aggregate, planning: &Planning<'_>) -> Result<()> {
        let spec = Spec::new(aggregate, planning.tag_type, planning.types, planning.calendar)?;
        self.ordered |=
            matches!(aggregate.function, AggregateFunction::First | AggregateFunction::Last);
        let tag = self.tags.len();
        let Aggregate { events, filter, window, value, .. } = aggregate;
        let events = Events { names: events, filter: filter.as_ref(), window: *window };
        self.values(&events, value.as_ref(), &spec, planning).tags.push(tag);
        self.add(PlannedKind::Aggregate(spec), *window, planning);
        Ok(())
    }

    fn session(&mut self, session: &rules::Session, planning: &Planning<'_>) -> Result<()> {
        let rules::Session { of, gap_ms, function, window } = session;
        self.mark(&of.events_of(*window), None, 0, planning)?;
        let kind = Session {
            gap_ms: *gap_ms,
            function: *function,
            tag_type: planning.tag_type,
            calendar: planning.calendar.clone(),
        };
        self.add(PlannedKind::Session(kind), *window, planning);
        Ok(())
    }

    fn state(&mut self, machine: &rules::StateMachine, planning: &Planning<'_>) -> Result<()> {
        let (machine, filters) = Machine::new(machine, planning.tag_type, planning.calendar);
        for (symbol, filter) in (0..).zip(filters) {
            self.mark(&filter.events_of(Window::Lifetime), None, symbol, planning)?;
        }
        self.ordered = true;
        self.add(PlannedKind::State(machine), Window::Lifetime, planning);
        Ok(())
    }

    fn sequence(&mut self, sequence: &rules::Sequence, planning: &Planning<'_>) -> Result<()> {
        let window = sequence.window;
        for (symbol, step) in (0..).zip(&sequence.steps) {
            self.mark(&step.of.events_of(window), step.same.as_ref(), symbol, planning)?;
        }
        self.ordered = true;
        let keyed = sequence.steps.iter().any(|step| step.same.is_some());
        let sequence = Sequence::new(sequence, planning.tag_type, planning.calendar);
        self.add(PlannedKind::Sequence { sequence, keyed }, window, planning);
        Ok(())
    }

    fn add(&mut self, kind: PlannedKind, window: Window, planning: &Planning<'_>) {
        let span = planning.calendar.span(window);
        self.tags.push(PlannedTag { kind, tag_type: planning.tag_type, span });
    }

    /// Lets events leave marks in the states of the tag that is added next.
    fn mark(
        &mut self,
        events: &Events<'_>,
        key: Option<&Name>,
        symbol: u8,
        planning: &Planning<'_>,
    ) -> Result<()> {
        // The key is read as the last value of a property would be.
        let value = key.map(|property| Scalar::Name(property.to_string()));
        let value_type = key.and_then(|property| (planning.types)(property.as_str()));
        let read = Aggregate {
            function: key.map_or(AggregateFunction::Count, |_| AggregateFunction::Last),
            events: Vec::new(),
            value: value.clone(),
            filter: None,
            window: events.window,
            exact_up_to: None,
        };
        let tag_type = value_type.unwrap_or(ValueType::Int);
        let spec = Spec::new(&read, tag_type, planning.types, planning.calendar)?;
        let marks = Marks { tag: self.tags.len(), symbol };
        self.values(events, value.as_ref(), &spec, planning).marks.push(marks);
        Ok(())
    }

    /// Where the values of these events are gathered.
    fn values(
        &mut self,
        events: &Events<'_>,
        value: Option<&Scalar<Value>>,
        spec: &Spec,
        planning: &Planning<'_>,
    ) -> &mut ValueGroup {
        let group = self.group(events, planning);
        let expression =
            value.map(|value| Expression::compile(value, &mut self.columns, planning.types));
        let opens_sets = spec.value_type == ValueType::Set && spec.opens_sets();
        let values = &mut self.groups[group].values;
        let same = |v: &ValueGroup| v.expression == expression && v.opens_sets == opens_sets;
        let at = values.iter().position(same).unwrap_or_else(|| {
            let (tags, marks) = (Vec::new(), Vec::new());
            values.push(ValueGroup { expression, spec: spec.clone(), tags, marks, opens_sets });
            values.len() - 1
        });
        &mut values[at]
    }

    fn group(&mut self, events: &Events<'_>, planning: &Planning<'_>) -> usize {
        let window = events.window;
        let filter = events.filter.map(|filter| self.columns.condition(filter, planning.types));
        let mut names = events.names.to_vec();
        names.sort();
        names.dedup();
        let same = |g: &Group| g.window == window && g.filter == filter && g.events == names;
        self.groups.iter().position(same).unwrap_or_else(|| {
            let span = planning.calendar.span(window);
            self.groups.push(Group { span, filter, values: Vec::new(), window, events: names });
            self.groups.len() - 1
        })
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

    /// Whether the order of events matters, which needs message ids.
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

/// What a tag is planned with.
struct Planning<'a> {
    tag_type: ValueType,
    types: &'a dyn Fn(&str) -> Option<ValueType>,
    calendar: &'a Calendar,
}

trait EventsOf {
    fn events_of(&self, window: Window) -> Events<'_>;
}

impl EventsOf for EventFilter {
    fn events_of(&self, window: Window) -> Events<'_> {
        Events { names: &self.events, filter: self.filter.as_ref(), window }
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
