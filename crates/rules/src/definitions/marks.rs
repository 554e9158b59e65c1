//! The check of categories, labels, and of what labels forbid.

use super::Errors;
use crate::raw::app::{RawAccess, RawUse};
use crate::{AccessPolicy, Document, Marks, Use};
use std::collections::BTreeSet;
use taghouse_model::check_label;

/// The most labels of one thing.
const MAX_LABELS: usize = 32;
/// As far as a smallest audience goes.
const MOST_AUDIENCE: i64 = 1_000_000;

/// What is wrong with a list of labels.
pub(super) struct WrongLabel {
    /// Where in the list; `None`: it is too long.
    at: Option<usize>,
    pub(super) message: String,
}

/// Labels, each once.
pub(super) fn labels(given: &[String]) -> Result<BTreeSet<String>, WrongLabel> {
    if given.len() > MAX_LABELS {
        let message = format!("{} labels, more than {MAX_LABELS}", given.len());
        return Err(WrongLabel { at: None, message });
    }
    for (at, label) in given.iter().enumerate() {
        check_label(label)
            .map_err(|error| WrongLabel { at: Some(at), message: format!("label: {error}") })?;
    }
    Ok(given.iter().cloned().collect())
}

/// What a tag or a crowd says about access to it.
pub(super) fn marks(
    document: &Document,
    category: Option<&String>,
    given: &[String],
    errors: &mut Errors,
) -> Marks {
    if let Some(error) = category.and_then(|category| check_label(category).err()) {
        errors.push(document.error("/category", format!("category: {error}")));
    }
    let labels = labels(given).unwrap_or_else(|wrong| {
        let pointer = wrong.at.map_or("/labels".to_owned(), |at| format!("/labels/{at}"));
        errors.push(document.error(&pointer, wrong.message));
        BTreeSet::new()
    });
    Marks { category: category.cloned(), labels }
}

/// `access:` of an app, on top of what holds without it.
pub(super) fn policy(
    document: &Document,
    raw: Option<&RawAccess>,
    errors: &mut Errors,
) -> AccessPolicy {
    let mut policy = AccessPolicy::default();
    let Some(raw) = raw else { return policy };
    for (label, uses) in &raw.labels {
        if let Err(error) = check_label(label) {
            errors.push(
                document.error(&format!("/access/labels/{label}"), format!("label: {error}")),
            );
        }
        let uses = uses.iter().map(|asked| match asked {
            RawUse::View => Use::View,
            RawUse::Judge => Use::Judge,
            RawUse::Export => Use::Export,
            RawUse::Activate => Use::Activate,
            RawUse::Mask => Use::Mask,
        });
        policy.forbids.insert(label.clone(), uses.collect());
    }
    policy.min_audience = match raw.min_audience {
        None => None,
        Some(users @ 2..=MOST_AUDIENCE) => u64::try_from(users).ok(),
        Some(users) => {
            let message =
                format!("min_audience is {users}: a whole number from 2 to {MOST_AUDIENCE}");
            errors.push(document.error("/access/min_audience", message));
            None
        }
    };
    policy
}
