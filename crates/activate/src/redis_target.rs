//! Redis as a destination: who is in a crowd, for applications that ask there.
//!
//! ```text
//! KEY          a hash: `members` is the key of the hash that counts, `version` and `delivery` say of what
//! KEY:NUMBER   a hash: the id of each member, and the values that are sent along as JSON
//! ```
//!
//! All members are written to a hash of their own; then KEY leads to it, and the former hash goes. A
//! delta changes the hash that counts.

use crate::{Change, Error, Failed, Order, Piece, Result, Target, Totals};
use async_trait::async_trait;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use serde_json::Value as Json;
use std::time::Duration;
use taghouse_rules::{RedisDestination, SettingOf};
use taghouse_sink::Secrets;

const PLACE: &str = "Redis";

/// Users that are sent at a time.
const PIECE: usize = 2000;

/// How long a connection, and an answer, may take.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);

/// Redis during one delivery.
pub struct RedisTarget {
    to: RedisDestination,
    order: Order,
    key: String,
    connection: Option<MultiplexedConnection>,
    /// The hash that is written.
    members: String,
}

impl RedisTarget {
    /// A delivery to Redis. Nothing is connected.
    pub fn new(to: &RedisDestination, order: Order) -> Self {
        let key = match &to.key {
            Some(key) => key.clone(),
            None => format!("taghouse:{}:{}", order.app, order.crowd),
        };
        let members = format!("{key}:{}", order.number);
        Self { to: to.clone(), order, key, connection: None, members }
    }

    async fn connect(&mut self) -> Result<MultiplexedConnection> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let to = self.to.clone();
        let url = taghouse_disk::blocking::<_, Error>(move || {
            Ok(Secrets::of_process(SettingOf::Activation).resolved("url", &to.url)?)
        })
        .await?;
        // What the client says of a wrong address may hold the password.
        let wrong = |_| Error::Refused {
            place: PLACE,
            detail: "the setting `url` is not an address such as redis://user:password@host:6379/0"
                .to_owned(),
        };
        let client = redis::Client::open(url.trim()).map_err(wrong)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|error| failed(&error))?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    /// Does something; the connection is made again after an error.
    async fn run<T: redis::FromRedisValue>(&mut self, commands: &redis::Pipeline) -> Result<T> {
        let mut connection = self.connect().await?;
        let answer = commands.query_async(&mut connection).await;
        answer.map_err(|error| {
            self.connection = None;
            failed(&error)
        })
    }

    async fn field(&mut self, field: &str) -> Result<Option<String>> {
        let mut command = redis::pipe();
        command.cmd("HGET").arg(&self.key).arg(field);
        let (value,): (Option<String>,) = self.run(&command).await?;
        Ok(value)
    }

    async fn size(&mut self, members: &str) -> Result<u64> {
        let mut command = redis::pipe();
        command.cmd("HLEN").arg(members);
        let (size,): (u64,) = self.run(&command).await?;
        Ok(size)
    }
}

#[async_trait]
impl Target for RedisTarget {
    fn piece_size(&self) -> usize {
        PIECE
    }

    fn resumes(&self) -> bool {
        true
    }

    fn is_whole(&self) -> bool {
        self.order.since.is_none()
    }

    async fn holds(&mut self, delivery: u64) -> Result<bool> {
        let held = self.field("delivery").await?;
        let size = self.field("size").await?;
        let Some(members) = self.field("members").await? else { return Ok(false) };
        let there = self.size(&members).await?.to_string();
        Ok(held.as_deref() == Some(&delivery.to_string()) && size == Some(there))
    }

    async fn begin(&mut self) -> Result<bool> {
        let held = self.field("delivery").await?;
        if let Some(since) = self.order.since {
            let known = [since, self.order.number].map(|number| Some(number.to_string()));
            let members = self.field("members").await?;
            self.members = members.filter(|_| known.contains(&held)).ok_or_else(lost)?;
            return Ok(true);
        }
        // It ended, and nobody was told.
        if held == Some(self.order.number.to_string()) {
            return Ok(true);
        }
        let writing = self.field("writing").await?;
        if writing.as_ref() == Some(&self.members) {
            return Ok(true);
        }
        let mut commands = redis::pipe();
        commands.atomic();
        // What a delivery left behind that never ended, or that somebody has changed.
        for left in writing.iter().chain([&self.members]) {
            commands.cmd("UNLINK").arg(left).ignore();
        }
        commands.cmd("HSET").arg(&self.key).arg("writing").arg(&self.members).ignore();
        self.run::<()>(&commands).await?;
        Ok(false)
    }

    async fn send(&mut self, piece: Piece<'_>) -> Result<Vec<Failed>> {
        let mut commands = redis::pipe();
        match piece.change {
            Change::Left => {
                let command = commands.cmd("HDEL").arg(&self.members);
                piece.members.iter().for_each(|member| _ = command.arg(&member.user_id));
                command.ignore();
            }
            Change::Entered => {
                let command = commands.cmd("HSET").arg(&self.members);
                for member in piece.members {
                    let mut values = self.order.json(member);
                    values.remove(&self.order.id);
                    command.arg(&member.user_id).arg(Json::Object(values).to_string());
                }
                command.ignore();
            }
        }
        self.run::<()>(&commands).await?;
        Ok(Vec::new())
    }

    async fn finish(&mut self, totals: Totals) -> Result<()> {
        let size = self.size(&self.members.clone()).await?;
        let is_ended = self.field("delivery").await? == Some(self.order.number.to_string());
        if !is_ended && size != totals.members {
            // Somebody deletes keys: they are all written again.
            let mut commands = redis::pipe();
            commands.cmd("HDEL").arg(&self.key).arg(&["writing", "delivery"]).ignore();
            self.run::<()>(&commands).await?;
            return Err(lost());
        }
        let former = match is_ended {
            true => self.field("former").await?,
            false => self.field("members").await?,
        };
        let former = former.filter(|former| *former != self.members);
        if !is_ended {
            let mut commands = redis::pipe();
            commands.atomic();
            let command = commands.cmd("HSET").arg(&self.key);
            command.arg("members").arg(&self.members).arg("crowd").arg(self.order.crowd.as_str());
            command.arg("version").arg(self.order.version).arg("delivery").arg(self.order.number);
            command.arg("size").arg(size);
            command.arg("former").arg(former.as_deref().unwrap_or_default()).ignore();
            commands.cmd("HDEL").arg(&self.key).arg("writing").ignore();
            self.run::<()>(&commands).await?;
        }
        if let Some(former) = former.filter(|former| !former.is_empty()) {
            let mut commands = redis::pipe();
            commands.cmd("UNLINK").arg(former).ignore();
            self.run::<()>(&commands).await?;
        }
        Ok(())
    }
}

fn lost() -> Error {
    let detail = "the keys of the delivery are not there any more".to_owned();
    Error::Lost { place: PLACE, detail }
}

/// Redis that is starting, full or away may be another one soon; a command that it refuses will not.
fn failed(error: &redis::RedisError) -> Error {
    let detail = error.to_string();
    let code = error.code().unwrap_or_default();
    match code {
        "WRONGTYPE" | "NOPERM" | "ERR" => Error::Refused { place: PLACE, detail },
        _ => Error::Unavailable { place: PLACE, detail, wait: None },
    }
}
