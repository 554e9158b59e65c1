//! The identities of one app in memory: what has landed, and what is admitted behind it.

use crate::decide::{Claim, Decided, Verdict};
use crate::known::Known;
use crate::mapping::{LinkedId, Mapping, Owner};
use parking_lot::{Mutex, RwLock};
use std::borrow::Cow;
use std::sync::Arc;
use taghouse_rules::IdentityRules;

/// What was put at a log position, to be undone where it is decided again.
struct Put {
    position: u64,
    id: Arc<str>,
    before: Option<Owner>,
}

/// An app's ids and users. Read by everybody; one landing at a time decides.
#[derive(Default)]
pub struct AppIdentities {
    mapping: RwLock<Mapping>,
    /// Those that may not have landed, in their order.
    puts: Mutex<Vec<Put>>,
    /// Who is known.
    pub(crate) known: Known,
}

impl AppIdentities {
    pub(crate) fn new(mapping: Mapping) -> Self {
        Self { mapping: RwLock::new(mapping), ..Self::default() }
    }

    /// The user whose id this is.
    pub fn user_of<'i>(&self, id: &'i str) -> Cow<'i, str> {
        match self.mapping.read().resolve(id) {
            Some(user) => Cow::Owned(user.to_string()),
            None => Cow::Borrowed(id),
        }
    }

    /// The ids that belong to the user beside its own.
    pub fn ids(&self, user: &str) -> Vec<LinkedId> {
        self.mapping.read().ids(user)
    }

    /// Reads the mapping as it is; nothing is decided meanwhile.
    pub fn with<T>(&self, read: impl FnOnce(&Mapping) -> T) -> T {
        read(&self.mapping.read())
    }

    /// Whether the id came as that of a known user, as far as that was read and has landed.
    pub fn is_known(&self, id: &str) -> bool {
        self.known.contains(id)
    }

    /// Undoes what was decided behind the position through which the log has landed: it is decided
    /// again.
    pub fn roll_back(&self, landed: u64) {
        let mut puts = self.puts.lock();
        let mut mapping = self.mapping.write();
        while let Some(put) = puts.pop_if(|put| put.position > landed) {
            mapping.put(&put.id, put.before);
        }
        puts.clear();
    }

    /// Decides a claim of the record at a log position, and follows it. `seen`: whether the id came
    /// as that of a known user in a record that has not landed.
    pub fn decide(
        &self,
        rules: &IdentityRules,
        claim: &Claim<'_>,
        position: u64,
        seen: impl Fn(&str) -> bool,
    ) -> Verdict {
        let decided =
            self.mapping.read().decide(rules, claim, |id| seen(id) || self.known.contains(id));
        match decided {
            Decided::Same => Verdict::Same,
            Decided::Refused(problem) => Verdict::Refused(problem),
            Decided::Links { user, links } => {
                for (id, owner) in links {
                    self.put(position, id, Some(owner));
                }
                Verdict::Linked(user)
            }
        }
    }

    /// What would become of a claim, as far as it is known who is known.
    pub fn check(&self, rules: &IdentityRules, claim: &Claim<'_>) -> Verdict {
        match self.mapping.read().decide(rules, claim, |id| self.known.contains(id)) {
            Decided::Same => Verdict::Same,
            Decided::Refused(problem) => Verdict::Refused(problem),
            Decided::Links { user, .. } => Verdict::Linked(user),
        }
    }

    /// Makes the id its own user's again; whose it was, and of which type.
    pub fn unlink(&self, id: &str, position: u64) -> Option<(Arc<str>, Arc<str>)> {
        let Owner { user, id_type } = self.put(position, Arc::from(id), None)?;
        Some((user, id_type))
    }

    fn put(&self, position: u64, id: Arc<str>, owner: Option<Owner>) -> Option<Owner> {
        let mut puts = self.puts.lock();
        let before = self.mapping.write().put(&id, owner);
        puts.push(Put { position, id, before: before.clone() });
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_land_is_decided_again() {
        let app = AppIdentities::default();
        let rules = IdentityRules::default();
        let claim = |id, user| Claim { id, id_type: "anonymous", user, merges: false };
        let decide = |id, user, position| app.decide(&rules, &claim(id, user), position, |_| false);
        assert_eq!(decide("a", "u", 1), Verdict::Linked("u".into()));
        assert_eq!(decide("b", "u", 2), Verdict::Linked("u".into()));
        assert!(app.unlink("a", 3).is_some());
        assert_eq!(decide("a", "v", 4), Verdict::Linked("v".into()));
        assert_eq!(app.user_of("a"), "v");
        app.roll_back(1);
        assert_eq!((app.user_of("a"), app.user_of("b")), ("u".into(), "b".into()));
        assert_eq!(
            decide("a", "v", 4),
            Verdict::Refused(
                "the id \"a\" belongs to user \"u\": it stays there unless it is unlinked".into()
            )
        );
        app.roll_back(9);
        assert_eq!(app.user_of("a"), "u", "what landed stays");
        app.roll_back(0);
        assert_eq!(app.user_of("a"), "u", "and is not undone later");
    }
}
