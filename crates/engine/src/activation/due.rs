//! Activations that nobody asks for: what a process that ended has left, what another version of a crowd
//! asks for, and what is sent again and again.

use super::plan::digest;
use super::record::{ActivationRecord, Delivery, DeliveryState, Held, Problem};
use crate::{Engine, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_model::{AppId, TimestampMs};
use taghouse_rules::{ActivationDefinition, Definitions};

/// Who sends it, in the audit trail.
const ACTOR: &str = "schedule";

/// How many are sent at once by themselves; the others wait, in order of their priority.
const AT_ONCE: usize = 4;

/// How long it is waited before what failed is sent again: twice as long each time, up to an hour.
const AGAIN_MS: i64 = 60_000;
const LONGEST_AGAIN_MS: i64 = 60 * 60_000;

/// An activation whose time has come.
struct Due {
    definitions: Arc<Definitions>,
    activation: ActivationDefinition,
}

impl Engine {
    /// Sends what is due, of all apps. What cannot be begun is logged, and tried again.
    ///
    /// # Errors
    /// The list of apps cannot be read.
    pub async fn activate_due(self: &Arc<Self>) -> Result<()> {
        let mut due = Vec::new();
        for app in self.catalog.apps().await? {
            match self.due_activations(&app).await {
                Ok(of_app) => due.extend(of_app),
                Err(error) => {
                    tracing::error!(%app, %error, "activations that are due are not known; it is tried again");
                }
            }
        }
        // The sort is stable, so that of equals none waits for ever behind another.
        due.sort_by_key(|due| std::cmp::Reverse(due.activation.priority));
        for Due { definitions, activation } in due {
            if self.activations.under_way() >= AT_ONCE {
                break;
            }
            let app = &definitions.app.id;
            let Some(place) = self.activations.place(app, &activation.name) else { continue };
            let started = self.start_activation(ACTOR, &definitions, &activation, place).await;
            if let Err(error) = started {
                tracing::error!(%app, activation = %activation.name, %error, "an activation cannot begin; it is tried again");
            }
        }
        Ok(())
    }

    async fn due_activations(&self, app: &AppId) -> Result<Vec<Due>> {
        let definitions = self.definitions(app).await?;
        if definitions.activations.is_empty() {
            return Ok(Vec::new());
        }
        let records: BTreeMap<String, ActivationRecord> =
            self.activation_records(app).await?.into_iter().collect();
        let versions = self.crowds.records(app).await?;
        let now_ms = self.clock.now_ms();
        let none = ActivationRecord::default();
        let is_due = |activation: &&ActivationDefinition| {
            let record = records.get(activation.name.as_str()).unwrap_or(&none);
            let version = versions.get(activation.crowd.as_str()).map_or(0, |of| of.current);
            let is_live =
                definitions.crowds.get(&activation.crowd).is_some_and(|crowd| crowd.is_live);
            // There is nothing to send before the crowd was computed.
            (version != 0 || is_live) && is_due(activation, record, version, now_ms)
        };
        let due = definitions.activations.values().filter(is_due).cloned();
        let due = due.map(|activation| Due { definitions: definitions.clone(), activation });
        Ok(due.collect())
    }
}

fn is_due(
    activation: &ActivationDefinition,
    record: &ActivationRecord,
    version: u64,
    now_ms: TimestampMs,
) -> bool {
    let destination = digest(activation);
    let current = record.current.as_ref();
    if current.is_some_and(|current| current.state == DeliveryState::Running) {
        return true;
    }
    if let Some(Problem { at_ms, .. }) = &record.problem {
        let doublings = record.failures.saturating_sub(1).min(10);
        if at_ms + (AGAIN_MS << doublings).min(LONGEST_AGAIN_MS) > now_ms {
            return false;
        }
    }
    let is_unwanted = |current: &Delivery| {
        let is_same = current.version == version && current.destination == destination;
        current.state == DeliveryState::Cancelled && is_same
    };
    // Who cancels a delivery does not want it again at once.
    let is_unwanted = current.is_some_and(is_unwanted);
    let holds = |held: &Held| held.version == version && held.destination == destination;
    if activation.on_version && !is_unwanted && !record.held.as_ref().is_some_and(holds) {
        return true;
    }
    let Some(every_ms) = activation.every_ms else { return false };
    let started_ms = record.last().map_or(TimestampMs::MIN, |delivery| delivery.started_ms);
    started_ms.saturating_add(every_ms) <= now_ms
}

#[cfg(test)]
mod tests {
    use super::super::record::{Cursor, Held};
    use super::*;
    use taghouse_rules::{DefinitionFile, parse_definitions};

    fn activation(more: &str) -> ActivationDefinition {
        let text = format!(
            "{{kind: app, id: shop}}\n---\n{{kind: crowd, name: vip, ids: [a]}}\n---\n{{kind: activation, name: mail, crowd: vip, to: {{file: {{path: a.csv}}}}{more}}}\n"
        );
        let file = DefinitionFile { path: "a.yaml".to_owned(), text };
        let definitions = Definitions::check(&parse_definitions(&[file]).unwrap()).unwrap();
        definitions.activations["mail"].clone()
    }

    fn delivery(of: &ActivationDefinition, version: u64, state: DeliveryState) -> Delivery {
        Delivery {
            number: 1,
            run: String::new(),
            crowd: of.crowd.clone(),
            version,
            since: None,
            destination: digest(of),
            set: String::new(),
            state,
            started_ms: 1_000_000,
            ended_ms: Some(1_000_000),
            members: 0,
            suppressed: 0,
            without_consent: 0,
            entered: 0,
            left: 0,
            failed: 0,
            cursor: Cursor::start(1),
            failed_bytes: 0,
            error: None,
        }
    }

    #[test]
    fn versions_and_time_make_it_due_and_failures_make_it_wait() {
        let on_version = activation(", run: version");
        let by_hand = activation("");
        let every = activation(", every: 1h");
        let none = ActivationRecord::default();
        assert!(is_due(&on_version, &none, 1, 0) && is_due(&every, &none, 1, 0));
        assert!(!is_due(&by_hand, &none, 1, 0));

        let of = |of: &ActivationDefinition, version| ActivationRecord {
            held: Some(Held { number: 1, version, destination: digest(of), set: String::new() }),
            ended: vec![delivery(of, version, DeliveryState::Succeeded)],
            ..ActivationRecord::default()
        };
        let sent = of(&on_version, 3);
        assert!(!is_due(&on_version, &sent, 3, 2_000_000));
        assert!(
            is_due(&on_version, &sent, 4, 2_000_000) && is_due(&on_version, &sent, 2, 2_000_000)
        );
        // Another destination has nothing.
        assert!(is_due(&activation(", run: version, id: customer"), &sent, 3, 2_000_000));
        let sent = of(&every, 3);
        assert!(!is_due(&every, &sent, 9, 4_599_999) && is_due(&every, &sent, 3, 4_600_000));

        let stopped = |state, failures| ActivationRecord {
            current: Some(delivery(&on_version, 3, state)),
            problem: (failures > 0).then(|| Problem { at_ms: 1_000_000, detail: String::new() }),
            failures,
            ..ActivationRecord::default()
        };
        // What a process left goes on, whoever wanted it.
        let left = stopped(DeliveryState::Running, 0);
        assert!(is_due(&by_hand, &left, 5, 0) && is_due(&on_version, &left, 5, 0));
        let failed = stopped(DeliveryState::Failed, 3);
        assert!(!is_due(&on_version, &failed, 3, 1_239_999));
        assert!(is_due(&on_version, &failed, 3, 1_240_000));
        let failed = stopped(DeliveryState::Failed, 99);
        assert!(is_due(&on_version, &failed, 3, 1_000_000 + LONGEST_AGAIN_MS));
        let cancelled = stopped(DeliveryState::Cancelled, 0);
        assert!(!is_due(&on_version, &cancelled, 3, 9_000_000));
        assert!(is_due(&on_version, &cancelled, 4, 9_000_000));
    }
}
