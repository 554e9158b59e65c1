//! What the states of a tag are by its kind: how they merge, and which value they come to.

use crate::closed::ClosedMerges;
use crate::plan::{LiveKind, LiveTag, StreamPlan};
use crate::store::{PageKey, PageKind};
use crate::{Error, Result};
use taghouse_fold::{Absorb, Absorbed, Look, Outcome};
use taghouse_model::{Ordinal, TimestampMs, Value};

/// Whose state it is, and what is kept beside states.
pub(crate) struct StateOf<'a> {
    pub(crate) tag: usize,
    pub(crate) user: Ordinal,
    pub(crate) closed: &'a mut ClosedMerges,
}

impl StreamPlan {
    /// Where the states of a page of a tag's users are.
    pub(crate) fn states(&self, tag: usize, page: u32) -> PageKey {
        PageKey { kind: PageKind::States, tag: self.tags[tag].hash, number: i64::from(page) }
    }

    pub(crate) fn merged(&self, tag: usize, state: &[u8], more: &[u8]) -> Result<Vec<u8>> {
        Ok(match &self.tags[tag].kind {
            LiveKind::Attribute { fold, .. } => fold.merge(state, more)?,
            LiveKind::OverEvents | LiveKind::Derived(_) => self.fold.tag(tag).merge(state, more)?,
        })
    }

    /// As [`taghouse_fold::TagFold::absorb`], of a tag of any kind.
    pub(crate) fn absorb(
        &self,
        of: StateOf<'_>,
        state: &[u8],
        more: &[u8],
        how: Absorb,
        out: &mut Vec<u8>,
        see: impl FnMut(TimestampMs),
    ) -> Result<Absorbed> {
        let StateOf { tag, user, closed: all } = of;
        let LiveTag { hash, kind, .. } = &self.tags[tag];
        match kind {
            LiveKind::OverEvents if ClosedMerges::is_for(state) => {
                let (fold, mut closed) = (self.fold.tag(tag), all.take(*hash, user));
                let absorbed = fold.absorb_beside(state, more, how, out, &mut closed, see)?;
                all.put(*hash, user, closed);
                Ok(absorbed)
            }
            LiveKind::OverEvents => Ok(self.fold.tag(tag).absorb(state, more, how, out, see)?),
            LiveKind::Attribute { .. } | LiveKind::Derived(_) => {
                let new = self.merged(tag, state, more)?;
                out.extend_from_slice(&new);
                let outcome = |state| Ok::<_, Error>(self.look(tag, state, how.as_of_ms)?.outcome);
                Ok(Absorbed { before: outcome(state)?, now: Look::steady(outcome(&new)?) })
            }
        }
    }

    pub(crate) fn value(
        &self,
        tag: usize,
        state: &[u8],
        now_ms: TimestampMs,
    ) -> Result<Option<Value>> {
        Ok(self.look(tag, state, now_ms)?.outcome.value())
    }

    pub(crate) fn look(&self, tag: usize, state: &[u8], now_ms: TimestampMs) -> Result<Look> {
        Ok(match &self.tags[tag].kind {
            LiveKind::Attribute { fold, .. } if !state.is_empty() => {
                Look::steady(fold.outcome(state)?)
            }
            LiveKind::OverEvents if !state.is_empty() => self.fold.tag(tag).look(state, now_ms)?,
            _ => Look::steady(Outcome::Nothing),
        })
    }
}
