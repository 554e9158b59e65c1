//! How versions of a crowd come to answer, and for whom a crowd's rule is not asked.

use std::collections::BTreeSet;
use std::fmt;

/// How many versions of a crowd are kept where its definition says nothing.
pub const KEPT_VERSIONS: u32 = 5;

/// The most versions that may be kept.
pub const MAX_KEPT_VERSIONS: u32 = 100;

/// The shortest time between two computations of a crowd that its definition may ask for.
pub const LEAST_REFRESH_MS: i64 = 60_000;

/// The most ids that a crowd may name one by one.
pub const MAX_OVERRIDES: usize = 10_000;

/// A share of users, in hundredths of a percent: 0 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Share(u16);

impl Share {
    /// Nobody.
    pub const NOBODY: Self = Self(0);
    /// Everybody.
    pub const EVERYBODY: Self = Self(10_000);

    /// So many of 10,000; `None`: more than that.
    pub const fn of_10_000(parts: u16) -> Option<Self> {
        if parts <= 10_000 { Some(Self(parts)) } else { None }
    }

    /// Of 10,000 users, how many.
    pub const fn parts(self) -> u16 {
        self.0
    }

    /// Reads `25%` or `0.5%`: two digits behind the point at most.
    ///
    /// # Errors
    /// A sentence that says what is wrong and how it is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a share of users: write 0% to 100%, such as 25% or 0.5%");
        let number = text.strip_suffix('%').ok_or_else(wrong)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let is_number =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction.len() > 2 || whole.len() > 3 {
            return Err(wrong());
        }
        let whole: u16 = whole.parse().map_err(|_| wrong())?;
        let hundredths: u16 = format!("{fraction:0<2}").parse().map_err(|_| wrong())?;
        let parts = whole.checked_mul(100).and_then(|parts| parts.checked_add(hundredths));
        parts.and_then(Self::of_10_000).ok_or_else(wrong)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, hundredths) = (self.0 / 100, self.0 % 100);
        match hundredths {
            0 => write!(f, "{whole}%"),
            tenths if tenths % 10 == 0 => write!(f, "{whole}.{}%", tenths / 10),
            hundredths => write!(f, "{whole}.{hundredths:02}%"),
        }
    }
}

/// How versions of a crowd come to answer, and who is in it, or not, whatever its rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrowdPolicy {
    /// How many versions are kept, besides those that are pinned or needed.
    pub keep: u32,
    /// Whether somebody must publish each version.
    pub needs_approval: bool,
    /// A version that fails one waits until somebody publishes it.
    pub checks: CrowdChecks,
    /// How a version of a new rule comes to all users; `None`: at once.
    pub rollout: Option<RolloutPlan>,
    /// How often it is computed besides productions, in milliseconds; `None`: with them alone.
    pub refresh_every_ms: Option<i64>,
    /// These users, by a hash of their id, are not in the crowd.
    pub holdout: Share,
    /// Ids that are in it, if such a user exists.
    pub always: BTreeSet<String>,
    /// Ids that are not.
    pub never: BTreeSet<String>,
}

impl Default for CrowdPolicy {
    fn default() -> Self {
        Self {
            keep: KEPT_VERSIONS,
            needs_approval: false,
            checks: CrowdChecks::default(),
            rollout: None,
            refresh_every_ms: None,
            holdout: Share::NOBODY,
            always: BTreeSet::new(),
            never: BTreeSet::new(),
        }
    }
}

/// What a version must fulfil to be published when it is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CrowdChecks {
    /// Members at least.
    pub min_size: Option<u64>,
    /// Members at most.
    pub max_size: Option<u64>,
    /// How far its size may be from that of the version that answers, as a share of that.
    pub max_change: Option<Share>,
}

/// How a version comes to all users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutPlan {
    /// The shares, ascending; the last is less than all.
    pub stages: Vec<Share>,
    /// How long each lasts, in milliseconds.
    pub every_ms: i64,
}

impl CrowdPolicy {
    /// Whether the rule's outcome is changed for some users.
    pub fn adjusts(&self) -> bool {
        self.holdout != Share::NOBODY || !self.always.is_empty() || !self.never.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_printed() {
        for (text, parts) in
            [("0%", 0), ("5%", 500), ("0.5%", 50), ("12.25%", 1225), ("0.05%", 5), ("100%", 10_000)]
        {
            let share = Share::parse(text).unwrap();
            assert_eq!(share.parts(), parts, "{text}");
            assert_eq!(share.to_string(), text);
        }
        assert_eq!(Share::parse("7.50%").unwrap().to_string(), "7.5%");
        for text in ["", "%", "5", "101%", "100.01%", "1.234%", "-1%", "1e2%", "1.%", ".5%", "٣%"]
        {
            assert!(Share::parse(text).unwrap_err().contains("not a share"), "{text}");
        }
    }
}
