//! Begins runs of activations.

use super::record::{ActivationRecord, Stored};
use super::task::ActivationTask;
use super::{ACTIVATE, Place};
use crate::{Engine, Error, PlannedAction, PlannedChange, Result};
use std::sync::Arc;
use taghouse_catalog::Change;
use taghouse_model::{AppId, Name};
use taghouse_rules::{ActivationDefinition, Definitions, did_you_mean};
use taghouse_schedule::RunHandle;

impl Engine {
    /// The activation of this name.
    ///
    /// # Errors
    /// [`Error::NoActivation`], with a similar name.
    pub fn activation<'d>(
        &self,
        definitions: &'d Definitions,
        name: &str,
    ) -> Result<&'d ActivationDefinition> {
        definitions.activations.get(name).ok_or_else(|| {
            let known = definitions.activations.keys().map(|name| name.as_str());
            Error::NoActivation { activation: name.to_owned(), hint: did_you_mean(name, known) }
        })
    }

    /// Starts to send a crowd as an activation says; `actor`, a key's id, stands in the audit trail.
    ///
    /// # Errors
    /// [`Error::NoActivation`]; [`Error::Activating`] while it is being sent; those of the trail and the
    /// scheduler. Nothing was begun.
    pub async fn activate(
        self: &Arc<Self>,
        actor: &str,
        definitions: &Arc<Definitions>,
        name: &str,
    ) -> Result<RunHandle> {
        let activation = self.activation(definitions, name)?;
        let Some(place) = self.activations.place(&definitions.app.id, &activation.name) else {
            return Err(Error::Activating { activation: activation.name.clone() });
        };
        self.start_activation(actor, definitions, activation, place).await
    }

    /// What becomes of the activations that these changes delete: what is kept of them goes, but for the
    /// numbers of their deliveries.
    ///
    /// # Errors
    /// Of the catalog.
    pub(crate) async fn activation_ends(
        &self,
        app: &AppId,
        changes: &[PlannedChange],
    ) -> Result<Vec<Change>> {
        let is_end = |change: &&PlannedChange| {
            change.kind == "activation" && change.action == PlannedAction::Delete
        };
        let mut commit = Vec::new();
        for PlannedChange { name, .. } in changes.iter().filter(is_end) {
            let Ok(name) = Name::new(name) else { continue };
            let mut stored = Stored::load(self, app, &name).await?;
            if stored.record == ActivationRecord::default() {
                continue;
            }
            let sets: Vec<&str> = stored.record.sets().collect();
            commit.extend(self.crowds.let_go_of_sets(app, sets).await?);
            stored.record = stored.record.forgotten();
            commit.push(stored.put()?);
        }
        Ok(commit)
    }

    pub(crate) async fn start_activation(
        self: &Arc<Self>,
        actor: &str,
        definitions: &Arc<Definitions>,
        activation: &ActivationDefinition,
        place: Place,
    ) -> Result<RunHandle> {
        let app = &definitions.app.id;
        let ActivationDefinition { name, crowd, to, .. } = activation;
        let subject = format!("{name}: crowd {crowd} to {} {}", to.kind(), to.place());
        let task = ActivationTask {
            engine: self.clone(),
            definitions: definitions.clone(),
            activation: activation.clone(),
            _place: place,
        };
        let start = async { Ok(self.scheduler.start(app, ACTIVATE, vec![Box::new(task)]).await?) };
        self.audited_run(actor, app, ACTIVATE, &subject, start).await
    }
}
