//! Whether an id becomes a user's.

use crate::mapping::{Mapping, Owner};
use std::sync::Arc;
use taghouse_model::check_user_id;
use taghouse_rules::{IdentityRules, did_you_mean};

/// What somebody says: the id is the user's.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'c> {
    /// The id.
    pub id: &'c str,
    /// Name of its type.
    pub id_type: &'c str,
    /// One of the user's ids.
    pub user: &'c str,
    /// It was said that two users are one, not only who an unknown one is.
    pub merges: bool,
}

/// What becomes of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The id is this user's from now on.
    Linked(Arc<str>),
    /// It is already.
    Same,
    /// It is not, for this reason.
    Refused(String),
}

/// The links that a claim makes.
pub(crate) enum Decided {
    Links { user: Arc<str>, links: Vec<(Arc<str>, Owner)> },
    Same,
    Refused(String),
}

impl Mapping {
    /// `known`: whether the id came as that of a known user.
    pub(crate) fn decide(
        &self,
        rules: &IdentityRules,
        claim: &Claim<'_>,
        known: impl Fn(&str) -> bool,
    ) -> Decided {
        let Claim { id, id_type, user, merges } = *claim;
        let user = self.resolve(user).cloned().unwrap_or_else(|| Arc::from(user));
        let now = self.resolve(id);
        if *user == *id || now == Some(&user) {
            return Decided::Same;
        }
        if let Some(problem) = unfit(rules, claim, &user) {
            return Decided::Refused(problem);
        }
        if let Some(other) = now {
            return Decided::Refused(format!(
                "the id \"{id}\" belongs to user \"{other}\": it stays there unless it is unlinked"
            ));
        }
        if !(merges && rules.merge_known_users) && (self.has_ids(id) || known(id)) {
            let fix = if merges {
                "set `merge_known_users: true` in `identities` of the app to allow it"
            } else {
                "only `alias` and a link by hand may merge users, where the app allows it"
            };
            return Decided::Refused(format!(
                "\"{id}\" is a known user, and \"{user}\" is another: {fix}"
            ));
        }
        let links = self.links(id, id_type, &user);
        match self.over_limit(rules, &user, &links) {
            Some(problem) => Decided::Refused(problem),
            None => Decided::Links { user, links },
        }
    }

    fn over_limit(
        &self,
        rules: &IdentityRules,
        user: &str,
        links: &[(Arc<str>, Owner)],
    ) -> Option<String> {
        let own = self.ids(user);
        links.iter().find_map(|(_, Owner { id_type, .. })| {
            let limit = rules.id_type(id_type)?.limit;
            let has = own.iter().filter(|linked| linked.id_type == *id_type).count();
            let more = links.iter().filter(|(_, owner)| owner.id_type == *id_type).count();
            (has + more > limit).then(|| {
                format!(
                    "user \"{user}\" has {has} ids of type {id_type}, and may have {limit}: unlink some, or raise the limit in `identities` of the app"
                )
            })
        })
    }
}

/// Why the claim is none, whatever belongs to whom.
fn unfit(rules: &IdentityRules, claim: &Claim<'_>, user: &str) -> Option<String> {
    let Claim { id, id_type, .. } = *claim;
    if let Err(error) = check_user_id(id) {
        return Some(error.to_string());
    }
    if rules.id_type(id_type).is_none() {
        let hint = did_you_mean(id_type, rules.types.keys().map(|name| name.as_str()));
        return Some(format!(
            "\"{id_type}\" is not a type of ids{hint}: add it to `types` in `identities` of the app"
        ));
    }
    let blocked = [id, user].into_iter().find(|id| rules.blocks(id))?;
    Some(format!("\"{blocked}\" is a value that is nobody's id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(
        mapping: &Mapping,
        rules: &IdentityRules,
        id: &str,
        user: &str,
        merges: bool,
    ) -> String {
        let claim = Claim { id, id_type: "anonymous", user, merges };
        match mapping.decide(rules, &claim, |id| id.starts_with('k')) {
            Decided::Links { user, links } => format!("{user} {}", links.len()),
            Decided::Same => "same".to_owned(),
            Decided::Refused(problem) => problem,
        }
    }

    #[test]
    fn claims_are_decided_by_what_is_known() {
        let mut rules = IdentityRules::default();
        let mut mapping = Mapping::default();
        mapping.link("a", "anonymous", "u");
        let cases = [
            ("b", "u", false, "u 1"),
            ("b", "a", false, "u 1"),
            ("a", "u", false, "same"),
            ("u", "u", false, "same"),
            ("u", "a", true, "same"),
            (
                "a",
                "v",
                false,
                "the id \"a\" belongs to user \"u\": it stays there unless it is unlinked",
            ),
            ("NULL", "u", false, "\"NULL\" is a value that is nobody's id"),
            ("b", "undefined", false, "\"undefined\" is a value that is nobody's id"),
            (
                "k",
                "u",
                false,
                "\"k\" is a known user, and \"u\" is another: only `alias` and a link by hand may merge users, where the app allows it",
            ),
            (
                "k",
                "u",
                true,
                "\"k\" is a known user, and \"u\" is another: set `merge_known_users: true` in `identities` of the app to allow it",
            ),
            (
                "u",
                "v",
                true,
                "\"u\" is a known user, and \"v\" is another: set `merge_known_users: true` in `identities` of the app to allow it",
            ),
        ];
        for (id, user, merges, expected) in cases {
            assert_eq!(verdict(&mapping, &rules, id, user, merges), expected, "{id} {user}");
        }
        rules.merge_known_users = true;
        assert_eq!(verdict(&mapping, &rules, "u", "v", true), "v 2", "with what belongs to it");
        assert!(
            verdict(&mapping, &rules, "u", "v", false).contains("known user"),
            "by no anonymousId"
        );
        for number in 0..100 {
            mapping.link(&format!("a{number}"), "anonymous", "w");
        }
        assert_eq!(
            verdict(&mapping, &rules, "b", "w", false),
            "user \"w\" has 100 ids of type anonymous, and may have 100: unlink some, or raise the limit in `identities` of the app"
        );
        assert!(verdict(&mapping, &rules, "u", "w", true).contains("may have 100"));
    }
}
