//! Dates relative to now: conditions that become true and false by the clock alone.

use crate::{CohortRule, CompareOp, Expression, Predicate, Scalar, TagKind, Test};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use std::fmt::{Display, Formatter};
use taghouse_model::{TimestampMs, Value};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// The first year whose anniversaries are looked for.
const FIRST_YEAR: i16 = 1900;

/// What is asked of a date, relative to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moving {
    /// It is its anniversaries that are asked for.
    pub anniversary: bool,
    /// On which side of now.
    pub when: When,
    /// How far.
    pub length: Length,
}

/// On which side of now a date lies, and how far from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// `within last 30d`: this day and the 29 before; hours and minutes are counted from now.
    Last,
    /// `within next 7d`: this day and the 6 after.
    Next,
    /// `older than 30d`: before what `within last 30d` begins with.
    Older,
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Days of the app's zone.
    Days(u32),
    /// Of 60 minutes.
    Hours(u32),
    /// Of 60 seconds.
    Minutes(u32),
}

impl Length {
    /// Reads `30d`, `12h` or `90m`, as long as a window may be.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let digits_only = digits.bytes().all(|b| b.is_ascii_digit());
        match (digits.parse().ok().filter(|_| digits_only)?, unit) {
            (n @ 1..=3660, "d") => Some(Self::Days(n)),
            (n @ 1..=8784, "h") => Some(Self::Hours(n)),
            (n @ 1..=1440, "m") => Some(Self::Minutes(n)),
            _ => None,
        }
    }

    fn fixed_ms(self) -> Option<i64> {
        match self {
            Self::Days(_) => None,
            Self::Hours(hours) => Some(i64::from(hours) * HOUR_MS),
            Self::Minutes(minutes) => Some(i64::from(minutes) * MINUTE_MS),
        }
    }
}

impl Display for Length {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Days(count) => write!(f, "{count}d"),
            Self::Hours(count) => write!(f, "{count}h"),
            Self::Minutes(count) => write!(f, "{count}m"),
        }
    }
}

impl When {
    /// As it is written.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Last => "within last",
            Self::Next => "within next",
            Self::Older => "older than",
        }
    }
}

/// Now, in a zone.
#[derive(Clone, Copy)]
struct Now<'z> {
    ms: TimestampMs,
    zone: &'z TimeZone,
}

impl Now<'_> {
    /// The local day that holds the last instant before now.
    fn today(self) -> Option<Date> {
        date_of(self.ms.checked_sub(1)?, self.zone)
    }

    fn start(self, day: Date) -> Option<TimestampMs> {
        Some(day.to_zoned(self.zone.clone()).ok()?.timestamp().as_millisecond())
    }
}

fn date_of(ms: TimestampMs, zone: &TimeZone) -> Option<Date> {
    Some(Timestamp::from_millisecond(ms).ok()?.to_zoned(zone.clone()).date())
}

fn day_number(day: Date) -> i32 {
    let epoch = jiff::civil::date(1970, 1, 1);
    day.since(epoch).map_or(0, |span| span.get_days())
}

/// A range of days, both included.
#[derive(Clone, Copy)]
struct Days {
    first: Date,
    last: Date,
}

impl Moving {
    /// The days asked for; `None`: it is asked for by hours or minutes, or beyond the calendar.
    fn days(self, today: Date) -> Option<Days> {
        let Length::Days(count) = self.length else { return None };
        let more = i64::from(count) - 1;
        let back = today.checked_sub(more.days()).ok()?;
        Some(match self.when {
            When::Last => Days { first: back, last: today },
            When::Next => Days { first: today, last: today.checked_add(more.days()).ok()? },
            When::Older => Days { first: Date::MIN, last: back.yesterday().ok()? },
        })
    }

    /// The same condition with now put in.
    fn resolved(self, name: &str, instants: bool, now: Now<'_>) -> Option<Predicate<Value>> {
        let name = || name.to_owned();
        let between = |low: Value, high: Value| Predicate::Between { name: name(), low, high };
        let before =
            |literal: Value| Predicate::Compare { name: name(), op: CompareOp::Less, literal };
        if let Some(length_ms) = self.length.fixed_ms() {
            let (last, before_all) = (now.ms.checked_sub(1)?, now.ms.checked_sub(length_ms)?);
            return Some(match self.when {
                When::Last => between(Value::Time(before_all), Value::Time(last)),
                When::Next => {
                    let end = now.ms.checked_add(length_ms)?.checked_sub(1)?;
                    between(Value::Time(now.ms), Value::Time(end))
                }
                When::Older => before(Value::Time(before_all)),
            });
        }
        let days = self.days(now.today()?)?;
        let of_days = |Days { first, last }: Days| -> Option<Predicate<Value>> {
            if !instants {
                return Some(between(
                    Value::Date(day_number(first)),
                    Value::Date(day_number(last)),
                ));
            }
            let end = now.start(last.tomorrow().ok()?)?.checked_sub(1)?;
            Some(between(Value::Time(now.start(first)?), Value::Time(end)))
        };
        if self.anniversary {
            return Some(any(anniversaries(days).into_iter().filter_map(of_days).collect()));
        }
        match self.when {
            When::Older => {
                let first_not = days.last.tomorrow().ok()?;
                Some(before(match instants {
                    true => Value::Time(now.start(first_not)?),
                    false => Value::Date(day_number(first_not)),
                }))
            }
            // Of instants those of today that are still to come are not in the past.
            When::Last if instants => {
                let last = now.ms.checked_sub(1)?;
                Some(between(Value::Time(now.start(days.first)?), Value::Time(last)))
            }
            When::Next if instants => {
                let end = now.start(days.last.tomorrow().ok()?)?.checked_sub(1)?;
                Some(between(Value::Time(now.ms), Value::Time(end)))
            }
            When::Last | When::Next => of_days(days),
        }
    }

    /// The next time after now at which it may change for a value.
    fn next_change(self, value: &Value, now: Now<'_>) -> Option<TimestampMs> {
        let (at_ms, day) = match value {
            Value::Time(ms) => (*ms, date_of(*ms, now.zone)?),
            Value::Date(day) => {
                let day = jiff::civil::date(1970, 1, 1).checked_add(i64::from(*day).days()).ok()?;
                (now.start(day)?, day)
            }
            _ => return None,
        };
        // Of an instant that begins a day, the first as-of time that sees it is one later.
        let begins = |day: Date| Some(now.start(day)?.saturating_add(1));
        let candidates: Vec<Option<TimestampMs>> = match (self.length, self.length.fixed_ms()) {
            (_, Some(length_ms)) => [at_ms, at_ms.saturating_add(length_ms), at_ms - length_ms]
                .into_iter()
                .map(|ms| Some(ms.saturating_add(1)))
                .collect(),
            (Length::Days(count), None) if !self.anniversary => {
                let count = i64::from(count);
                let later = day.checked_add(count.days()).ok().and_then(begins);
                let earlier = day.checked_sub((count - 1).days()).ok().and_then(begins);
                let after = day.tomorrow().ok().and_then(begins);
                vec![Some(at_ms.saturating_add(1)), begins(day), after, later, earlier]
            }
            // The days on which the anniversary comes into the range and leaves it: looked for from
            // day to day, for a year.
            (Length::Days(_) | Length::Hours(_) | Length::Minutes(_), None) => {
                return self.next_anniversary(day, now);
            }
        };
        candidates.into_iter().flatten().filter(|ms| *ms > now.ms).min()
    }

    fn next_anniversary(self, day: Date, now: Now<'_>) -> Option<TimestampMs> {
        let today = now.today()?;
        let holds = |on: Date| -> Option<bool> {
            let ranges = anniversaries(self.days(on)?);
            Some(ranges.iter().any(|days| days.first <= day && day <= days.last))
        };
        let current = holds(today)?;
        let mut on = today;
        for _ in 0..=366 {
            on = on.tomorrow().ok()?;
            if holds(on)? != current {
                return Some(now.start(on)?.saturating_add(1));
            }
        }
        // Of a date that is still to come, or of none.
        Some(now.start(on)?.saturating_add(1))
    }
}

/// For each year the days whose anniversary lies in the range; the 29th of February has it on the
/// 28th where there is no 29th.
fn anniversaries(asked: Days) -> Vec<Days> {
    let mut all = Vec::new();
    for year in FIRST_YEAR..=asked.last.year() {
        let mut day = asked.first;
        let mut found: Vec<Date> = Vec::new();
        while day <= asked.last {
            if year <= day.year() {
                found.extend(Date::new(year, day.month(), day.day()));
                let stands_in = day.month() == 2 && day.day() == 28 && !day.in_leap_year();
                found.extend(Date::new(year, 2, 29).ok().filter(|_| stands_in));
            }
            let Ok(next) = day.tomorrow() else { break };
            day = next;
        }
        found.sort_unstable();
        found.dedup();
        for day in found {
            match all.last_mut() {
                Some(Days { last, .. }) if last.tomorrow().is_ok_and(|next| next == day) => {
                    *last = day;
                }
                _ => all.push(Days { first: day, last: day }),
            }
        }
    }
    all
}

/// At least one holds.
fn any(mut operands: Vec<Predicate<Value>>) -> Predicate<Value> {
    match operands.len() {
        1 => operands.swap_remove(0),
        _ => Predicate::Or(operands),
    }
}

impl Predicate<Value> {
    /// Whether it becomes true or false by the clock alone.
    pub fn moves(&self) -> bool {
        match self {
            Self::And(operands) | Self::Or(operands) => operands.iter().any(Self::moves),
            Self::Not(inner) | Self::Differs(inner) => inner.moves(),
            Self::Moving { .. } => true,
            Self::Test { value, test } => value.moves() || test.values().any(Scalar::moves),
            _ => false,
        }
    }

    /// The same condition as of an instant: dates relative to now are ranges then.
    pub fn as_of(&self, now_ms: TimestampMs, zone: &TimeZone) -> Self {
        let all = |operands: &[Self]| operands.iter().map(|p| p.as_of(now_ms, zone)).collect();
        match self {
            Self::And(operands) => Self::And(all(operands)),
            Self::Or(operands) => Self::Or(
                all(operands)
                    .into_iter()
                    .flat_map(|p: Self| if let Self::Or(inner) = p { inner } else { vec![p] })
                    .collect(),
            ),
            Self::Not(inner) => Self::Not(Box::new(inner.as_of(now_ms, zone))),
            Self::Differs(inner) => Self::Differs(Box::new(inner.as_of(now_ms, zone))),
            Self::Moving { name, moving, instants } => moving
                .resolved(name, *instants, Now { ms: now_ms, zone })
                // Beyond the calendar there is no date.
                .unwrap_or_else(|| Self::In { name: name.clone(), literals: Vec::new() }),
            Self::Test { value, test } if self.moves() => {
                let of = |value: &Scalar<Value>| Box::new(value.as_of(now_ms, zone));
                let test = match test {
                    Test::Compare { op, with } => Test::Compare { op: *op, with: of(with) },
                    Test::Between { low, high } => Test::Between { low: of(low), high: of(high) },
                    other => other.clone(),
                };
                Self::Test { value: of(value), test }
            }
            other => other.clone(),
        }
    }

    /// The next time after now at which it may change for a user with these values though none of
    /// them does.
    pub fn next_move(
        &self,
        values: &dyn Fn(&str) -> Option<Value>,
        now_ms: TimestampMs,
        zone: &TimeZone,
    ) -> Option<TimestampMs> {
        match self {
            Self::And(operands) | Self::Or(operands) => {
                operands.iter().filter_map(|p| p.next_move(values, now_ms, zone)).min()
            }
            Self::Not(inner) | Self::Differs(inner) => inner.next_move(values, now_ms, zone),
            Self::Moving { name, moving, .. } => {
                moving.next_change(&values(name)?, Now { ms: now_ms, zone })
            }
            Self::Test { value, test } => {
                let of = |value: &Scalar<Value>| value.next_move(values, now_ms, zone);
                test.values().filter_map(of).chain(of(value)).min()
            }
            _ => None,
        }
    }
}

impl<L> Test<L> {
    /// The values beside the one that is tested.
    fn values(&self) -> impl Iterator<Item = &Scalar<L>> {
        let (first, second) = match self {
            Self::Compare { with, .. } => (Some(with.as_ref()), None),
            Self::Between { low, high } => (Some(low.as_ref()), Some(high.as_ref())),
            _ => (None, None),
        };
        first.into_iter().chain(second)
    }
}

impl Scalar<Value> {
    fn moves(&self) -> bool {
        match self {
            Self::Literal(_) | Self::Name(_) => false,
            Self::Negate(inner) => inner.moves(),
            Self::Binary { left, right, .. } => left.moves() || right.moves(),
            Self::Call { arguments, .. } => arguments.iter().any(Self::moves),
            Self::If { condition, then, otherwise } => {
                condition.moves() || then.moves() || otherwise.moves()
            }
        }
    }

    fn as_of(&self, now_ms: TimestampMs, zone: &TimeZone) -> Self {
        let of = |value: &Self| Box::new(value.as_of(now_ms, zone));
        match self {
            Self::Literal(_) | Self::Name(_) => self.clone(),
            Self::Negate(inner) => Self::Negate(of(inner)),
            Self::Binary { op, left, right } => {
                Self::Binary { op: *op, left: of(left), right: of(right) }
            }
            Self::Call { function, arguments } => Self::Call {
                function: *function,
                arguments: arguments.iter().map(|value| value.as_of(now_ms, zone)).collect(),
            },
            Self::If { condition, then, otherwise } => Self::If {
                condition: Box::new(condition.as_of(now_ms, zone)),
                then: of(then),
                otherwise: of(otherwise),
            },
        }
    }

    fn next_move(
        &self,
        values: &dyn Fn(&str) -> Option<Value>,
        now_ms: TimestampMs,
        zone: &TimeZone,
    ) -> Option<TimestampMs> {
        let of = |value: &Self| value.next_move(values, now_ms, zone);
        match self {
            Self::Literal(_) | Self::Name(_) => None,
            Self::Negate(inner) => of(inner),
            Self::Binary { left, right, .. } => of(left).into_iter().chain(of(right)).min(),
            Self::Call { arguments, .. } => arguments.iter().filter_map(of).min(),
            Self::If { condition, then, otherwise } => condition
                .next_move(values, now_ms, zone)
                .into_iter()
                .chain(of(then))
                .chain(of(otherwise))
                .min(),
        }
    }
}

impl TagKind {
    /// Whether its value changes by the clock alone, for it is computed from dates relative to now.
    pub fn moves(&self) -> bool {
        match self {
            Self::Cohort { rules, .. } => rules.iter().any(|rule| rule.when.moves()),
            Self::Expression(expression) => expression.moves(),
            _ => false,
        }
    }

    /// The same as of an instant: dates relative to now are ranges then.
    pub fn as_of(&self, now_ms: TimestampMs, zone: &TimeZone) -> Self {
        match self {
            Self::Cohort { rules, otherwise } => {
                let of = |rule: &CohortRule| CohortRule {
                    when: rule.when.as_of(now_ms, zone),
                    value: rule.value.clone(),
                };
                Self::Cohort { rules: rules.iter().map(of).collect(), otherwise: otherwise.clone() }
            }
            Self::Expression(expression) => Self::Expression(expression.as_of(now_ms, zone)),
            other => other.clone(),
        }
    }

    /// The next time after now at which its value may change for a user with these values of other
    /// tags though none of them does.
    pub fn next_move(
        &self,
        values: &dyn Fn(&str) -> Option<Value>,
        now_ms: TimestampMs,
        zone: &TimeZone,
    ) -> Option<TimestampMs> {
        match self {
            Self::Cohort { rules, .. } => {
                rules.iter().filter_map(|rule| rule.when.next_move(values, now_ms, zone)).min()
            }
            Self::Expression(expression) => expression.next_move(values, now_ms, zone),
            _ => None,
        }
    }
}

impl Expression {
    fn moves(&self) -> bool {
        match self {
            Self::Scalar(scalar) => scalar.moves(),
            Self::Condition(condition) => condition.moves(),
        }
    }

    fn as_of(&self, now_ms: TimestampMs, zone: &TimeZone) -> Self {
        match self {
            Self::Scalar(scalar) => Self::Scalar(scalar.as_of(now_ms, zone)),
            Self::Condition(condition) => Self::Condition(condition.as_of(now_ms, zone)),
        }
    }

    fn next_move(
        &self,
        values: &dyn Fn(&str) -> Option<Value>,
        now_ms: TimestampMs,
        zone: &TimeZone,
    ) -> Option<TimestampMs> {
        match self {
            Self::Scalar(scalar) => scalar.next_move(values, now_ms, zone),
            Self::Condition(condition) => condition.next_move(values, now_ms, zone),
        }
    }
}
