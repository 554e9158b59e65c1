//! The task of a run that sends a crowd: it plans, sends, and tries again what does not work now.

use super::Place;
use super::record::{Delivery, DeliveryState, Problem, Stored};
use super::sending::Sending;
use crate::{Engine, Error, Result, reports};
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taghouse_model::ErrorKind;
use taghouse_rules::{ActivationDefinition, Definitions};
use taghouse_schedule::{Progress, Task, TaskError};
use taghouse_webhook::backoff;
use taghouse_wire::{ActivationReport, TaskResult};

/// After so long, who may be sent is looked at again.
const PLAN_AGAIN: Duration = Duration::from_secs(60);

/// How often it is tried to note how a delivery stands.
const NOTED_WITHIN: usize = 5;

/// Sends a crowd.
pub(crate) struct ActivationTask {
    pub(crate) engine: Arc<Engine>,
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) activation: ActivationDefinition,
    pub(crate) _place: Place,
}

/// A plan, and how old it is.
struct Planned {
    at: Instant,
    sending: Sending,
}

/// Since when, and how often, it did not work.
#[derive(Default)]
struct Failing {
    since: Option<Instant>,
    attempts: u32,
    /// How far the delivery had come.
    done: u64,
}

#[async_trait]
impl Task for ActivationTask {
    fn name(&self) -> String {
        format!("activate {}", self.activation.name)
    }

    async fn run(&mut self, progress: &Progress) -> std::result::Result<Value, TaskError> {
        let began = Instant::now();
        let sent = tokio::select! {
            biased;
            () = progress.cancelled() => None,
            sent = self.send_until(progress) => Some(sent),
        };
        // The scheduler does not try again: that was done here.
        let given_up = |error: Error| match error.kind() {
            ErrorKind::Unavailable | ErrorKind::Conflict => {
                TaskError::new(ErrorKind::Internal, error)
            }
            kind => TaskError::new(kind, error),
        };
        match sent {
            Some(Ok(())) => {
                let delivery = self.last().await.map_err(given_up)?;
                if delivery.failed > 0 {
                    progress.warn(format!(
                        "{} users were not taken: `taghouse activations failed {} {}` lists them",
                        delivery.failed, self.activation.name, delivery.number
                    ));
                }
                reports::result(&TaskResult::Activation(self.report(&delivery, began)))
            }
            // Whoever changed the definition has noted what is to be noted.
            Some(Err(error @ Error::ActivationChanged { .. })) => Err(given_up(error)),
            Some(Err(error)) => {
                self.note(DeliveryState::Failed, Some(&error)).await;
                Err(given_up(error))
            }
            None => {
                // What the end of the process breaks off goes on with the next.
                if !self.engine.scheduler.is_ending() {
                    self.note(DeliveryState::Cancelled, None).await;
                }
                Err(TaskError::new(ErrorKind::Internal, "it was cancelled"))
            }
        }
    }
}

impl ActivationTask {
    /// Sends the delivery; what does not work now is tried again for as long as the definition says.
    async fn send_until(&self, progress: &Progress) -> Result<()> {
        let mut planned: Option<Planned> = None;
        let mut failing = Failing::default();
        loop {
            let error = match self.attempt(&mut planned, progress).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Conflict) {
                return Err(error);
            }
            let done = match &mut planned {
                Some(planned) => planned.sending.delivery()?.cursor.pieces,
                None => failing.done,
            };
            if done > failing.done {
                failing = Failing { done, ..Failing::default() };
            }
            failing.attempts += 1;
            let since = *failing.since.get_or_insert_with(Instant::now);
            let whole = Duration::from_millis(self.activation.retry_for_ms.unsigned_abs());
            let left = whole.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Err(error);
            }
            // What cannot go on in the middle begins again.
            let is_old = |planned: &Planned| {
                planned.at.elapsed() > PLAN_AGAIN || !planned.sending.target.resumes()
            };
            if error.kind() == ErrorKind::Conflict || planned.as_ref().is_some_and(is_old) {
                planned = None;
            }
            let wait = backoff(failing.attempts, self.engine.entropy.as_ref());
            let wait = wait.max(asked_to_wait(&error)).min(left);
            progress.message(format!("{error}; it is tried again in {:.1} s", wait.as_secs_f64()));
            tracing::warn!(
                app = %self.definitions.app.id,
                activation = %self.activation.name,
                %error,
                "a delivery does not get on; it is tried again"
            );
            tokio::time::sleep(wait).await;
            progress.message("");
        }
    }

    async fn attempt(&self, planned: &mut Option<Planned>, progress: &Progress) -> Result<()> {
        let planned = match planned {
            Some(planned) => planned,
            None => {
                self.is_defined().await?;
                let sending = self.plan(&progress.run()).await?;
                planned.insert(Planned { at: Instant::now(), sending })
            }
        };
        planned.sending.send(self, progress).await
    }

    /// Fails where the definition is another one by now.
    async fn is_defined(&self) -> Result<()> {
        let definitions = self.engine.definitions(&self.definitions.app.id).await?;
        let name = &self.activation.name;
        match definitions.activations.get(name) {
            Some(activation) if *activation == self.activation => Ok(()),
            _ => Err(Error::ActivationChanged { activation: name.clone() }),
        }
    }

    /// Notes how a delivery that did not end stands. What cannot be noted is `running` then, and goes on.
    async fn note(&self, state: DeliveryState, error: Option<&Error>) {
        // What was under way when it was broken off may be committed meanwhile.
        for _ in 0..NOTED_WITHIN {
            match self.noted(state, error).await {
                Ok(()) => return,
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => {
                    tracing::error!(activation = %self.activation.name, %error, "the end of a delivery is not noted");
                    return;
                }
            }
        }
    }

    async fn noted(&self, state: DeliveryState, error: Option<&Error>) -> Result<()> {
        let app = &self.definitions.app.id;
        let mut stored = Stored::load(&self.engine, app, &self.activation.name).await?;
        let now_ms = self.engine.clock.now_ms();
        if let Some(error) = error {
            stored.record.failures += 1;
            stored.record.problem = Some(Problem { at_ms: now_ms, detail: error.to_string() });
        }
        if let Some(current) = &mut stored.record.current {
            (current.state, current.ended_ms) = (state, Some(now_ms));
            current.error = error.map(ToString::to_string);
        }
        stored.save(&self.engine, Vec::new()).await
    }

    async fn last(&self) -> Result<Delivery> {
        let (app, name) = (&self.definitions.app.id, &self.activation.name);
        let stored = Stored::load(&self.engine, app, name).await?;
        stored.record.ended.into_iter().next().ok_or_else(|| Error::ActivationRecord {
            activation: name.to_string(),
            detail: "it has no delivery".to_owned(),
        })
    }

    fn report(&self, delivery: &Delivery, began: Instant) -> ActivationReport {
        ActivationReport {
            activation: self.activation.name.to_string(),
            destination: self.activation.to.kind().into(),
            delivery: super::listing::delivery(delivery),
            elapsed_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn asked_to_wait(error: &Error) -> Duration {
    match error {
        Error::Activate(error) => error.wait().unwrap_or_default(),
        _ => Duration::ZERO,
    }
}
