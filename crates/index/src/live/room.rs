//! Limits the live changes in memory: when flushing falls behind, writers wait.

use super::AppLog;
use super::app_log::Shared;
use super::tag_log::TagLog;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How many changes, and what their texts take in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) changes: u64,
    pub(crate) text_bytes: u64,
}

impl Weight {
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            changes: self.changes + other.changes,
            text_bytes: self.text_bytes + other.text_bytes,
        }
    }

    pub(crate) fn less(&mut self, other: Self) {
        (self.changes, self.text_bytes) =
            (self.changes - other.changes, self.text_bytes - other.text_bytes);
    }
}

/// Changes on their way to the log, as long as it lives.
pub(crate) struct Admitted {
    shared: Arc<Shared>,
    weight: Weight,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.shared.admitted.lock().less(self.weight);
    }
}

/// A writer who waits for room, as long as it lives.
pub(crate) struct Waits(Arc<Shared>);

impl Drop for Waits {
    fn drop(&mut self) {
        *self.0.waiting.lock() -= 1;
    }
}

impl AppLog {
    /// As [`AppLog::admit`], if nobody waits for room; else the caller waits with the others.
    pub(crate) fn admit_or_wait(&self, weight: Weight) -> std::result::Result<Admitted, Waits> {
        // Under this lock, so that whoever waits sees all who went in before.
        let mut waiting = self.shared.waiting.lock();
        if *waiting == 0
            && let Some(admitted) = self.admit(weight)
        {
            return Ok(admitted);
        }
        *waiting += 1;
        Err(Waits(self.shared.clone()))
    }

    /// From now on writers wait for who has the flushing, until the result is dropped.
    pub(crate) fn let_wait(&self) -> Waits {
        *self.shared.waiting.lock() += 1;
        Waits(self.shared.clone())
    }

    /// Changes on their way to the log.
    pub(crate) fn on_their_way(&self) -> u64 {
        self.shared.admitted.lock().changes
    }

    /// Whether so much more fits under the limits, with what is on its way, which it then is.
    pub(crate) fn admit(&self, weight: Weight) -> Option<Admitted> {
        let mut on_their_way = self.shared.admitted.lock();
        let held =
            Weight { changes: self.held(), text_bytes: self.text_bytes() }.and(*on_their_way);
        let options = &self.shared.options;
        let all = held.and(weight);
        // One call that is larger than a limit goes in alone.
        let alone = held.changes == 0 && held.text_bytes == 0;
        if !alone
            && (all.changes > options.limit_changes || all.text_bytes > options.limit_text_bytes)
        {
            return None;
        }
        *on_their_way = on_their_way.and(weight);
        Some(Admitted { shared: self.shared.clone(), weight })
    }

    /// As [`AppLog::admit`], whatever the limit.
    pub(crate) fn admit_over_limit(&self, weight: Weight) -> Admitted {
        let mut on_their_way = self.shared.admitted.lock();
        *on_their_way = on_their_way.and(weight);
        Admitted { shared: self.shared.clone(), weight }
    }

    /// What the texts of changes take in memory.
    pub(crate) fn text_bytes(&self) -> u64 {
        self.shared.text_bytes.load(Ordering::Relaxed)
    }

    /// Lets go of the texts of tags that have no live change any more. The caller sees to it that
    /// no change is on its way: it would be refused, for the codes of its texts would mean
    /// nothing.
    pub(crate) fn renew_texts(&self) {
        let _gathering = self.shared.gathering.lock();
        let (overlay, pending) = (self.overlay(), self.shared.pending.lock());
        let mut tags = self.shared.tags.write();
        for (name, tag) in tags.iter_mut() {
            if tag.counts() && !overlay.tags.contains_key(name) && !pending.tags.contains_key(name)
            {
                tag.retire();
                *tag = Arc::new(TagLog::new(
                    name.clone(),
                    tag.value_type,
                    self.shared.text_bytes.clone(),
                ));
            }
        }
    }
}
