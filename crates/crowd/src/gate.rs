//! Whether a version may answer when it is computed.

use crate::{CrowdVersion, CrowdVersions};
use serde::{Deserialize, Serialize};
use std::fmt;
use taghouse_rules::{CrowdPolicy, Share};

/// Why a version did not answer when it was computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waits {
    /// Somebody went back to an older version, and did not say yet that versions go on.
    Held,
    /// Somebody is to look at each version.
    Approval,
    /// A version of another rule comes to users share by share.
    Rollout,
    /// It failed a check, which the text says.
    Check(String),
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => write!(f, "the crowd was rolled back and is held at that version"),
            Self::Approval => write!(f, "each version is to be approved"),
            Self::Rollout => write!(f, "a version of another rule is being rolled out"),
            Self::Check(failed) => write!(f, "{failed}"),
        }
    }
}

/// Why a version that was just computed is not to answer; `None`: it may.
pub(crate) fn gate(
    policy: &CrowdPolicy,
    before: &CrowdVersions,
    computed: &CrowdVersion,
) -> Option<Waits> {
    if let Some(failed) = failed_check(policy, before, computed.size) {
        return Some(Waits::Check(failed));
    }
    if before.held_ms.is_some() {
        return Some(Waits::Held);
    }
    let rolled_out = before.rollout.as_ref().and_then(|rollout| before.get(rollout.to));
    if rolled_out.is_some_and(|to| to.expression != computed.expression) {
        return Some(Waits::Rollout);
    }
    policy.needs_approval.then_some(Waits::Approval)
}

fn failed_check(policy: &CrowdPolicy, before: &CrowdVersions, size: u64) -> Option<String> {
    let checks = &policy.checks;
    if let Some(least) = checks.min_size.filter(|least| size < *least) {
        return Some(format!("it has {size} members, and min_size is {least}"));
    }
    if let Some(most) = checks.max_size.filter(|most| size > *most) {
        return Some(format!("it has {size} members, and max_size is {most}"));
    }
    let (max_change, current) = (checks.max_change?, compared(before)?);
    let difference = u128::from(size.abs_diff(current.size));
    let allowed = u128::from(current.size) * u128::from(max_change.parts());
    let everybody = u128::from(Share::EVERYBODY.parts());
    (difference * everybody > allowed).then(|| {
        let (version, was) = (current.version, current.size);
        format!(
            "it has {size} members and version {version}, which answers, {was}: they differ by more than {max_change}"
        )
    })
}

/// The version that a new one is held against: of a rollout the one that is rolled out.
fn compared(before: &CrowdVersions) -> Option<&CrowdVersion> {
    let rolled_out = before.rollout.as_ref().map(|rollout| rollout.to);
    before.get(rolled_out.unwrap_or(before.current))
}

#[cfg(test)]
mod tests {
    use super::*;
    use taghouse_rules::CrowdChecks;

    fn check(checks: CrowdChecks, before: Option<u64>, size: u64) -> bool {
        let version = |number, size| CrowdVersion::sample(number, size);
        let mut versions = CrowdVersions::none(0);
        if let Some(size) = before {
            versions.add(version(1, size));
            versions.answer_with(1, 1);
        }
        let policy = CrowdPolicy { checks, ..CrowdPolicy::default() };
        gate(&policy, &versions, &version(2, size)).is_none()
    }

    #[test]
    fn checks_are_of_sizes() {
        let share = |text| Share::parse(text).ok();
        let size = |min_size, max_size| CrowdChecks { min_size, max_size, max_change: None };
        assert!(check(size(Some(10), Some(20)), None, 10));
        assert!(check(size(Some(10), Some(20)), None, 20));
        assert!(!check(size(Some(10), Some(20)), None, 9));
        assert!(!check(size(Some(10), Some(20)), None, 21));

        let change = |text| CrowdChecks { max_change: share(text), ..CrowdChecks::default() };
        assert!(check(change("20%"), Some(100), 120));
        assert!(check(change("20%"), Some(100), 80));
        assert!(!check(change("20%"), Some(100), 121));
        assert!(!check(change("20%"), Some(100), 79));
        assert!(!check(change("20%"), Some(0), 1), "nobody before: any is more than a fifth");
        assert!(check(change("0%"), Some(0), 0));
        assert!(check(change("20%"), None, 1000), "there is nothing to compare it with");
    }
}
