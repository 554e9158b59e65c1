//! Holds the stream's values against those of the batch, as of the same instant, for a sample of
//! users.
//!
//! ```text
//! look: what has come lands ─► states, index and tables at one moment ─► the batch over the tables, of these users alone
//! differences ─► a second look at them: gone (they were in flight) │ there again and without a reason: a defect
//! ```
//!
//! The batch is the pass of productions over tables that hold just what the states have seen, so two
//! values that differ need a reason. What was changed by hand is left out of both, and explains what
//! the index shows instead.

use crate::look::{Look, Whom};
use crate::stream::Stream;
use crate::verdict::{Differing, Pair, Verdict, compare, judged, left};
use crate::{Error, Result};
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use taghouse_feed::{Change, Start};
use taghouse_ingest::Landing;
use taghouse_model::{AppId, Name, Ordinal, TimestampMs, Value};
use taghouse_produce::{Chosen, Sample, Sampled, Share, sample};
use taghouse_rules::Definitions;

/// Looks at most. The second tells what was in flight; later ones do so of users whom only the batch
/// knew at the first, and of what had another reason at the first.
const LOOKS: u32 = 4;

/// How often it is tried to look at states that are being computed from the lake.
const TRIES: u32 = 5;

/// Of a sample, users of whom something changed lately: one of so many.
const LATELY: usize = 4;

/// Of a sample, users whom only the batch chooses: one of so many.
const BY_BATCH: usize = 4;

/// What a comparison works with.
#[derive(Clone)]
pub struct ParityParts {
    /// Whose values are compared.
    pub stream: Arc<Stream>,
    /// Which lets everything land that has come.
    pub landing: Arc<Landing>,
}

/// What to compare.
#[derive(Debug, Clone)]
pub struct ParityAsk {
    /// This tag alone; `None`: all live tags.
    pub tag: Option<Name>,
    /// About so many users.
    pub sample: usize,
    /// Another seed chooses other users.
    pub seed: u64,
    /// How long to wait between two looks.
    pub pause: Duration,
}

/// Waits until the live tags have values of these definitions, and computes them if nobody does;
/// `false`: other definitions were applied meanwhile.
pub type Settle<'s> = dyn Fn() -> BoxFuture<'s, Result<bool>> + Send + Sync + 's;

/// Why two values differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceClass {
    /// Something was on its way: it is gone at the second look, or it is known to be still to come.
    InFlight,
    /// A value changed by hand is shown over the live one.
    ByHand,
    /// States are being computed from the lake, so that there was no second look.
    Computing,
    /// Nothing explains it.
    Defect,
}

impl DifferenceClass {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::InFlight, Self::ByHand, Self::Computing, Self::Defect];
}

impl fmt::Display for DifferenceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InFlight => "in_flight",
            Self::ByHand => "by_hand",
            Self::Computing => "computing",
            Self::Defect => "defect",
        })
    }
}

/// A user's value of a tag that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Id of the user.
    pub user: String,
    /// Name of the tag.
    pub tag: Name,
    /// What the index shows.
    pub shown: Option<Value>,
    /// What the states say.
    pub held: Option<Value>,
    /// What the batch says.
    pub batch: Option<Value>,
    /// The instant of the look.
    pub as_of_ms: TimestampMs,
    /// The log position of the look.
    pub position: u64,
    /// Why they differ.
    pub class: DifferenceClass,
    /// The same in words.
    pub why: &'static str,
}

/// What was compared of a tag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compared {
    /// Whether it stands for a condition of live crowds.
    pub is_anonymous: bool,
    /// Users with a value, in the stream or in the batch.
    pub values: u64,
}

/// What a comparison came to.
#[derive(Debug, Clone, Default)]
pub struct Parity {
    /// The instant of the first look; `None`: there was none, for states are being computed.
    pub as_of_ms: Option<TimestampMs>,
    /// Its log position.
    pub position: u64,
    /// How many users were compared.
    pub users: u64,
    /// How many users the stream knows.
    pub users_known: u64,
    /// Events that the batch read, of everybody.
    pub events_read: u64,
    /// How often it was looked.
    pub looks: u32,
    /// By tag.
    pub tags: BTreeMap<Name, Compared>,
    /// In the order of user and tag.
    pub differences: Vec<Difference>,
}

impl ParityParts {
    /// Compares. `report` is told of rows read by the first look, and of how many there are.
    ///
    /// # Errors
    /// Of the landing, the lake, the index, the users and the object store. Nothing is changed by
    /// that.
    pub async fn compare(
        &self,
        definitions: &Arc<Definitions>,
        ask: &ParityAsk,
        settle: &Settle<'_>,
        report: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Parity> {
        let app = &definitions.app.id;
        let also = self.changed_lately(app, ask.sample / LATELY).await?;
        let whom = Whom::Sample { size: ask.sample, seed: ask.seed, also };
        let Some(look) = self.look(definitions, ask, whom, settle).await? else {
            return Ok(Parity::default());
        };
        let share = Share::of((ask.sample / BY_BATCH) as u64, look.seen, ask.seed);
        let batch = batch(definitions, ask, &look, Some(share), report).await?;
        let unknown = self.unknown(app, &look, &batch).await?;
        let mut parity = Parity::of(&look, &batch);
        let Verdict { known, mut open } =
            judged(Differing::new(), compare(&look, &batch, &|_, _| true));
        parity.differences = known;
        let mut asked = unknown;
        while parity.looks < LOOKS && !(open.is_empty() && asked.is_empty()) {
            tokio::time::sleep(ask.pause).await;
            let mut people = asked.clone();
            people.extend(open.keys().map(|pair| pair.user.clone()));
            let whom = Whom::These(people.into_iter().collect());
            let Some(look) = self.look(definitions, ask, whom, settle).await? else {
                let why = "states are being computed from the lake, so it was not looked at again";
                parity.differences.extend(left(open, DifferenceClass::Computing, why));
                open = Differing::new();
                break;
            };
            let batch = self::batch(definitions, ask, &look, None, &|_, _| ()).await?;
            let wanted = |user: &str, tag: &Name| {
                asked.contains(user) || open.contains_key(&Pair::new(user, tag))
            };
            let now = compare(&look, &batch, &wanted);
            let verdict = judged(open, now);
            parity.looks += 1;
            parity.differences.extend(verdict.known);
            (open, asked) = (verdict.open, BTreeSet::new());
        }
        let why = "it was there at the last look, and not at the one before";
        parity.differences.extend(left(open, DifferenceClass::InFlight, why));
        parity.differences.sort_by(|a, b| (&a.user, &a.tag).cmp(&(&b.user, &b.tag)));
        Ok(parity)
    }

    /// A look at states that serve. `None`: they are being computed again and again, or other
    /// definitions were applied.
    async fn look(
        &self,
        definitions: &Arc<Definitions>,
        ask: &ParityAsk,
        whom: Whom,
        settle: &Settle<'_>,
    ) -> Result<Option<Look>> {
        for _ in 0..TRIES {
            if !settle().await? {
                return Ok(None);
            }
            let (parts, definitions) = (self.clone(), definitions.clone());
            let (tag, whom) = (ask.tag.clone(), whom.clone());
            // Not dropped with a run that is cancelled: a landing is seen to its end.
            let looked = tokio::spawn(async move {
                Stream::look(&parts, &definitions, tag.as_ref(), whom).await
            });
            let look = looked.await.map_err(|error| Error::Task(error.to_string()))??;
            if look.is_some() {
                return Ok(look);
            }
        }
        Ok(None)
    }

    /// Users of whom the change feed told last, at most so many.
    async fn changed_lately(&self, app: &AppId, most: usize) -> Result<Vec<String>> {
        let feeds = &self.stream.parts.feeds;
        let extent = feeds.extent(app).await?;
        let after = extent.end.saturating_sub(most as u64).max(extent.first.saturating_sub(1));
        // What is removed meanwhile is not lately any more.
        let Ok(mut reader) = feeds.reader(app, Start::After(after)).await else {
            return Ok(Vec::new());
        };
        let mut users = BTreeSet::new();
        while reader.after() < extent.end {
            let records = reader.read().await?;
            if records.is_empty() {
                break;
            }
            users.extend(records.into_iter().filter_map(|record| match record.change {
                Change::Tag { user, .. } => Some(user.to_string()),
                _ => None,
            }));
        }
        Ok(users.into_iter().take(most).collect())
    }

    /// Users whom the batch has found by its own choice and the stream does not know.
    async fn unknown(&self, app: &AppId, look: &Look, batch: &Sampled) -> Result<BTreeSet<String>> {
        let asked: BTreeSet<&String> = look.users.iter().collect();
        let others: Vec<String> =
            batch.values.keys().filter(|user| !asked.contains(user)).cloned().collect();
        let slot = self.stream.slot(app);
        let slot = slot.lock().await;
        let users = self.stream.parts.users.share(app).await;
        let known = users.lookup(others.clone()).await?;
        let seen = |user: &Option<Ordinal>| match (user, &slot.serving) {
            (Some(user), Some(serving)) => serving.state.users().contains(*user),
            _ => false,
        };
        let unknown = others.into_iter().zip(known).filter(|(_, user)| !seen(user));
        Ok(unknown.map(|(user, _)| user).collect())
    }
}

/// The batch's values of the users looked at, and of a share of all.
async fn batch(
    definitions: &Arc<Definitions>,
    ask: &ParityAsk,
    look: &Look,
    share: Option<Share>,
    report: &(dyn Fn(u64, u64) + Sync),
) -> Result<Sampled> {
    let users = Chosen { users: look.users.iter().cloned().collect(), share };
    let (tag, as_of_ms) = (ask.tag.as_ref(), look.as_of_ms);
    Ok(sample(definitions, Sample { tables: &look.tables, users, tag, as_of_ms }, report).await?)
}

impl Parity {
    fn of(look: &Look, batch: &Sampled) -> Self {
        let none = BTreeMap::new();
        let compared = |tag: &crate::look::LookedAt| {
            let has_value = |row: &usize| {
                let of_user = batch.values.get(&look.users[*row]).unwrap_or(&none);
                tag.shown[*row].is_some()
                    || tag.held[*row].is_some()
                    || of_user.contains_key(&tag.name)
            };
            let values = (0..look.users.len()).filter(has_value).count() as u64;
            (tag.name.clone(), Compared { is_anonymous: tag.is_anonymous, values })
        };
        Self {
            as_of_ms: Some(look.as_of_ms),
            position: look.position,
            users: look.users.len() as u64,
            users_known: look.seen,
            events_read: batch.events_read,
            looks: 1,
            tags: look.tags.iter().map(compared).collect(),
            differences: Vec::new(),
        }
    }

    /// How many differences of a tag are of a class.
    pub fn count(&self, tag: &Name, class: DifferenceClass) -> u64 {
        let of = |difference: &&Difference| difference.tag == *tag && difference.class == class;
        self.differences.iter().filter(of).count() as u64
    }

    /// How many differences nothing explains.
    pub fn defects(&self) -> u64 {
        let is_defect = |difference: &&Difference| difference.class == DifferenceClass::Defect;
        self.differences.iter().filter(is_defect).count() as u64
    }
}
