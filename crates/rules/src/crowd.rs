//! Crowds as they are defined.

use crate::{CrowdLink, CrowdPolicy, CrowdSplit, Marks, Predicate};
use rust_decimal::Decimal;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use taghouse_model::{Name, Value};
use xxhash_rust::xxh3::Xxh3;

/// The most ids that a crowd lists.
pub const MAX_LISTED_IDS: usize = 10_000;

/// The longest name of a column of a file that is imported.
pub const MAX_COLUMN_CHARS: usize = 256;

/// The canonical text of every crowd of files. No expression is written so.
pub const IMPORTED_TEXT: &str = "imported from files";

/// `kind: crowd`
#[derive(Debug, Clone, PartialEq)]
pub struct CrowdDefinition {
    /// The name, unique in the app.
    pub name: Name,
    /// Free text for people; nothing depends on it.
    pub description: Option<String>,
    /// Who is in it. `Display` gives its canonical text: equal definitions have equal texts, others
    /// different ones.
    pub source: CrowdSource,
    /// Whether it follows the values that its tags have now, which are all live. It has no
    /// versions. Only a rule can be.
    pub is_live: bool,
    /// How its versions come to answer, and for whom the rule is not asked.
    pub policy: CrowdPolicy,
    /// The groups of its members that are treated differently; `None`: all are treated alike.
    pub split: Option<CrowdSplit>,
    /// What is said about access to it.
    pub marks: Marks,
}

/// What makes a crowd.
#[derive(Debug, Clone, PartialEq)]
pub enum CrowdSource {
    /// All for whom a condition holds.
    Rule(CrowdCondition),
    /// Users who are named.
    Ids(IdList),
    /// Those with the largest or the smallest numbers.
    Top(CrowdTop),
    /// Some, by chance.
    Sample(CrowdSample),
    /// Those who are like the users of another.
    Lookalike(CrowdLookalike),
    /// A read-only SELECT over the app's tables, giving `user_id`.
    Sql {
        /// The query; `{as_of}` as in that of an `sql` tag.
        query: String,
    },
    /// Files of ids, one after another.
    Import {
        /// The column of the ids, by name or number; `None`: it is looked for.
        column: Option<String>,
        /// Where the server fetches them; `None`: they are sent.
        link: Option<CrowdLink>,
    },
}

/// A condition over tags and other crowds.
#[derive(Debug, Clone, PartialEq)]
pub struct CrowdCondition {
    /// As written.
    pub written: Predicate,
    /// The same, with literals of the tags' types.
    pub checked: Predicate<Value>,
}

/// Ids of users, in the order in which they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdList {
    /// At least one, at most [`MAX_LISTED_IDS`]; some may stand there twice.
    pub ids: Arc<[String]>,
}

/// The users with the largest or the smallest numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct CrowdTop {
    /// A tag of numbers, dates or times.
    pub by: Name,
    /// How many; a share is one of those who have a value, rounded up.
    pub size: CrowdSize,
    /// Which end.
    pub end: TopEnd,
    /// Of whom; `None`: of all.
    pub among: Option<CrowdCondition>,
}

/// An end of the users in order of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopEnd {
    /// Those with the largest numbers.
    Highest,
    /// Those with the smallest.
    Lowest,
}

/// Some users, by chance.
#[derive(Debug, Clone, PartialEq)]
pub struct CrowdSample {
    /// How many.
    pub size: CrowdSize,
    /// Of whom; `None`: of all.
    pub of: Option<CrowdCondition>,
    /// With another salt others are chosen.
    pub salt: String,
}

/// Users who are like those of a crowd, and are not in it.
#[derive(Debug, Clone, PartialEq)]
pub struct CrowdLookalike {
    /// Whom they are like: the members of a crowd.
    pub of: CrowdCondition,
    /// By which tags, in the order written, each once.
    pub tags: Vec<Name>,
    /// How many at most; a share is one of those who are not in that crowd, rounded up.
    pub size: CrowdSize,
    /// Of whom; `None`: of all.
    pub among: Option<CrowdCondition>,
}

/// How many users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrowdSize {
    /// At most so many; at least 1.
    Users(u64),
    /// A share.
    Share(Percent),
}

/// Above 0 and at most 100, of at most six digits after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(Decimal);

impl Percent {
    /// The most digits after the point.
    const DIGITS: u32 = 6;

    /// Reads `10%`, `0.5%`.
    ///
    /// # Errors
    /// What it must be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a share: write one above 0% and up to 100%, with at most {} digits after the point, such as 10% or 0.5%",
                Self::DIGITS
            )
        };
        let digits = text.strip_suffix('%').ok_or_else(wrong)?.trim_end();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(wrong());
        }
        let percent = digits.parse::<Decimal>().map_err(|_| wrong())?.normalize();
        let fits = percent > Decimal::ZERO
            && percent <= Decimal::ONE_HUNDRED
            && percent.scale() <= Self::DIGITS;
        if fits { Ok(Self(percent)) } else { Err(wrong()) }
    }

    /// The share as so many of 10^8: 100% is 100,000,000.
    pub fn parts_per_100m(self) -> u64 {
        let units = self.0 * Decimal::from(10_u64.pow(Self::DIGITS));
        u64::try_from(units).unwrap_or_default()
    }

    /// This share of a number, rounded up.
    pub fn of(self, count: u64) -> u64 {
        let parts = u128::from(count) * u128::from(self.parts_per_100m());
        u64::try_from(parts.div_ceil(100_000_000)).unwrap_or(u64::MAX)
    }
}

impl CrowdDefinition {
    /// The rule; `None`: it is made in another way.
    pub fn rule(&self) -> Option<&CrowdCondition> {
        match &self.source {
            CrowdSource::Rule(rule) => Some(rule),
            _ => None,
        }
    }

    /// Whether files say who is in it, so that it is never computed.
    pub fn is_imported(&self) -> bool {
        matches!(self.source, CrowdSource::Import { .. })
    }

    /// The tags that it is computed from, those without a name among them.
    pub fn tags(&self) -> BTreeSet<&str> {
        let of_condition = self.source.condition().map(|condition| condition.checked.names());
        let mut tags = of_condition.unwrap_or_default();
        if let CrowdSource::Top(top) = &self.source {
            tags.insert(top.by.as_str());
        }
        if let CrowdSource::Lookalike(like) = &self.source {
            tags.extend(like.tags.iter().map(Name::as_str));
        }
        tags
    }

    /// The crowds that it is computed from.
    pub fn crowds(&self) -> BTreeSet<&str> {
        let of_condition = self.source.condition().map(|condition| condition.checked.crowds());
        let mut crowds = of_condition.unwrap_or_default();
        if let CrowdSource::Lookalike(like) = &self.source {
            crowds.extend(like.of.checked.crowds());
        }
        crowds
    }
}

impl CrowdSource {
    /// The kind's name, as the YAML has it; of a rule `expression`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Rule(_) => "expression",
            Self::Ids(_) => "ids",
            Self::Top(_) => "top",
            Self::Sample(_) => "sample",
            Self::Lookalike(_) => "lookalike",
            Self::Sql { .. } => "sql",
            Self::Import { .. } => "import",
        }
    }

    /// The condition that is all or a part of it.
    pub fn condition(&self) -> Option<&CrowdCondition> {
        match self {
            Self::Rule(condition) => Some(condition),
            Self::Top(top) => top.among.as_ref(),
            Self::Sample(sample) => sample.of.as_ref(),
            Self::Lookalike(like) => like.among.as_ref(),
            Self::Ids(_) | Self::Sql { .. } | Self::Import { .. } => None,
        }
    }
}

impl fmt::Display for CrowdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => rule.written.fmt(f),
            Self::Ids(list) => list.fmt(f),
            Self::Top(top) => top.fmt(f),
            Self::Sample(sample) => sample.fmt(f),
            Self::Lookalike(like) => like.fmt(f),
            Self::Sql { query } => write!(f, "sql {}", query.trim()),
            // Who is in it does not follow from where the ids stand in files.
            Self::Import { .. } => f.write_str(IMPORTED_TEXT),
        }
    }
}

/// How many different ids there are, and their checksum. It names none, for it stays with versions when
/// a user is deleted.
impl fmt::Display for IdList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let different: BTreeSet<&str> = self.ids.iter().map(String::as_str).collect();
        let mut checksum = Xxh3::new();
        for id in &different {
            checksum.update(&(id.len() as u64).to_le_bytes());
            checksum.update(id.as_bytes());
        }
        write!(f, "ids: {} (xxh3 {:032x})", different.len(), checksum.digest128())
    }
}

impl fmt::Display for CrowdTop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match self.end {
            TopEnd::Highest => "highest",
            TopEnd::Lowest => "lowest",
        };
        write!(f, "top {}, {end} {}", self.size, self.by)?;
        let among = self.among.as_ref();
        among.map_or(Ok(()), |among| write!(f, ", among {}", among.written))
    }
}

impl fmt::Display for CrowdSample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sample {}, salt {:?}", self.size, self.salt)?;
        self.of.as_ref().map_or(Ok(()), |of| write!(f, ", of {}", of.written))
    }
}

impl fmt::Display for CrowdLookalike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags: Vec<&str> = self.tags.iter().map(Name::as_str).collect();
        write!(f, "lookalike {} of {}, by {}", self.size, self.of.written, tags.join(", "))?;
        self.among.as_ref().map_or(Ok(()), |among| write!(f, ", among {}", among.written))
    }
}

impl fmt::Display for CrowdSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Users(users) => users.fmt(f),
            Self::Share(Percent(percent)) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percentages() {
        for (text, parts, of_1001) in [
            ("10%", 10_000_000, 101),
            ("100%", 100_000_000, 1001),
            ("100.00 %", 100_000_000, 1001),
            ("0.000001%", 1, 1),
            ("12.5%", 12_500_000, 126),
        ] {
            let share = Percent::parse(text).unwrap();
            assert_eq!((share.parts_per_100m(), share.of(1001)), (parts, of_1001), "{text}");
        }
        assert_eq!(Percent::parse("50%").unwrap().of(0), 0);
        for wrong in ["10", "0%", "-1%", "100.1%", "1e1%", "0.0000001%", "%", "ten%", "1_0%"] {
            assert!(Percent::parse(wrong).unwrap_err().contains("0.5%"), "{wrong}");
        }
    }

    #[test]
    fn texts_of_lists_tell_them_apart() {
        let text = |ids: &[&str]| {
            let ids = ids.iter().map(|id| (*id).to_owned()).collect();
            IdList { ids }.to_string()
        };
        let pair = text(&["b", "a", "b"]);
        assert!(pair.starts_with("ids: 2 (xxh3 ") && pair == text(&["a", "b"]), "{pair}");
        for other in [&["a, b"][..], &["ab"], &["a", "c"], &["", "ab"], &["ab", ""]] {
            assert_ne!(text(other), pair, "{other:?}");
        }
    }
}
