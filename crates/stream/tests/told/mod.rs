//! What the change feed says, as a reader who has read all of it knows it.
#![allow(dead_code, unreachable_pub)]

use crate::world::{Values, World};
use std::collections::{BTreeMap, BTreeSet};
use taghouse_feed::{Change, Start};
use taghouse_model::Value;

#[derive(Default)]
pub struct Told {
    /// By user and tag, unless all values of the tag were computed again since.
    values: BTreeMap<(String, String), Option<Value>>,
    /// How many records were read.
    records: u64,
    /// Tags of which all values were to be read again, by the last record that said so.
    published: BTreeMap<String, u64>,
    /// Users who were deleted, by the last record that said so.
    deleted: BTreeMap<String, u64>,
    /// By crowd and user.
    members: BTreeMap<(String, String), bool>,
    /// Crowds of which it is not said who is in them, but for those in `members`.
    partly: BTreeSet<String>,
}

impl Told {
    pub async fn read(world: &World) -> Self {
        world.feeds.flush(&world.app).await.unwrap();
        let mut reader = world.feeds.reader(&world.app, Start::Earliest).await.unwrap();
        let mut told = Self::default();
        let mut next = 1;
        loop {
            let records = reader.read().await.unwrap();
            if records.is_empty() {
                return told;
            }
            for record in records {
                assert_eq!(record.id, next, "no gap");
                next += 1;
                told.take(record.change);
            }
        }
    }

    fn take(&mut self, change: Change) {
        self.records += 1;
        match change {
            Change::Tag { user, tag, value } => {
                self.values.insert((user.to_string(), tag.to_string()), value);
            }
            Change::TagPublished { tag } => {
                self.values.retain(|(_, of), _| of != tag.as_str());
                self.published.insert(tag.to_string(), self.records);
            }
            Change::Entered { user, crowd, .. } => self.moves(&user, crowd.as_str(), true),
            Change::Exited { user, crowd, .. } => self.moves(&user, crowd.as_str(), false),
            Change::CrowdPublished { crowd, .. } => {
                self.members.retain(|(of, _), _| of != crowd.as_str());
                self.partly.insert(crowd.to_string());
            }
            Change::UserDeleted { user } => {
                self.deleted.insert(user.to_string(), self.records);
                self.values.retain(|(of, _), _| **of != *user);
                let of_user = self.members.iter_mut().filter(|((_, of), _)| **of == *user);
                of_user.for_each(|(_, is_member)| *is_member = false);
            }
        }
    }

    fn moves(&mut self, user: &str, crowd: &str, enters: bool) {
        let before = self.members.insert((crowd.to_owned(), user.to_owned()), enters);
        let before = before.or((!self.partly.contains(crowd)).then_some(false));
        assert_ne!(before, Some(enters), "{user} and {crowd}: told twice");
    }

    /// `tags`: of which `shown` are the values.
    pub fn compare_values(&self, shown: &Values, tags: &[&str], what: &str) {
        for ((user, tag), value) in
            self.values.iter().filter(|((_, tag), _)| tags.contains(&tag.as_str()))
        {
            let now = shown.get(user).and_then(|of_user| of_user.get(tag));
            assert_eq!(now, value.as_ref(), "{what}: {tag} of {user}");
        }
    }

    /// Fails where the feed says another value; or none, and does not say that all are to be read
    /// either.
    pub fn assert_told(&self, user: &str, tag: &str, value: &Value) {
        let told = self.values.get(&(user.to_owned(), tag.to_owned()));
        let published = self.published.get(tag).copied().unwrap_or(0);
        let deleted = self.deleted.get(user).copied().unwrap_or(0);
        let is_published = told.is_none() && published > deleted;
        assert!(
            is_published || told == Some(&Some(value.clone())),
            "{tag} of {user} is {value:?}, and told was {told:?}"
        );
    }

    pub fn compare_members(&self, crowd: &str, members: &BTreeSet<String>, what: &str) {
        let of_crowd = || self.members.iter().filter(|((of, _), _)| of == crowd);
        for ((_, user), is_member) in of_crowd() {
            assert_eq!(members.contains(user), *is_member, "{what}: {user} in {crowd}");
        }
        if !self.partly.contains(crowd) {
            let told = of_crowd().filter(|(_, is_member)| **is_member).count();
            assert_eq!(told, members.len(), "{what}: {crowd}, {members:?}");
        }
    }
}
