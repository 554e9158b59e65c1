use crate::leaves::{AsOf, OtherCrowds};
use crate::{Crowds, Result, anonymous};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_dictionary::View;
use taghouse_disk::blocking;
use taghouse_index::{Query, Snapshot};
use taghouse_model::{AppId, TimestampMs, Value};
use taghouse_rules::{Definitions, Names, ParsedPredicate, Predicate};

/// An expression in the crowd language, asked without being defined as a crowd. `Display` gives its
/// canonical text.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    parsed: ParsedPredicate,
}

/// An expression of a request, under the name that its answer has.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedQuestion {
    /// The name.
    pub name: String,
    /// The expression.
    pub question: Question,
}

/// How many users match an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Users who match.
    pub count: u64,
    /// Users that exist.
    pub users: u64,
    /// The index's revision that answered.
    pub revision: u64,
    /// The oldest as-of time of the tags asked, also through crowds; `None`: none was.
    pub oldest_as_of_ms: Option<TimestampMs>,
    /// The newest one. It differs from the oldest if the tags were not produced as of one time.
    pub newest_as_of_ms: Option<TimestampMs>,
}

/// A question checked against a snapshot, with everything needed to answer it.
pub(crate) struct Ready {
    pub(crate) snapshot: Arc<Snapshot>,
    /// The dictionary of the snapshot's ordinals.
    pub(crate) dictionary: View,
    pub(crate) expression: Predicate<Value>,
    pub(crate) others: OtherCrowds,
    pub(crate) as_of: AsOf,
}

impl Question {
    /// Reads the text form, such as `orders_30d >= 2 && !crowd("big_spenders")`.
    ///
    /// # Errors
    /// [`Error::Rules`](crate::Error::Rules): shows the place and what was expected there.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(Self { parsed: ParsedPredicate::parse(text).map_err(taghouse_rules::Error::from)? })
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// [`Error::Rules`](crate::Error::Rules): names the place.
    pub fn from_json(json: &serde_json::Value) -> Result<Self> {
        Ok(Self { parsed: ParsedPredicate::from_json(json)? })
    }

    /// The tags that it names.
    pub fn tags(&self) -> BTreeSet<&str> {
        self.parsed.tree().names()
    }

    /// The crowds that it names.
    pub fn crowds(&self) -> BTreeSet<&str> {
        self.parsed.tree().crowds()
    }

    /// Whether it asks a live tag or a live crowd.
    pub fn asks_live(&self, definitions: &Definitions) -> bool {
        let live_tag =
            |name: &&str| definitions.tags.get(*name).is_some_and(|tag| tag.mode.is_live());
        let live_crowd =
            |name: &&str| definitions.crowds.get(*name).is_some_and(|crowd| crowd.is_live);
        self.tags().iter().any(live_tag) || self.crowds().iter().any(live_crowd)
    }

    /// The condition, checked against the types in a snapshot (not those defined: the index may be
    /// older).
    pub(crate) fn checked_on(
        &self,
        snapshot: &Snapshot,
        definitions: &Definitions,
    ) -> Result<Predicate<Value>> {
        let tags = snapshot.tags().map(|tag| tag.name.as_str());
        let crowds = definitions.crowds.keys().map(|name| name.as_str());
        let known: Vec<&str> = tags.chain(crowds).collect();
        let names = Names {
            types: &|name| snapshot.info(name).map(|tag| tag.value_type),
            crowds: &|name| definitions.crowds.contains_key(name),
            pending: &|name| definitions.tags.contains_key(name),
            zone: &definitions.app.time_zone,
            known: &known,
        };
        Ok(self.parsed.check(names)?)
    }

    /// The JSON form.
    pub fn to_json(&self) -> serde_json::Value {
        self.parsed.tree().to_json()
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parsed.tree().fmt(f)
    }
}

impl Count {
    /// The oldest and the newest as-of time of the tags asked, if they differ.
    pub fn mixed_as_of(&self) -> Option<(TimestampMs, TimestampMs)> {
        self.oldest_as_of_ms.zip(self.newest_as_of_ms).filter(|(oldest, newest)| oldest != newest)
    }
}

impl Ready {
    /// Compiles the query. Not for a thread that answers requests: conditions on computed values
    /// are evaluated here.
    pub(crate) fn query(&self) -> Result<Query> {
        anonymous::query(&self.snapshot, &self.expression, &self.others, None)
    }

    /// The exact count of `query`, which is this question's.
    pub(crate) fn count(&self, query: &Query) -> Result<Count> {
        Ok(Count {
            count: query.count()?,
            users: self.snapshot.users().len(),
            revision: self.snapshot.revision(),
            oldest_as_of_ms: self.as_of.oldest_ms,
            newest_as_of_ms: self.as_of.newest_ms,
        })
    }
}

impl Crowds {
    /// How many users match the expression, on the newest snapshot.
    ///
    /// # Errors
    /// [`Error::NoTags`](crate::Error::NoTags); [`Error::Rules`](crate::Error::Rules) for names and
    /// literals that do not fit the tags in the index;
    /// [`Error::NotComputed`](crate::Error::NotComputed) for a crowd named; of the index.
    pub async fn count(
        &self,
        app: &AppId,
        definitions: &Definitions,
        question: &Question,
    ) -> Result<Count> {
        let ready = self.ready(app, definitions, question).await?;
        blocking(move || ready.count(&ready.query()?)).await
    }

    /// The users who match the expression, on the newest snapshot.
    ///
    /// # Errors
    /// As [`Crowds::count`].
    pub async fn bitmap(
        &self,
        app: &AppId,
        definitions: &Definitions,
        question: &Question,
    ) -> Result<Bitmap> {
        let ready = self.ready(app, definitions, question).await?;
        blocking(move || Ok(ready.query()?.bitmap()?)).await
    }

    /// Checks a question against the newest snapshot and loads what it needs.
    pub(crate) async fn ready(
        &self,
        app: &AppId,
        definitions: &Definitions,
        question: &Question,
    ) -> Result<Ready> {
        let snapshot = self.snapshot(app).await?;
        self.ready_on(snapshot, app, definitions, question).await
    }

    /// The condition with its dates relative to now put in. Now is the time that the tags are as of,
    /// as for all that productions compute; if the stream keeps one of them current, it is that of
    /// the clock.
    pub(crate) fn as_of(
        &self,
        expression: &Predicate<Value>,
        as_of: &AsOf,
        definitions: &Definitions,
    ) -> Predicate<Value> {
        if !expression.moves() {
            return expression.clone();
        }
        let now_ms = self.now_of(expression, as_of, definitions);
        expression.as_of(now_ms, &definitions.app.time_zone)
    }

    /// Which instant is now, as [`Crowds::as_of`] says.
    pub(crate) fn now_of(
        &self,
        expression: &Predicate<Value>,
        as_of: &AsOf,
        definitions: &Definitions,
    ) -> TimestampMs {
        let is_live =
            |name: &&str| definitions.tags.get(*name).is_some_and(|tag| tag.mode.is_live());
        let live = expression.names().iter().any(is_live);
        as_of.newest_ms.filter(|_| !live).unwrap_or_else(|| self.clock.now_ms())
    }

    /// The same on a given snapshot, so that several questions are answered from one.
    pub(crate) async fn ready_on(
        &self,
        snapshot: Arc<Snapshot>,
        app: &AppId,
        definitions: &Definitions,
        question: &Question,
    ) -> Result<Ready> {
        let dictionary = self.dictionary_of(app, &snapshot)?;
        let expression = question.checked_on(&snapshot, definitions)?;
        let others = self.others(app, &expression, snapshot.generation()).await?;
        let as_of = others.as_of(&expression, &snapshot);
        let expression = self.as_of(&expression, &as_of, definitions);
        Ok(Ready { snapshot, dictionary, expression, others, as_of })
    }
}
