//! What the stream holds of one app.

use crate::Status;
use crate::gone::Gone;
use crate::members::Members;
use crate::state::AppState;
use std::sync::Arc;
use taghouse_model::AppId;
use taghouse_rules::Definitions;
use taghouse_users::DeletionWatch;

/// One app's stream.
#[derive(Default)]
pub(crate) struct Slot {
    /// The states that values come from.
    pub(crate) serving: Option<Serving>,
    /// States that are computed from the lake, and take new rows in meanwhile.
    pub(crate) building: Option<Serving>,
    /// All states are to be computed from the lake.
    pub(crate) stale: bool,
    /// The definitions have tags that the states are not of: those are to be computed.
    pub(crate) lacking: bool,
    /// Files have landed that the states may lack.
    pub(crate) more_files: bool,
    /// The states have seen some rows of such files: they are not worth a checkpoint.
    pub(crate) taking_files: bool,
    /// Why the last computation failed, if it did.
    pub(crate) problem: Option<String>,
    pub(crate) gone: Gone,
    /// Who is in the live crowds.
    pub(crate) members: Members,
    pub(crate) watch: Option<DeletionWatch>,
    /// Whether the log was searched for deletions since the states are what they are.
    pub(crate) searched: bool,
    /// Whether somebody was told to compute the states, and has not ended.
    pub(crate) rebuilding: bool,
    /// What is being computed has not touched the states that serve: they stay where it fails.
    pub(crate) spares_serving: bool,
    /// By the steady clock: after a failure the states are computed no sooner.
    pub(crate) not_before_ms: i64,
    /// Whether it was looked for a checkpoint.
    pub(crate) opened: bool,
    /// The last computation from the lake that began.
    pub(crate) last_build: u64,
    /// Values that this process has shown.
    pub(crate) emitted: u64,
    /// Tags whose values it has computed from the lake.
    pub(crate) computed: u64,
    /// Rows of files that it has taken in otherwise.
    pub(crate) file_rows: u64,
}

/// States, and which computation from the lake they began with.
pub(crate) struct Serving {
    pub(crate) build: u64,
    pub(crate) state: AppState,
    /// The position that the last checkpoint holds.
    pub(crate) saved: Option<u64>,
}

impl Slot {
    pub(crate) fn follows(&self, definitions: &Arc<Definitions>) -> bool {
        let of = |serving: &Option<Serving>| {
            serving
                .as_ref()
                .is_some_and(|serving| Arc::ptr_eq(&serving.state.plan.definitions, definitions))
        };
        of(&self.serving) || of(&self.building)
    }

    /// Whether there is something in the lake that the states are to have.
    pub(crate) fn has_more(&self) -> bool {
        self.stale || self.lacking || self.more_files
    }

    /// Whether the states lack something, or take it in.
    pub(crate) fn is_computing(&self) -> bool {
        self.building.is_some() || self.has_more() || self.taking_files
    }

    /// The states are no good: they are computed again.
    pub(crate) fn fail(&mut self, app: &AppId, error: &crate::Error) {
        tracing::warn!(%app, %error, "the stream starts over from the lake");
        self.problem = Some(error.to_string());
        self.serving = None;
        self.building = None;
        self.stale = true;
    }

    pub(crate) fn status(&self) -> Option<Status> {
        let serving = self.serving.as_ref();
        if serving.is_none() && self.building.is_none() && !self.stale {
            return None;
        }
        let shown = serving.or(self.building.as_ref()).map(|serving| &serving.state);
        Some(Status {
            position: serving.map(|serving| serving.state.position),
            saved_position: serving.and_then(|serving| serving.saved),
            computing: self.is_computing(),
            problem: self.problem.clone(),
            tags: shown.map_or(0, |state| state.plan.without_crowds()),
            users: shown.map_or(0, |state| state.users().len()),
            now_ms: shown.map(|state| state.now_ms),
            state_bytes: shown.map_or(0, |state| state.store.live_bytes()),
            memory_bytes: shown.map_or(0, |state| state.store.memory_bytes()),
            timers: shown.map_or(0, |state| state.timers.pending()),
            ahead: shown.map_or(0, |state| state.ahead.len()),
            timers_due: shown.map_or(0, |state| state.timers.pending_until(state.now_ms)),
            values: self.emitted,
            computed: self.computed,
            file_rows: self.file_rows,
        })
    }
}
