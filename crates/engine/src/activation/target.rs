//! The destination of an activation, ready to be sent to.

use crate::{Engine, Result};
use taghouse_activate::{FileTarget, Order, PostgresqlTarget, RedisTarget, Target};
use taghouse_rules::{ActivationDefinition, Destination};

impl Engine {
    /// What a delivery is sent to.
    pub(crate) fn target(
        &self,
        activation: &ActivationDefinition,
        order: Order,
    ) -> Result<Box<dyn Target>> {
        Ok(match &activation.to {
            Destination::File(to) => {
                Box::new(FileTarget::new(self.activations.files.as_deref(), to, order)?)
            }
            Destination::Webhook(webhook) => Box::new(self.webhooks.target(webhook, order)),
            Destination::Redis(to) => Box::new(RedisTarget::new(to, order)),
            Destination::Postgresql(to) => Box::new(PostgresqlTarget::new(to, order)),
            Destination::Kafka(topic) => taghouse_kafka::target(topic, order)?,
        })
    }
}
