//! What a key may do with single tags, crowds and categories.

use crate::Invalid;
use glob::{MatchOptions, Pattern};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The longest name pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 128;

const NAMES: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: false,
    require_literal_leading_dot: false,
};

/// What may be done with a tag or a crowd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// See its definition and its numbers: counts, sizes, distributions.
    View,
    /// Change it: its definition, its versions, its values by hand.
    Edit,
    /// See who they are, many at once: lists, samples, exports, changes as they happen.
    Activate,
    /// Ask about single users who are named.
    Judge,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::View, Self::Edit, Self::Activate, Self::Judge];

    /// As it is written in grants.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Edit => "edit",
            Self::Activate => "activate",
            Self::Judge => "judge",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a grant is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Granted {
    /// Crowds, by name.
    Crowd,
    /// Tags, by name.
    Tag,
    /// Tags and crowds, by the category that their definitions name.
    Category,
}

impl Granted {
    /// As it is written in grants.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crowd => "crowd",
            Self::Tag => "tag",
            Self::Category => "category",
        }
    }
}

/// Something that a key may do beyond what its role lets every key do, or that it is limited to.
/// Written `crowd:vip=judge`, `tag:spend_*=view,judge`, `category:sales=view`, `label:sensitive` or
/// `exact`.
///
/// ```
/// use taghouse_model::{Grant, Granted, Right};
///
/// let grant: Grant = "crowd:vip_*=view,judge".parse().unwrap();
/// assert!(grant.gives(Granted::Crowd, "vip_de", Right::Judge));
/// assert!(!grant.gives(Granted::Crowd, "vip_de", Right::Edit));
/// assert!(!grant.gives(Granted::Tag, "vip_de", Right::Judge));
/// assert!("crowd:vip".parse::<Grant>().is_err(), "of which rights?");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Grant {
    /// Rights on what a pattern matches. A key with one such grant is limited to those it has.
    Rights {
        /// What the pattern is of.
        of: Granted,
        /// A name, with `*`, `?` and `[a-z]` as in globs.
        pattern: Pattern,
        /// At least one, ascending, each once.
        rights: Vec<Right>,
    },
    /// To see values that a label masks.
    Label(String),
    /// To see exact numbers and single users where an app shows rounded numbers.
    Exact,
}

impl Grant {
    /// Whether the key is limited to what its grants name.
    pub fn limits(&self) -> bool {
        matches!(self, Self::Rights { .. })
    }

    /// Whether it gives the right on what has this name.
    pub fn gives(&self, asked: Granted, name: &str, right: Right) -> bool {
        match self {
            Self::Rights { of, pattern, rights } => {
                *of == asked && rights.contains(&right) && pattern.matches_with(name, NAMES)
            }
            Self::Label(_) | Self::Exact => false,
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rights { of, pattern, rights } => {
                let rights: Vec<&str> = rights.iter().map(|right| right.as_str()).collect();
                write!(f, "{}:{}={}", of.as_str(), pattern.as_str(), rights.join(","))
            }
            Self::Label(label) => write!(f, "label:{label}"),
            Self::Exact => f.write_str("exact"),
        }
    }
}

impl FromStr for Grant {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |what: &str| {
            Invalid(format!(
                "the grant \"{text}\" {what}: write crowd:NAME=RIGHTS, tag:NAME=RIGHTS, category:NAME=RIGHTS, label:NAME or exact, with rights out of view, edit, activate and judge, such as crowd:vip_*=view,judge"
            ))
        };
        if text == "exact" {
            return Ok(Self::Exact);
        }
        let (of, rest) = text.split_once(':').ok_or_else(|| wrong("does not say of what it is"))?;
        if of == "label" {
            let label = rest.to_owned();
            check_label(&label).map_err(|error| wrong(&format!("is not of a label ({error})")))?;
            return Ok(Self::Label(label));
        }
        let of = [Granted::Crowd, Granted::Tag, Granted::Category]
            .into_iter()
            .find(|known| known.as_str() == of)
            .ok_or_else(|| wrong("is of something that has no grants"))?;
        let (pattern, rights) = rest.split_once('=').ok_or_else(|| wrong("gives no rights"))?;
        if pattern.is_empty() || pattern.len() > MAX_PATTERN_BYTES {
            let bytes = format!("needs a name or pattern of 1 to {MAX_PATTERN_BYTES} bytes");
            return Err(wrong(&bytes));
        }
        let pattern = Pattern::new(pattern)
            .map_err(|error| wrong(&format!("has no valid pattern ({})", error.msg)))?;
        let right = |word: &str| {
            let known = Right::ALL.into_iter().find(|right| right.as_str() == word.trim());
            known.ok_or_else(|| wrong(&format!("gives \"{}\"", word.trim())))
        };
        let mut rights = rights.split(',').map(right).collect::<Result<Vec<_>, _>>()?;
        rights.sort_unstable();
        rights.dedup();
        Ok(Self::Rights { of, pattern, rights })
    }
}

impl TryFrom<String> for Grant {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Grant> for String {
    fn from(grant: Grant) -> Self {
        grant.to_string()
    }
}

/// Checks a label's or a category's name: a lower-case letter, then lower-case letters, digits, `-`
/// or `_`; at most 63 bytes.
///
/// # Errors
/// Text that is not of that form.
pub fn check_label(text: &str) -> Result<(), Invalid> {
    let mut chars = text.chars();
    let head = chars.next().is_some_and(|c| c.is_ascii_lowercase());
    let tail =
        chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'));
    if head && tail && text.len() <= 63 {
        return Ok(());
    }
    Err(Invalid(format!(
        "\"{text}\" is not a name here: use a lower-case letter, then lower-case letters, digits, - or _, 63 bytes at most"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_and_written() {
        for (text, again) in [
            ("crowd:vip=judge", "crowd:vip=judge"),
            ("tag:spend_*=judge, view,judge", "tag:spend_*=view,judge"),
            ("category:[a-c]*=edit", "category:[a-c]*=edit"),
            ("label:sensitive", "label:sensitive"),
            ("exact", "exact"),
        ] {
            let grant: Grant = text.parse().unwrap();
            assert_eq!(grant.to_string(), again);
            assert_eq!(again.parse::<Grant>().unwrap(), grant);
            assert_eq!(grant.limits(), again.contains('='), "{text}");
        }
        for wrong in [
            "",
            "crowd",
            "crowd:",
            "crowd:vip",
            "crowd:=view",
            "crowd:vip=",
            "crowd:vip=read",
            "crowd:[=view",
            "users:a=view",
            "label:",
            "label:A b",
            "Exact",
            "crowd:vip=view,",
        ] {
            let said = wrong.parse::<Grant>().unwrap_err().to_string();
            assert!(said.contains("crowd:vip_*=view,judge"), "{wrong}: {said}");
        }
    }

    #[test]
    fn a_pattern_is_of_whole_names() {
        let grant: Grant = "tag:spend_?0d=view".parse().unwrap();
        for (name, given) in [("spend_30d", true), ("spend_365d", false), ("xspend_30d", false)] {
            assert_eq!(grant.gives(Granted::Tag, name, Right::View), given, "{name}");
        }
    }
}
