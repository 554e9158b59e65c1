//! Sinks that send changes to HTTP servers: how they stand, what became of what was sent, and what
//! people do about it.

use crate::clock_text::instant;
use crate::{Engine, Error, Result};
use taghouse_model::{AppId, Name};
use taghouse_rules::{Definitions, SinkDefinition, SinkTarget, Webhook, did_you_mean};
use taghouse_webhook::{DeadLetter, Delivery, Resent, Tested};
use taghouse_wire::{
    DeadLetterBody, DeadLetterPage, DeliveryBody, DeliveryPage, ResendReport, SinkReport,
    SinkTestReport, WebhookReport,
};

impl Engine {
    pub(crate) async fn webhook_report(
        &self,
        app: &AppId,
        sink: &SinkDefinition,
        webhook: &Webhook,
        end: Option<u64>,
    ) -> SinkReport {
        let writer = self.webhook_status(app, &sink.name);
        let state = writer.as_ref().map_or("idle", |status| status.state.as_str());
        let status = writer.clone().unwrap_or_default();
        let (counts, error) = (status.counts, status.last_error.as_ref());
        let now_ms = self.clock.now_ms();
        let age_s = |at_ms: i64| now_ms.saturating_sub(at_ms).max(0) as f64 / 1000.0;
        let lag_seconds = status.position.map(|_| status.oldest_ms.map_or(0.0, age_s));
        let behind = |position: u64| Some(end?.saturating_sub(position));
        SinkReport {
            sink: sink.name.to_string(),
            format: "webhook".into(),
            topic: None,
            state: state.into(),
            sent: counts.delivered,
            position: status.position.unwrap_or(0),
            lag_records: status.position.and_then(behind),
            lag_seconds,
            problem: status.problem.as_ref().map(|problem| problem.detail.clone()),
            last_error: error.map(|problem| problem.detail.clone()),
            last_error_at: error.map(|problem| instant(problem.at_ms)),
            webhook: Some(WebhookReport {
                url: webhook.url.clone(),
                retried: counts.retried,
                dead_lettered: counts.dead_lettered,
                dead_letters: self.webhooks.dead_letter_count(app, &sink.name).await.ok(),
                removed: counts.removed,
                lost: counts.lost,
            }),
        }
    }

    /// The last deliveries of a webhook, newest first.
    ///
    /// # Errors
    /// There is no such webhook.
    pub fn deliveries(
        &self,
        definitions: &Definitions,
        sink: &str,
        limit: usize,
    ) -> Result<DeliveryPage> {
        let (sink, _) = webhook(definitions, sink)?;
        let last = self.webhooks.deliveries(&definitions.app.id, sink, limit);
        Ok(DeliveryPage { deliveries: last.into_iter().map(delivery).collect() })
    }

    /// The oldest dead letters of a webhook.
    ///
    /// # Errors
    /// There is no such webhook; of its files.
    pub async fn dead_letters(
        &self,
        definitions: &Definitions,
        sink: &str,
        limit: usize,
    ) -> Result<DeadLetterPage> {
        let (sink, _) = webhook(definitions, sink)?;
        let list = self.webhooks.dead_letters(&definitions.app.id, sink, limit).await?;
        let dead_letters = list.letters.into_iter().map(dead_letter).collect();
        Ok(DeadLetterPage { dead_letters, total: list.total })
    }

    /// Sends the oldest dead letters of a webhook again, once.
    ///
    /// # Errors
    /// There is no such webhook; somebody else does that; of its files.
    pub async fn resend(
        &self,
        definitions: &Definitions,
        sink: &str,
        limit: usize,
    ) -> Result<ResendReport> {
        let (sink, webhook) = webhook(definitions, sink)?;
        let resent = self.webhooks.resend(&definitions.app.id, sink, webhook, limit).await?;
        let Resent { sent, refused, remaining, error } = resent;
        Ok(ResendReport { sent, refused, remaining, error })
    }

    /// Sends a test event to a webhook, once.
    ///
    /// # Errors
    /// There is no such webhook. What the receiver says is no error of ours.
    pub async fn test_sink(&self, definitions: &Definitions, sink: &str) -> Result<SinkTestReport> {
        let (sink, webhook) = webhook(definitions, sink)?;
        let tested = self.webhooks.test(&definitions.app.id, sink, webhook).await;
        let Tested { webhook_id, status, latency_ms, error, said } = tested;
        let delivered = error.is_none();
        Ok(SinkTestReport { delivered, webhook_id, status, latency_ms, error, said })
    }
}

fn webhook<'d>(definitions: &'d Definitions, sink: &str) -> Result<(&'d Name, &'d Webhook)> {
    let Some((name, definition)) = definitions.sinks.get_key_value(sink) else {
        let known = definitions.sinks.keys().map(|name| name.as_str());
        return Err(Error::NoSink { sink: sink.to_owned(), hint: did_you_mean(sink, known) });
    };
    match &definition.target {
        SinkTarget::Webhook(webhook) => Ok((name, webhook)),
        SinkTarget::Kafka(_) => Err(Error::NoWebhook { sink: name.clone() }),
    }
}

fn delivery(delivery: Delivery) -> DeliveryBody {
    DeliveryBody {
        at: instant(delivery.at_ms),
        webhook_id: delivery.webhook_id,
        events: delivery.events,
        first_id: delivery.first_id,
        last_id: delivery.last_id,
        attempt: delivery.attempt,
        status: delivery.status,
        latency_ms: delivery.latency_ms,
        outcome: delivery.outcome.as_str().into(),
        error: delivery.error,
    }
}

fn dead_letter(letter: DeadLetter) -> DeadLetterBody {
    DeadLetterBody {
        at: instant(letter.at_ms),
        reason: letter.reason,
        status: letter.status,
        attempts: letter.attempts,
        event: letter.event,
    }
}
