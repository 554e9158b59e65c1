//! Categories and labels, and what labels forbid.

use std::collections::{BTreeMap, BTreeSet};

/// What the definition of a tag or a crowd says about access to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks {
    /// The category by which keys may be granted it.
    pub category: Option<String>,
    /// Labels of its own; [`Definitions::labels`](crate::Definitions::labels) has those that it
    /// inherits.
    pub labels: BTreeSet<String>,
}

/// A use of tags and crowds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// Counts, sizes, distributions.
    View,
    /// Questions about single users who are named.
    Judge,
    /// Seeing who they are, many at once.
    Export,
    /// Sending them to other systems.
    Activate,
    /// Seeing values of single users without a grant of the label.
    Mask,
}

impl Use {
    /// As definitions write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Judge => "judge",
            Self::Export => "export",
            Self::Activate => "activate",
            Self::Mask => "mask",
        }
    }
}

/// `access:` of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessPolicy {
    /// By label, what is forbidden.
    pub forbids: BTreeMap<String, BTreeSet<Use>>,
    /// Numbers of users are rounded down to multiples of it; `None`: they are exact.
    pub min_audience: Option<u64>,
}

impl AccessPolicy {
    /// Whether the label forbids the use.
    pub fn forbids(&self, label: &str, asked: Use) -> bool {
        self.forbids.get(label).is_some_and(|uses| uses.contains(&asked))
    }
}

impl Default for AccessPolicy {
    fn default() -> Self {
        Self {
            forbids: BTreeMap::from([
                ("no-export".to_owned(), BTreeSet::from([Use::Export, Use::Activate])),
                ("sensitive".to_owned(), BTreeSet::from([Use::Mask])),
            ]),
            min_audience: None,
        }
    }
}
