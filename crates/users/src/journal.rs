//! Records changes by hand in the log of live calls, before they are applied. They land in the
//! lake, where productions read them.

use crate::change::UserChange;
use crate::{Error, Op, Result, Users};
use jiff::tz::TimeZone;
use std::sync::Arc;
use taghouse_catalog::{Change, Pointer};
use taghouse_fold::{Calendar, Outcome, parse_attribute};
use taghouse_ingest::{HandOp, LogRecord, RecordBody, landed};
use taghouse_log::{EventLog, MAX_APPEND_BYTES};
use taghouse_model::{AppId, TimestampMs, Value, ValueType};

/// The most bytes and records of one append; more are split. Only the very largest calls are.
const APPENDED_BYTES: usize = MAX_APPEND_BYTES / 2;
const APPENDED_AT_ONCE: usize = 200_000;

/// Records read at a time when a process starts.
const READ_AT_ONCE: usize = 10_000;

/// The catalog's pointer to the position up to which all records were applied when the last process
/// ended properly.
const KIND: &str = "log";
const MADE: &str = "made";

impl Users {
    /// Records changes. Durable on return. Gives the position of the last record; `None` without a
    /// log.
    pub(crate) async fn note_changes(
        &self,
        app: &AppId,
        changes: &[UserChange],
    ) -> Result<Option<u64>> {
        let now_ms = self.clock.now_ms();
        self.note(app, changes.iter().map(|change| record(now_ms, change))).await
    }

    /// Records that users were deleted at `now_ms`. Durable on return: nothing that is older, or
    /// that arrived before, brings them back.
    pub(crate) async fn note_deleted(
        &self,
        app: &AppId,
        now_ms: TimestampMs,
        users: impl Iterator<Item = String> + Send,
        expired: bool,
    ) -> Result<Option<u64>> {
        self.note(app, users.map(|user| LogRecord::deletion(now_ms, user, expired))).await
    }

    async fn note(
        &self,
        app: &AppId,
        records: impl Iterator<Item = LogRecord> + Send,
    ) -> Result<Option<u64>> {
        let Some(log) = &self.log else { return Ok(None) };
        let mut last = None;
        let unwritable = |error: serde_json::Error| {
            Error::BrokeOff(format!("writing a record of the log: {error}"))
        };
        let (mut waiting, mut bytes) = (Vec::new(), 0);
        for record in records {
            let encoded = record.encode().map_err(unwritable)?;
            if bytes + encoded.len() > APPENDED_BYTES || waiting.len() == APPENDED_AT_ONCE {
                last = Some(log.append(app, std::mem::take(&mut waiting)).await?);
                bytes = 0;
            }
            bytes += encoded.len();
            waiting.push(encoded);
        }
        if !waiting.is_empty() {
            last = Some(log.append(app, waiting).await?);
        }
        Ok(last)
    }

    /// The end of the log, at a moment at which all records are applied. The log may land up to
    /// there, for at a start only records that have not landed are applied again.
    ///
    /// # Errors
    /// Of the log.
    pub async fn settled(&self, app: &AppId, log: &dyn EventLog) -> Result<u64> {
        let lock = self.lock(app);
        let _quiet = lock.write().await;
        Ok(log.end(app).await?)
    }

    /// Remembers that all records are applied, so that the next start need not read them. Call it
    /// at the end of a process.
    ///
    /// # Errors
    /// Of the log and the catalog.
    pub async fn leave(&self) -> Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        for app in self.catalog.apps().await? {
            let (end, made) = (
                self.settled(&app, log.as_ref()).await?,
                self.catalog.pointer(KIND, &app, MADE).await?,
            );
            let known = landed(self.catalog.as_ref(), &app).await?.max(position(made.as_ref()));
            if end > known {
                let (kind, name, expected) =
                    (KIND.to_owned(), MADE.to_owned(), made.map(|made| made.revision));
                let change = Change::PutPointer {
                    kind,
                    app,
                    name,
                    expected,
                    value: serde_json::json!({ "position": end }),
                };
                self.catalog.commit(vec![change]).await?;
            }
        }
        Ok(())
    }

    /// Applies the records that have not landed, for after a crash they may be missing in the
    /// index. Applying all of them again, in order, gives the same result.
    pub(crate) async fn make_noted(&self, app: &AppId) -> Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        let made = self.catalog.pointer(KIND, app, MADE).await?;
        let mut from = landed(self.catalog.as_ref(), app).await?.max(position(made.as_ref()));
        loop {
            let records = log.read(app, from, READ_AT_ONCE).await?;
            let Some((last, _)) = records.last() else { break };
            from = *last;
            let mut again = Vec::new();
            for record in records.iter().filter_map(|(_, bytes)| LogRecord::decode(bytes).ok()) {
                match record.body {
                    RecordBody::Changed { user_id, tag, op, value } => {
                        again.extend(
                            self.change_of(app, user_id, &tag, op, value.as_deref()).await?,
                        );
                    }
                    RecordBody::Gone { user_id, .. } => {
                        self.make_again(app, &mut again).await?;
                        match self.delete_noted(app, vec![user_id]).await {
                            Ok(_) | Err(Error::UnknownUser { .. }) => {}
                            Err(error) => return Err(error),
                        }
                    }
                    _ => {}
                }
            }
            self.make_again(app, &mut again).await?;
        }
        // Until the last is seen, so are values in between, which were replaced before the crash.
        match self.index.position(app).await {
            Ok(_) | Err(taghouse_index::Error::NoLog) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn make_again(&self, app: &AppId, changes: &mut Vec<UserChange>) -> Result<()> {
        let changes = std::mem::take(changes);
        if !changes.is_empty() {
            self.make(app, &Arc::new(changes)).await?;
        }
        Ok(())
    }

    /// A recorded change; `None` if the index no longer has the tag, or has it with another type.
    async fn change_of(
        &self,
        app: &AppId,
        user: String,
        tag: &str,
        op: HandOp,
        value: Option<&str>,
    ) -> Result<Option<UserChange>> {
        let snapshot = self.index.snapshot(app).await?;
        let Some((tag, ty)) = snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.info(tag))
            .map(|info| (info.name.clone(), info.value_type))
        else {
            return Ok(None);
        };
        let text = value.unwrap_or_default();
        let op = match op {
            HandOp::Set => match parse_attribute(text, ty, &Calendar::new(&TimeZone::UTC)) {
                Outcome::Value(value) => Op::Set(value),
                Outcome::Nothing => Op::Unset,
                Outcome::Skipped(_) => return Ok(None),
            },
            HandOp::Unset => Op::Unset,
            HandOp::Add if ty == ValueType::Set => Op::Add(text.into()),
            HandOp::Remove if ty == ValueType::Set => Op::Remove(text.into()),
            HandOp::Add | HandOp::Remove => return Ok(None),
        };
        Ok(Some(UserChange { user, tag, op }))
    }
}

fn position(pointer: Option<&Pointer>) -> u64 {
    pointer.and_then(|pointer| pointer.value.get("position")?.as_u64()).unwrap_or(0)
}

fn record(now_ms: TimestampMs, change: &UserChange) -> LogRecord {
    let (op, value) = match &change.op {
        Op::Set(value) => (HandOp::Set, Some(text(value))),
        Op::Unset => (HandOp::Unset, None),
        Op::Add(member) => (HandOp::Add, Some(member.to_string())),
        Op::Remove(member) => (HandOp::Remove, Some(member.to_string())),
    };
    LogRecord::changed(now_ms, change.user.clone(), change.tag.to_string(), op, value)
}

/// Parses a value as an attribute's text of the tag's type.
fn text(value: &Value) -> String {
    match value {
        Value::Set(members) => {
            serde_json::Value::from_iter(members.iter().map(AsRef::as_ref).map(str::to_owned))
                .to_string()
        }
        other => other.to_string(),
    }
}
