//! One file a command: it calls the API and prints the answer.

pub(crate) mod activations;
pub(crate) mod apply;
pub(crate) mod ask;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod compare;
pub(crate) mod demo;
pub(crate) mod effect;
pub(crate) mod export;
pub(crate) mod group;
pub(crate) mod histogram;
pub(crate) mod identities;
pub(crate) mod import;
pub(crate) mod ingest;
pub(crate) mod input;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod list;
pub(crate) mod lookalike;
pub(crate) mod overlap;
pub(crate) mod parity;
pub(crate) mod privacy;
pub(crate) mod produce;
pub(crate) mod question;
pub(crate) mod refresh;
pub(crate) mod sinks;
pub(crate) mod status;
pub(crate) mod tail;
pub(crate) mod top;
pub(crate) mod users;
pub(crate) mod versions;
pub(crate) mod why;

use crate::client::{Client, only_app};
use anyhow::Result;
use serde::Serialize;
use std::io::Write;

/// What every command works with.
pub(crate) struct Context {
    pub(crate) client: Client,
    app: Option<String>,
    pub(crate) json: bool,
    /// Whether paths mean the same to the server: it runs on this machine, on our data folder.
    pub(crate) same_machine: bool,
}

impl Context {
    pub(crate) fn new(client: Client, app: Option<String>, json: bool, same_machine: bool) -> Self {
        Self { client, app, json, same_machine }
    }

    /// The app named, or the only one there is.
    pub(crate) async fn app(&self) -> Result<String> {
        match &self.app {
            Some(app) => Ok(app.clone()),
            None => only_app(&self.client).await,
        }
    }

    /// The app's part of a URL.
    pub(crate) async fn path(&self, rest: &str) -> Result<String> {
        Ok(format!("/api/v1/apps/{}/{rest}", self.app().await?))
    }

    /// The app, if it was named.
    pub(crate) fn named_app(&self) -> Option<&str> {
        self.app.as_deref()
    }

    /// Prints the JSON, or what `text` makes of it.
    pub(crate) fn print<T: Serialize>(
        &self,
        answer: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, answer)?;
            writeln!(out)?;
        } else {
            write!(out, "{}", text(answer))?;
        }
        Ok(())
    }
}
