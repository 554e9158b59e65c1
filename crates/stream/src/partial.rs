//! States of some tags, for states of others that go on: tags that are new, or others than before, are
//! computed without the rest.

use crate::draft::Draft;
use crate::plan::StreamPlan;
use crate::rebuild::{ours, superseded};
use crate::segments::USERS_AT_ONCE;
use crate::slot::{Serving, Slot};
use crate::state::AppState;
use crate::stream::Stream;
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use taghouse_ingest::Landing;
use taghouse_rules::Definitions;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

/// How long it is waited until the new states have seen as much as those that serve.
const CATCH_UP: Duration = Duration::from_secs(30);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(20);

impl AppState {
    /// Goes on with other definitions, of whose tags it has the states; those of others go.
    pub(crate) fn replan(&mut self, plan: StreamPlan) {
        let tags = plan.all_hashes();
        let number = |hash: u64| tags.iter().position(|tag| *tag == hash);
        let moved = std::mem::take(&mut self.moved).into_iter();
        self.moved = moved
            .filter_map(|(tag, users)| Some((number(self.plan.tags[tag].hash)?, users)))
            .collect();
        self.timers.replan(&tags);
        self.ahead.replan(&tags);
        self.keep_states_of(&tags);
        self.fold = taghouse_fold::TileFold::new(plan.fold.clone());
        self.plan = plan;
    }

    /// Goes on with a plan of whose tags it has the states of some, and `built` those of the others.
    /// Both have seen the same rows.
    fn graft(&mut self, built: Self, plan: StreamPlan) -> Result<()> {
        self.replan(plan);
        self.see_all(built.users());
        self.timers.absorb(built.timers);
        self.ahead.absorb(built.ahead);
        self.store.absorb(built.store);
        self.save_sets()
    }
}

impl Stream {
    /// The end of a computation of some tags: their values go into the index, and their states to
    /// those that serve.
    ///
    /// # Errors
    /// As [`Stream::rebuild`].
    pub(crate) async fn finish_part(
        &self,
        definitions: &Arc<Definitions>,
        landing: &Landing,
        build: u64,
        mut draft: Option<Draft>,
    ) -> Result<()> {
        let app = &definitions.app.id;
        let mut slot = self.caught_up(definitions, landing, build).await?;
        let slot = &mut *slot;
        let users = self.parts.users.share(app).await;
        self.tell(app, slot);
        let (Some(serving), Some(mut built)) = (&mut slot.serving, slot.building.take()) else {
            return Err(superseded());
        };
        let state = &mut serving.state;
        if [state.generation, built.state.generation].iter().any(|own| *own != users.generation()) {
            return Err(Error::Renumbered);
        }

        // From here on what fails leaves the states that serve to be computed again.
        slot.spares_serving = false;

        // 1. Both as of the same users and the same instant, with nothing left to be looked at.
        let deleted = users.deleted().await?;
        state.erase(&deleted).await?;
        built.state.erase(&deleted).await?;
        slot.emitted += self.advance(state, &mut slot.members, &users).await?;
        while state.is_behind() || !state.moved.is_empty() {
            slot.emitted += self.advance(state, &mut slot.members, &users).await?;
        }
        built.state.pass(state.now_ms);
        while built.state.is_behind() {
            built.state.advance(USERS_AT_ONCE).await?;
        }
        built.state.store.flush().await?;

        // 2. The states side by side.
        let Some(plan) = StreamPlan::new(definitions)? else { return Err(superseded()) };
        let (held, crowds) = (state.plan.hashes(), state.plan.crowd_hashes());
        let drafted = built.state.plan.all_hashes();
        if let Some(draft) = &mut draft {
            draft.take_touched(&mut built.state);
            draft.take_touched(state);
        }
        slot.lacking = false;
        state.linked_through = self.parts.log.end(app).await?;
        state.graft(built.state, plan)?;

        // 3. The values of tags that are new, or follow from such.
        let is_new = |tag: &usize| !held.contains(&state.plan.tags[*tag].hash);
        let more: Vec<usize> = (0..state.plan.without_crowds()).filter(is_new).collect();
        slot.computed += more.len() as u64;
        if slot.members.pending.is_some() || crowds != state.plan.crowd_hashes() {
            slot.members.wait(self.parts.log.end(app).await?, true);
        }
        if state.generation > 0 {
            let draft = draft.map(|draft| draft.numbered(renumbered(&drafted, &state.plan)));
            self.publish(state, &mut slot.members, &users, &more, draft).await?;
        }
        slot.problem = None;
        if !slot.stale {
            serving.saved = None;
            self.save(app, serving, &mut slot.members).await?;
        }
        Ok(())
    }

    /// The slot, once the new states have seen as much as those that serve.
    async fn caught_up(
        &self,
        definitions: &Arc<Definitions>,
        landing: &Landing,
        build: u64,
    ) -> Result<OwnedMutexGuard<Slot>> {
        let app = &definitions.app.id;
        let (slot, on) = (self.slot(app), CancellationToken::new());
        let wait = async {
            loop {
                // Rows behind what had landed are told of again; be it that nobody else lets them.
                let end = self.parts.log.end(app).await?;
                landing.admit(app, definitions, end, &on).await?;
                let mut own = slot.clone().lock_owned().await;
                let seen = ours(&mut own.building, build)?.state.position;
                match &own.serving {
                    Some(Serving { state, .. }) if state.position == seen => return Ok(own),
                    Some(_) => drop(own),
                    None => return Err(superseded()),
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(CATCH_UP, wait).await.unwrap_or_else(|_| Err(superseded()))
    }
}

/// What number in a plan a tag has that had another in one of these hashes.
fn renumbered(hashes: &[u64], plan: &StreamPlan) -> impl Fn(usize) -> Option<usize> {
    let now = plan.all_hashes().into_iter().enumerate();
    let numbers: HashMap<u64, usize> = now.map(|(number, hash)| (hash, number)).collect();
    move |tag| numbers.get(&hashes[tag]).copied()
}
