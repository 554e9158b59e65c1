//! `identities` of an app, checked.

use super::Errors;
use crate::Document;
use crate::identities::{IdentityRules, OWN, plain};
use crate::raw::app::{RawIdType, RawIdentities};
use taghouse_model::{MAX_USER_ID_BYTES, Name};

const MOST_IDS: i64 = 10_000;
const LAST_PRIORITY: i64 = 1000;

pub(super) fn check(
    document: &Document,
    raw: &RawIdentities,
    errors: &mut Errors,
) -> IdentityRules {
    let mut rules = IdentityRules {
        merge_known_users: raw.merge_known_users.unwrap_or(false),
        ..IdentityRules::default()
    };
    for (name, RawIdType { limit, priority }) in &raw.types {
        let path = format!("/identities/types/{name}");
        let known = match Name::new(name) {
            Ok(name) => rules.types.entry(name).or_insert(OWN),
            Err(e) => {
                errors.push(document.error(&path, e.to_string()));
                continue;
            }
        };
        let mut read = |key: &str, value: Option<i64>, least: i64, most: i64| {
            let value = value?;
            if !(least..=most).contains(&value) {
                let problem = format!("`{key}` is {value}: use {least} to {most}");
                errors.push(document.error(&format!("{path}/{key}"), problem));
                return None;
            }
            u32::try_from(value).ok()
        };
        if let Some(limit) = read("limit", *limit, 1, MOST_IDS) {
            known.limit = limit as usize;
        }
        if let Some(priority) = read("priority", *priority, 0, LAST_PRIORITY) {
            known.priority = priority;
        }
    }
    for (at, value) in raw.blocked.iter().enumerate() {
        if value.len() > MAX_USER_ID_BYTES {
            let problem = format!(
                "the value has {} bytes, and no id has more than {MAX_USER_ID_BYTES}",
                value.len()
            );
            errors.push(document.error(&format!("/identities/blocked/{at}"), problem));
            continue;
        }
        rules.blocked.insert(plain(value));
    }
    rules
}
