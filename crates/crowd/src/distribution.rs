use crate::numbers::{CountsBelow, Numbers, UnitRange, equal_widths, nearest_rank};
use crate::population::produced;
use crate::tag_column::TagColumn;
use crate::{Crowds, Error, Question, Result};
use rust_decimal::Decimal;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_disk::blocking;
use taghouse_model::{AppId, Value, ValueType};
use taghouse_rules::{Definitions, Predicate};

/// The most bins of one histogram.
pub const MAX_BINS: usize = 1000;
/// The most quantiles of one call.
pub const MAX_QUANTILES: usize = 100;
/// The usual quantiles: p1, p5, p25, p50, p75, p95, p99.
pub const DEFAULT_QUANTILES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];
/// Digits of an average beyond those of the numbers.
const AVERAGE_DIGITS: u8 = 4;

/// How a histogram is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bins {
    /// This many bins of equal width (some a unit of the last digit wider), from the smallest
    /// number to the largest. Fewer if the range has fewer units.
    Count(usize),
    /// At these numbers, ascending, as the crowd language writes them (a day or time without
    /// quotes). A bin includes its lower edge; the last one also its upper edge.
    Edges(Vec<String>),
}

/// A part of a histogram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bin {
    /// The smallest value.
    pub from: Value,
    /// The largest value.
    pub to: Value,
    /// How many users have such a number.
    pub users: u64,
}

/// A number's distribution among some users.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// The type of the numbers.
    pub value_type: ValueType,
    /// The users asked about.
    pub users: u64,
    /// How many of them have a number.
    pub count: u64,
    /// The exact sum, in units of 10^-scale; `None` for dates and times.
    pub sum: Option<i128>,
    /// The exact sum divided by the exact count, rounded once, half away from zero, to four digits
    /// more than the numbers have. `None` for dates and times, and if nobody has a number.
    pub average: Option<Decimal>,
    /// The smallest value.
    pub min: Option<Value>,
    /// The largest value.
    pub max: Option<Value>,
    /// The quantiles asked for, by nearest rank: each is a number that somebody has. Empty if
    /// nobody has a number.
    pub quantiles: Vec<(f64, Value)>,
    /// All of them, in ascending order.
    pub bins: Vec<Bin>,
    /// Users with a number below the first bin.
    pub below: u64,
    /// Users with a number above the last bin.
    pub above: u64,
    /// The index's revision that answered.
    pub revision: u64,
}

/// What is asked of a distribution.
#[derive(Debug, Clone, PartialEq)]
pub struct DistributionRequest {
    /// An int, decimal, date or time tag.
    pub tag: String,
    /// How the histogram is cut.
    pub bins: Bins,
    /// Quantiles, 0 to 1, up to [`MAX_QUANTILES`].
    pub quantiles: Vec<f64>,
}

impl Crowds {
    /// How a number is distributed among the users who match the question, or all users. Days and
    /// instants are numbers too.
    ///
    /// # Errors
    /// [`Error::Limit`] over [`MAX_BINS`] and [`MAX_QUANTILES`]; [`Error::Argument`] for edges that
    /// do not ascend or fit the tag and for quantiles beyond 0 to 1; [`Error::NotANumber`],
    /// [`Error::UnknownTag`]; as [`Crowds::count`].
    pub async fn distribution(
        &self,
        app: &AppId,
        definitions: &Definitions,
        within: Option<&Question>,
        request: &DistributionRequest,
    ) -> Result<Distribution> {
        let DistributionRequest { tag, bins, quantiles } = request;
        let wanted = match bins {
            Bins::Count(count) => *count,
            Bins::Edges(edges) => edges.len().saturating_sub(1),
        };
        Error::limit("bins", wanted, MAX_BINS)?;
        Error::limit("quantiles", quantiles.len(), MAX_QUANTILES)?;
        if wanted == 0 {
            return Err(Error::Argument(
                "a histogram has at least one bin: ask for one, or give two edges".to_owned(),
            ));
        }
        let quantiles: Vec<Quantile> =
            quantiles.iter().map(|part| Quantile::of(*part)).collect::<Result<_>>()?;
        let within = self.population(app, definitions, within).await?;
        produced(&within.snapshot, definitions, [tag.as_str()])?;
        let column = within.column(tag)?;
        column.numbers_for("a distribution")?;
        let edges = match bins {
            Bins::Count(_) => None,
            Bins::Edges(texts) => Some(edges(&column, texts, definitions)?),
        };
        blocking(move || {
            let set = within.set()?;
            let asked = Asked { bins: wanted, edges, quantiles };
            asked.answer(&column, &set, within.snapshot.revision())
        })
        .await
    }
}

/// What is asked of the numbers.
struct Asked {
    bins: usize,
    /// The bins themselves, if edges were given.
    edges: Option<Vec<UnitRange>>,
    quantiles: Vec<Quantile>,
}

/// A quantile, as it was asked for and exact.
struct Quantile {
    asked: f64,
    exact: Decimal,
}

impl Quantile {
    /// 0.07 as the decimal that was written, not as the nearest binary fraction.
    fn of(asked: f64) -> Result<Self> {
        let wrong = || {
            Error::Argument(format!(
                "{asked} is not a valid quantile: they go from 0 to 1, such as 0.95"
            ))
        };
        if !(0.0..=1.0).contains(&asked) {
            return Err(wrong());
        }
        Ok(Self { asked, exact: asked.to_string().parse().map_err(|_| wrong())? })
    }
}

impl Asked {
    fn answer(
        self,
        column: &TagColumn,
        users: &Arc<Bitmap>,
        revision: u64,
    ) -> Result<Distribution> {
        let numbers = column.numbers(users)?;
        let total = numbers.total()?;
        let bounds = numbers.bounds()?;
        let ranges = match (self.edges, bounds) {
            (Some(edges), _) => edges,
            (None, Some(bounds)) => equal_widths(bounds, self.bins),
            (None, None) => Vec::new(),
        };
        let Histogram { counts, below, above } = Histogram::of(&numbers, &ranges)?;
        let bin = |(range, users): (&UnitRange, u64)| {
            Some(Bin { from: column.value(range.low)?, to: column.value(range.high)?, users })
        };
        let ranks: Vec<u64> = self
            .quantiles
            .iter()
            .map(|quantile| nearest_rank(quantile.exact, total.users))
            .collect();
        let found = self.quantiles.iter().zip(numbers.at_ranks(&ranks)?);
        let sum = column.scale().map(|_| total.sum);
        Ok(Distribution {
            value_type: column.value_type,
            users: users.len(),
            count: total.users,
            sum,
            average: sum
                .zip(column.scale())
                .and_then(|(sum, scale)| average(sum, total.users, scale)),
            min: bounds.and_then(|bounds| column.value(bounds.low)),
            max: bounds.and_then(|bounds| column.value(bounds.high)),
            quantiles: found
                .filter_map(|(quantile, units)| Some((quantile.asked, column.value(units)?)))
                .collect(),
            bins: ranges.iter().zip(counts).filter_map(bin).collect(),
            below,
            above,
            revision,
        })
    }
}

/// How many users have a number in each of some ranges, below the first, and above the last.
#[derive(Default)]
struct Histogram {
    counts: Vec<u64>,
    below: u64,
    above: u64,
}

impl Histogram {
    /// The ranges follow one another without a gap.
    fn of(numbers: &Numbers, ranges: &[UnitRange]) -> Result<Self> {
        let Some(last) = ranges.last() else { return Ok(Self::default()) };
        let bounds: Vec<i128> =
            ranges.iter().map(|range| range.low).chain([last.high + 1]).collect();
        let CountsBelow { users, below } = numbers.below(&bounds)?;
        let [first, last] = [below.first(), below.last()].map(|count| count.copied().unwrap_or(0));
        Ok(Self {
            counts: below.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect(),
            below: first,
            above: users.saturating_sub(last),
        })
    }
}

/// The bins between edges: each from its lower edge to the unit below its upper edge, the last one
/// including its upper edge.
fn edges(
    column: &TagColumn,
    texts: &[String],
    definitions: &Definitions,
) -> Result<Vec<UnitRange>> {
    let units: Vec<i128> =
        texts.iter().map(|text| edge(column, text, definitions)).collect::<Result<_>>()?;
    let Some(last) = units.len().checked_sub(2) else { return Ok(Vec::new()) };
    let bins = units.windows(2).enumerate().map(|(place, pair)| UnitRange {
        low: pair[0],
        high: if place == last { pair[1] } else { pair[1].saturating_sub(1) },
    });
    if let Some(place) = units.windows(2).position(|pair| pair[0] >= pair[1]) {
        let (edge, next) = (&texts[place], &texts[place + 1]);
        return Err(Error::Argument(format!(
            "edges of bins must ascend: {next} comes after {edge}"
        )));
    }
    Ok(bins.collect())
}

/// Reads an edge as the crowd language reads a literal for the tag, in the app's time zone.
fn edge(column: &TagColumn, text: &str, definitions: &Definitions) -> Result<i128> {
    let (tag, value_type) = (&column.tag, column.value_type);
    let literal = if column.scale().is_some() {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    };
    let types = |name: &str| (name == tag).then_some(value_type);
    let zone = &definitions.app.time_zone;
    let read = taghouse_rules::parse_predicate(&format!("{tag} >= {literal}"))
        .ok()
        .and_then(|p| p.check(&types, &|_| false, zone).ok());
    let units = match &read {
        Some(Predicate::Compare { literal, .. }) => column.units(literal),
        _ => None,
    };
    units.ok_or_else(|| {
        Error::Argument(format!("\"{text}\" is not a valid bin edge for tag {tag}: write it as a value of type {value_type}"))
    })
}

/// `sum` units of `10^-scale` divided by `users`, with four digits more than the numbers have, or
/// as many of them as fit a decimal.
fn average(sum: i128, users: u64, scale: u8) -> Option<Decimal> {
    let divisor = i128::from(users);
    if divisor == 0 {
        return None;
    }
    let with = |digits: u8| {
        let power = 10_i128.checked_pow(u32::from(digits))?;
        let (whole, rest) = (sum / divisor, (sum % divisor) * power);
        let (part, rest) = (rest / divisor, rest % divisor);
        let part = part + if rest.abs() * 2 >= divisor { rest.signum() } else { 0 };
        Decimal::try_from_i128_with_scale(
            whole.checked_mul(power)?.checked_add(part)?,
            u32::from(scale + digits),
        )
        .ok()
    };
    (0..=AVERAGE_DIGITS).rev().find_map(with)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_rounded_once() {
        let cases = [
            (10, 3, 0, "3.3333"),
            (20, 3, 0, "6.6667"),
            (-20, 3, 0, "-6.6667"),
            (1, 20_000, 0, "0.0001"),
            (-1, 20_000, 0, "-0.0001"),
            (1, 20_001, 0, "0.0000"),
            (100, 8, 2, "0.125000"),
            (i128::from(i64::MAX) << 32, 1 << 32, 12, "9223372.0368547758070000"),
        ];
        for (sum, users, scale, expected) in cases {
            assert_eq!(
                average(sum, users, scale).unwrap().to_string(),
                expected,
                "{sum} by {users}"
            );
        }
        assert_eq!(average(0, 0, 2), None);
        let wide = average(10_i128.pow(37) + 1, 1 << 30, 2).unwrap();
        assert_eq!(wide.to_string(), "93132257461547851562500000.00");
    }

    #[test]
    fn quantiles_are_what_was_written() {
        assert_eq!(Quantile::of(0.07).unwrap().exact.to_string(), "0.07");
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Quantile::of(wrong).is_err(), "{wrong}");
        }
    }
}
