//! A topic as the destination of an activation: a record for each user, and a last one once all of them
//! are there.

use taghouse_activate::{Error, Order, Result, Target};
use taghouse_rules::KafkaTopic;

/// A delivery of a crowd to a topic.
///
/// # Errors
/// This program was built without Kafka.
#[cfg(feature = "client")]
pub fn target(topic: &KafkaTopic, order: Order) -> Result<Box<dyn Target>> {
    Ok(Box::new(sending::TopicTarget::new(topic, order)))
}

/// A delivery of a crowd to a topic.
///
/// # Errors
/// This program was built without Kafka.
#[cfg(not(feature = "client"))]
pub fn target(_: &KafkaTopic, _: Order) -> Result<Box<dyn Target>> {
    Err(Error::NotBuilt(crate::Error::NoClient.to_string()))
}

#[cfg(feature = "client")]
mod sending {
    use super::{Error, KafkaTopic, Order, Result, Target};
    use crate::settings::sink_settings;
    use async_trait::async_trait;
    use rdkafka::ClientConfig;
    use rdkafka::error::{KafkaError, RDKafkaErrorCode};
    use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
    use serde_json::{Value as Json, json};
    use std::time::Duration;
    use taghouse_activate::{Failed, Piece, Totals};
    use taghouse_rules::SettingOf;
    use taghouse_sink::Secrets;

    const PLACE: &str = "Kafka";

    /// Users that are sent at a time.
    const PIECE: usize = 1000;

    /// How long the cluster may take to acknowledge a record: then the piece is sent again.
    const ACKNOWLEDGED_MS: &str = "20000";

    /// How long a full queue of the client is waited for.
    const QUEUE: Duration = Duration::from_millis(20);

    /// A topic during one delivery.
    pub(super) struct TopicTarget {
        topic: KafkaTopic,
        order: Order,
        client: Option<FutureProducer>,
    }

    impl TopicTarget {
        pub(super) fn new(topic: &KafkaTopic, order: Order) -> Self {
            Self { topic: topic.clone(), order, client: None }
        }

        async fn connect(&mut self) -> Result<FutureProducer> {
            if let Some(client) = &self.client {
                return Ok(client.clone());
            }
            let topic = self.topic.clone();
            let settings = taghouse_disk::blocking::<_, Error>(move || {
                let secrets = Secrets::of_process(SettingOf::Kafka);
                match sink_settings(&secrets, &topic) {
                    Ok(settings) => Ok(settings),
                    Err(crate::Error::Sink(error)) => Err(error.into()),
                    Err(error) => Err(Error::Refused { place: PLACE, detail: error.to_string() }),
                }
            })
            .await?;
            let mut config = ClientConfig::new();
            for (name, value) in settings {
                config.set(name, value);
            }
            config.set("message.timeout.ms", ACKNOWLEDGED_MS);
            let client: FutureProducer = config.create().map_err(|error| match error {
                KafkaError::ClientConfig(_, _, setting, _) => Error::Refused {
                    place: PLACE,
                    detail: crate::Error::Setting { setting }.to_string(),
                },
                error => unavailable(&error),
            })?;
            self.client = Some(client.clone());
            Ok(client)
        }

        fn heading(&self) -> Json {
            let Order { app, activation, crowd, version, number, since, .. } = &self.order;
            json!({
                "app": app.as_str(),
                "activation": activation.as_str(),
                "crowd": crowd.as_str(),
                "version": version,
                "delivery": number,
                "since": since,
            })
        }

        /// Puts a record into the client's queue.
        async fn queue(
            &self,
            client: &FutureProducer,
            key: &str,
            payload: &str,
        ) -> std::result::Result<DeliveryFuture, KafkaError> {
            let mut record =
                FutureRecord::<str, str>::to(&self.topic.topic).key(key).payload(payload);
            loop {
                match client.send_result(record) {
                    Ok(delivery) => return Ok(delivery),
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                        record = again;
                        tokio::time::sleep(QUEUE).await;
                    }
                    Err((error, _)) => return Err(error),
                }
            }
        }
    }

    #[async_trait]
    impl Target for TopicTarget {
        fn piece_size(&self) -> usize {
            PIECE
        }

        fn resumes(&self) -> bool {
            true
        }

        fn is_whole(&self) -> bool {
            false
        }

        /// It cannot be asked, so what it has acknowledged is taken to be there.
        async fn holds(&mut self, _: u64) -> Result<bool> {
            Ok(true)
        }

        async fn begin(&mut self) -> Result<bool> {
            // The client stays until the delivery ends.
            let _client = self.connect().await?;
            Ok(true)
        }

        async fn send(&mut self, piece: Piece<'_>) -> Result<Vec<Failed>> {
            let client = self.connect().await?;
            let (mut failed, mut queued) = (Vec::new(), Vec::with_capacity(piece.members.len()));
            let mut heading = self.heading();
            heading["change"] = piece.change.as_str().into();
            for member in piece.members {
                heading["user"] = Json::Object(self.order.json(member));
                match self.queue(&client, &member.user_id, &heading.to_string()).await {
                    Ok(delivery) => queued.push((member, delivery)),
                    Err(error) => queued_not(error, piece, &member.user_id, &mut failed)?,
                }
            }
            for (member, delivery) in queued {
                match delivery.await {
                    Ok(Ok(_)) => {}
                    Ok(Err((error, _))) => {
                        let outcome = queued_not(error, piece, &member.user_id, &mut failed);
                        if outcome.is_err() {
                            self.client = None;
                        }
                        outcome?;
                    }
                    Err(_) => {
                        self.client = None;
                        let detail = "the client ended".to_owned();
                        return Err(Error::Unavailable { place: PLACE, detail, wait: None });
                    }
                }
            }
            Ok(failed)
        }

        async fn finish(&mut self, totals: Totals) -> Result<()> {
            let client = self.connect().await?;
            let mut record = self.heading();
            record["complete"] = json!({
                "entered": totals.entered,
                "left": totals.left,
                "failed": totals.failed,
                "members": totals.members,
            });
            let key = self.order.activation.to_string();
            let sent = self.queue(&client, &key, &record.to_string()).await;
            match sent.map_err(|error| unavailable(&error))?.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err((error, _))) => {
                    self.client = None;
                    Err(unavailable(&error))
                }
                Err(_) => {
                    let detail = "the client ended".to_owned();
                    Err(Error::Unavailable { place: PLACE, detail, wait: None })
                }
            }
        }
    }

    /// A record that is too large is its user's alone; all else befalls every record.
    fn queued_not(
        error: KafkaError,
        piece: Piece<'_>,
        user_id: &str,
        failed: &mut Vec<Failed>,
    ) -> Result<()> {
        match error {
            KafkaError::MessageProduction(
                RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize,
            ) => {
                let (user_id, reason) = (user_id.to_owned(), error.to_string());
                failed.push(Failed { user_id, change: piece.change, reason });
                Ok(())
            }
            error => Err(unavailable(&error)),
        }
    }

    fn unavailable(error: &KafkaError) -> Error {
        Error::Unavailable { place: PLACE, detail: error.to_string(), wait: None }
    }
}
