//! What a column seems to hold.

use crate::comma::with_point;
use arrow::datatypes::DataType;
use hashbrown::HashSet;

/// So many different values of a column are told apart.
const DISTINCT: usize = 2000;
const MAX_SCALE: usize = 12;
/// Digits of a floating number that are more than its noise.
const FLOAT_SCALE: usize = 6;

/// Patterns of times and days that are not ISO 8601, the likelier first; a time has `%H`.
const PATTERNS: [&str; 14] = [
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y",
    "%d/%b/%Y:%H:%M:%S %z",
    "%d/%b/%Y:%H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d",
    "%Y%m%d",
];

/// What a column seems to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ColumnKind {
    Text,
    Bool,
    Int,
    Decimal {
        scale: usize,
        comma: bool,
    },
    Set,
    /// A day; `pattern`: where it is not ISO 8601.
    Day {
        pattern: Option<&'static str>,
    },
    /// An instant, written so: `None` is ISO 8601, else a pattern, `epoch_s` or `epoch_ms`.
    Time {
        format: Option<&'static str>,
    },
}

/// A column and what was seen of it.
#[derive(Debug)]
pub(super) struct InspectedColumn {
    pub(super) name: String,
    /// What its file says of it.
    pub(super) kind: Option<ColumnKind>,
    /// Its file says that it is of floating numbers.
    pub(super) floating: bool,
    values: Vec<String>,
    distinct: HashSet<String>,
    seen: usize,
}

impl InspectedColumn {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: None,
            floating: false,
            values: Vec::new(),
            distinct: HashSet::new(),
            seen: 0,
        }
    }

    pub(super) fn typed(name: &str, ty: &DataType) -> Self {
        let kind = match ty {
            DataType::Boolean => Some(ColumnKind::Bool),
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32 => Some(ColumnKind::Int),
            DataType::Decimal128(_, scale) => Some(ColumnKind::Decimal {
                scale: usize::from(scale.unsigned_abs()).min(MAX_SCALE),
                comma: false,
            }),
            DataType::Date32 | DataType::Date64 => Some(ColumnKind::Day { pattern: None }),
            DataType::Timestamp(..) => Some(ColumnKind::Time { format: None }),
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
                Some(ColumnKind::Set)
            }
            // The values of others tell more: whole numbers may be epochs, floating ones have
            // digits.
            _ => None,
        };
        Self { kind, floating: ty.is_floating(), ..Self::new(name) }
    }

    /// Takes a value that is not empty.
    pub(super) fn see(&mut self, value: &str) {
        if value.trim().is_empty() {
            return;
        }
        self.seen += 1;
        self.values.push(value.trim().to_owned());
        if self.distinct.len() < DISTINCT {
            self.distinct.insert(value.to_owned());
        }
    }

    /// How many values were seen.
    pub(super) fn seen(&self) -> usize {
        self.seen
    }

    /// How many different ones.
    pub(super) fn distinct(&self) -> usize {
        self.distinct.len()
    }

    pub(super) fn kind(&self) -> ColumnKind {
        if let Some(kind) = &self.kind {
            return kind.clone();
        }
        let all = |test: fn(&str) -> bool| {
            !self.values.is_empty() && self.values.iter().all(|value| test(value))
        };
        if all(is_bool) {
            return ColumnKind::Bool;
        }
        if all(is_whole) {
            return self.epoch().unwrap_or(ColumnKind::Int);
        }
        if all(is_decimal) {
            let scale = if self.rounds() { FLOAT_SCALE } else { self.digits() };
            return if scale > MAX_SCALE {
                ColumnKind::Text
            } else {
                ColumnKind::Decimal { scale, comma: false }
            };
        }
        if all(|value| is_whole(value) || matches!(with_point(value), Ok(Some(_)))) {
            let scale = self.values.iter().map(|value| fraction(value, ',')).max().unwrap_or(0);
            return if scale > MAX_SCALE {
                ColumnKind::Text
            } else {
                ColumnKind::Decimal { scale, comma: true }
            };
        }
        if all(|value| value.parse::<jiff::civil::Date>().is_ok() && value.len() == 10) {
            return ColumnKind::Day { pattern: None };
        }
        if all(is_iso_time) {
            return ColumnKind::Time { format: None };
        }
        let fits = |pattern: &&&'static str| {
            !self.values.is_empty() && self.values.iter().all(|value| reads(pattern, value))
        };
        match PATTERNS.iter().find(fits) {
            Some(pattern) if pattern.contains("%H") => ColumnKind::Time { format: Some(pattern) },
            Some(pattern) => ColumnKind::Day { pattern: Some(pattern) },
            None => ColumnKind::Text,
        }
    }

    /// Whether numbers are floating and have digits that say nothing, such as 0.30000000000000004.
    pub(super) fn rounds(&self) -> bool {
        self.floating && self.digits() > FLOAT_SCALE
    }

    /// The most digits behind a point.
    fn digits(&self) -> usize {
        self.values.iter().map(|value| fraction(value, '.')).max().unwrap_or(0)
    }

    /// Whole numbers that are instants of 2001 to 2100 by their size, in a column that is called
    /// so.
    fn epoch(&self) -> Option<ColumnKind> {
        let name = self.name.to_ascii_lowercase();
        if !["time", "_at", "date", "ts", "created", "when"].iter().any(|part| name.contains(part))
        {
            return None;
        }
        let all_in = |range: std::ops::Range<i64>| {
            self.values
                .iter()
                .all(|value| value.parse().is_ok_and(|number| range.contains(&number)))
        };
        if all_in(978_307_200..4_102_444_800) {
            return Some(ColumnKind::Time { format: Some("epoch_s") });
        }
        all_in(978_307_200_000..4_102_444_800_000)
            .then_some(ColumnKind::Time { format: Some("epoch_ms") })
    }
}

fn is_bool(value: &str) -> bool {
    value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
}

/// A number of 64 bits; what begins with a zero is a code.
fn is_whole(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    value.parse::<i64>().is_ok()
        && !value.starts_with('+')
        && (digits == "0" || !digits.starts_with('0'))
}

fn is_decimal(value: &str) -> bool {
    let unsigned = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |text: &str| {
        !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    digits(whole) && digits(fraction) && (whole == "0" || !whole.starts_with('0'))
}

/// Digits behind the sign.
fn fraction(value: &str, sign: char) -> usize {
    value.rsplit_once(sign).map_or(0, |(_, fraction)| fraction.len())
}

fn is_iso_time(value: &str) -> bool {
    value.parse::<jiff::Timestamp>().is_ok()
        || (value.len() > 10 && value.parse::<jiff::civil::DateTime>().is_ok())
}

fn reads(pattern: &str, value: &str) -> bool {
    let Ok(broken) = jiff::fmt::strtime::parse(pattern, value) else { return false };
    broken.to_date().is_ok_and(|date| (1970..2100).contains(&date.year()))
        && (!pattern.contains("%H") || broken.to_datetime().is_ok())
}
