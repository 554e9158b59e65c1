//! What is remembered of an activation: a pointer of the catalog.

use crate::{Engine, Error, Result};
use serde::{Deserialize, Serialize};
use taghouse_catalog::{Change, Pointer};
use taghouse_model::{AppId, Name, Ordinal, TimestampMs};

const POINTER_KIND: &str = "activation";

/// How many deliveries that have ended are remembered.
const REMEMBERED: usize = 20;

/// What is remembered of an activation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ActivationRecord {
    /// The highest number of a delivery. It stays when the definition goes: numbers are not given twice.
    pub(crate) number: u64,
    /// What the destination holds; `None`: nothing that a difference could be made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) held: Option<Held>,
    /// The kept set of users of whom nobody knows whether the destination has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unsure: Option<String>,
    /// The delivery that is under way, or has ended without success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<Delivery>,
    /// Deliveries that have ended, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ended: Vec<Delivery>,
    /// How many runs in a row have failed.
    #[serde(default)]
    pub(crate) failures: u32,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<Problem>,
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Problem {
    pub(crate) at_ms: TimestampMs,
    pub(crate) detail: String,
}

/// What a destination holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// The delivery.
    pub(crate) number: u64,
    /// The crowd's version; 0: the crowd was live.
    pub(crate) version: u64,
    /// The digest of the destination.
    pub(crate) destination: String,
    /// The kept set of its users.
    pub(crate) set: String,
}

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeliveryState {
    /// It goes on, or goes on once a server runs.
    Running,
    /// The destination has it.
    Succeeded,
    /// It was given up for now; it goes on if the same version is sent again.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// Another one took its place before it ended.
    Superseded,
}

impl DeliveryState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }
}

/// One delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) number: u64,
    /// The run that sent it last.
    pub(crate) run: String,
    pub(crate) crowd: Name,
    /// 0: the crowd is live.
    pub(crate) version: u64,
    /// The delivery that it is the difference to; `None`: it is of all members.
    pub(crate) since: Option<u64>,
    /// The digest of the destination.
    pub(crate) destination: String,
    /// The kept set of its users.
    pub(crate) set: String,
    pub(crate) state: DeliveryState,
    pub(crate) started_ms: TimestampMs,
    pub(crate) ended_ms: Option<TimestampMs>,
    /// How many users are sent, or were before.
    pub(crate) members: u64,
    /// How many of the crowd are not sent, for a crowd excludes them.
    pub(crate) suppressed: u64,
    /// How many of the others did not consent.
    pub(crate) without_consent: u64,
    /// Users whom the destination has taken as members.
    pub(crate) entered: u64,
    /// And as members no more.
    pub(crate) left: u64,
    /// Users whom it did not take.
    pub(crate) failed: u64,
    /// How far it has come.
    pub(crate) cursor: Cursor,
    /// Bytes of the file with users whom it did not take.
    pub(crate) failed_bytes: u64,
    pub(crate) error: Option<String>,
}

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// What the ordinals are of.
    pub(crate) generation: u64,
    pub(crate) phase: Phase,
    /// The first ordinal that is not sent.
    pub(crate) from: Ordinal,
    /// How many pieces were sent.
    pub(crate) pieces: u64,
}

impl Cursor {
    pub(crate) fn start(generation: u64) -> Self {
        Self { generation, phase: Phase::Left, from: 0, pieces: 0 }
    }
}

/// What is being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Who left.
    Left,
    /// Who entered.
    Entered,
    /// All are there.
    End,
}

/// A record, and which one it is.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    app: AppId,
    name: Name,
    pub(crate) record: ActivationRecord,
    revision: Option<u64>,
    /// Whether that is known: not after a commit that failed, for it may have been done.
    is_known: bool,
}

impl ActivationRecord {
    /// What is left when the definition goes.
    pub(crate) fn forgotten(&self) -> Self {
        Self { number: self.number, ..Self::default() }
    }

    /// Puts a delivery that has ended among those.
    pub(crate) fn end(&mut self, delivery: Delivery) {
        self.ended.insert(0, delivery);
        self.ended.truncate(REMEMBERED);
    }

    /// The newest delivery.
    pub(crate) fn last(&self) -> Option<&Delivery> {
        self.current.as_ref().or(self.ended.first())
    }

    /// All names of kept sets.
    pub(crate) fn sets(&self) -> impl Iterator<Item = &str> {
        let held = self.held.iter().map(|held| held.set.as_str());
        let current = self.current.iter().map(|current| current.set.as_str());
        held.chain(current).chain(self.unsure.as_deref())
    }

    fn read(name: &str, pointer: &Pointer) -> Result<Self> {
        serde_json::from_value(pointer.value.clone()).map_err(|error| Error::ActivationRecord {
            activation: name.to_owned(),
            detail: error.to_string(),
        })
    }
}

impl Stored {
    /// Reads the record of an activation; an empty one if there is none.
    pub(crate) async fn load(engine: &Engine, app: &AppId, name: &Name) -> Result<Self> {
        let pointer = engine.catalog.pointer(POINTER_KIND, app, name.as_str()).await?;
        let record = pointer.as_ref().map(|pointer| ActivationRecord::read(name.as_str(), pointer));
        Ok(Self {
            app: app.clone(),
            name: name.clone(),
            record: record.transpose()?.unwrap_or_default(),
            revision: pointer.map(|pointer| pointer.revision),
            is_known: true,
        })
    }

    /// The change that puts the record in the place of the one that was read.
    pub(crate) fn put(&self) -> Result<Change> {
        let value = serde_json::to_value(&self.record).map_err(|error| {
            Error::ActivationRecord { activation: self.name.to_string(), detail: error.to_string() }
        })?;
        Ok(Change::PutPointer {
            kind: POINTER_KIND.to_owned(),
            app: self.app.clone(),
            name: self.name.to_string(),
            expected: self.revision,
            value,
        })
    }

    /// Writes the record, together with other changes.
    pub(crate) async fn save(&mut self, engine: &Engine, mut more: Vec<Change>) -> Result<()> {
        let stored = async |app: &AppId, name: &Name| -> Result<Option<u64>> {
            let pointer = engine.catalog.pointer(POINTER_KIND, app, name.as_str()).await?;
            Ok(pointer.map(|pointer| pointer.revision))
        };
        if !self.is_known {
            self.revision = stored(&self.app, &self.name).await?;
        }
        more.push(self.put()?);
        self.is_known = false;
        engine.catalog.commit(more).await?;
        self.revision = match self.revision {
            Some(revision) => Some(revision + 1),
            None => stored(&self.app, &self.name).await?,
        };
        self.is_known = true;
        Ok(())
    }
}

impl Engine {
    /// What is remembered of an app's activations, by name.
    pub(crate) async fn activation_records(
        &self,
        app: &AppId,
    ) -> Result<Vec<(String, ActivationRecord)>> {
        let pointers = self.catalog.pointers(POINTER_KIND, app).await?;
        let read = |(name, pointer): (String, Pointer)| {
            let record = ActivationRecord::read(&name, &pointer)?;
            Ok((name, record))
        };
        pointers.into_iter().map(read).collect()
    }
}
