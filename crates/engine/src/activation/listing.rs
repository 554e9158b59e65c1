//! How activations stand, for those who ask.

use super::record::{ActivationRecord, Delivery};
use crate::clock_text::instant;
use crate::{Engine, Error, Result};
use std::collections::BTreeMap;
use taghouse_rules::{ActivationDefinition, Definitions};
use taghouse_wire::{ActivationBody, ActivationDelivery, ActivationDeliveryList, ActivationList};

impl Engine {
    /// The app's activations by name, each with its last delivery.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub async fn list_activations(&self, definitions: &Definitions) -> Result<ActivationList> {
        let records: BTreeMap<String, ActivationRecord> =
            self.activation_records(&definitions.app.id).await?.into_iter().collect();
        let none = ActivationRecord::default();
        let body = |activation: &ActivationDefinition| {
            let record = records.get(activation.name.as_str()).unwrap_or(&none);
            ActivationBody {
                name: activation.name.to_string(),
                description: activation.description.clone(),
                crowd: activation.crowd.to_string(),
                destination: activation.to.kind().into(),
                place: activation.to.place(),
                send: activation.send.as_str().into(),
                priority: activation.priority,
                last: record.last().map(delivery),
                problem: record.problem.as_ref().map(|problem| problem.detail.clone()),
            }
        };
        Ok(ActivationList { activations: definitions.activations.values().map(body).collect() })
    }

    /// The last deliveries of an activation, newest first.
    ///
    /// # Errors
    /// [`Error::NoActivation`]; the catalog cannot be read.
    pub async fn activation_deliveries(
        &self,
        definitions: &Definitions,
        name: &str,
    ) -> Result<ActivationDeliveryList> {
        let activation = self.activation(definitions, name)?;
        let stored =
            super::record::Stored::load(self, &definitions.app.id, &activation.name).await?;
        let all = stored.record.current.iter().chain(&stored.record.ended);
        Ok(ActivationDeliveryList { deliveries: all.map(delivery).collect() })
    }

    /// The users whom the destination did not take with a delivery, as CSV.
    ///
    /// # Errors
    /// [`Error::NoActivation`], [`Error::NoActivationDelivery`]; the file cannot be read.
    pub async fn activation_failures(
        &self,
        definitions: &Definitions,
        name: &str,
        number: u64,
    ) -> Result<Vec<u8>> {
        let activation = self.activation(definitions, name)?;
        let app = &definitions.app.id;
        let stored = super::record::Stored::load(self, app, &activation.name).await?;
        let mut all = stored.record.current.iter().chain(&stored.record.ended);
        if !all.any(|delivery| delivery.number == number) {
            let activation = activation.name.clone();
            return Err(Error::NoActivationDelivery { activation, number });
        }
        let rows = self.activations.failed_rows.read(app, &activation.name, number).await?;
        Ok(if rows.is_empty() { super::failed_rows::header() } else { rows })
    }
}

/// A delivery, as it is shown.
pub(crate) fn delivery(delivery: &Delivery) -> ActivationDelivery {
    ActivationDelivery {
        delivery: delivery.number,
        run: delivery.run.clone(),
        state: delivery.state.as_str().into(),
        crowd: delivery.crowd.to_string(),
        version: delivery.version,
        since: delivery.since,
        started: instant(delivery.started_ms),
        ended: delivery.ended_ms.map(instant),
        members: delivery.members,
        suppressed: delivery.suppressed,
        without_consent: delivery.without_consent,
        entered: delivery.entered,
        left: delivery.left,
        failed: delivery.failed,
        error: delivery.error.clone(),
    }
}
