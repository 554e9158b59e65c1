//! One file per resource: its handlers, and their path and query parameters.

pub(crate) mod activations;
pub(crate) mod apps;
pub(crate) mod audit;
pub(crate) mod backups;
pub(crate) mod changes;
pub(crate) mod compare;
pub(crate) mod crowds;
pub(crate) mod definitions;
pub(crate) mod effect;
pub(crate) mod estimate;
pub(crate) mod export;
pub(crate) mod feed;
pub(crate) mod flag_events;
pub(crate) mod flags;
pub(crate) mod group;
pub(crate) mod histogram;
pub(crate) mod identities;
pub(crate) mod imports;
pub(crate) mod ingest;
pub(crate) mod input;
pub(crate) mod judge;
pub(crate) mod keys;
pub(crate) mod landing;
pub(crate) mod limits;
pub(crate) mod live;
pub(crate) mod lookalike;
pub(crate) mod metrics;
pub(crate) mod overlap;
pub(crate) mod page;
pub(crate) mod parity;
pub(crate) mod person;
pub(crate) mod probes;
pub(crate) mod produce;
pub(crate) mod questions;
pub(crate) mod runs;
pub(crate) mod sinks;
pub(crate) mod suppressions;
pub(crate) mod tags;
pub(crate) mod top;
pub(crate) mod track;
pub(crate) mod tracking_settings;
pub(crate) mod uploads;
pub(crate) mod user_crowds;
pub(crate) mod users;
pub(crate) mod versions;
pub(crate) mod why;

use crate::Problem;
use crate::access::{Action, Caller};
use serde::Deserialize;
use taghouse_model::{AppId, ErrorKind};
use taghouse_rules::{Definitions, did_you_mean};

/// The app in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct App {
    /// The app's id.
    #[param(pattern = "^[a-z][a-z0-9_-]*$", max_length = 63)]
    app: String,
}

impl App {
    /// The id, after checking that the caller may do this to the app.
    /// Not for keys with grants.
    pub(crate) fn checked(&self, caller: &Caller, action: Action) -> Result<AppId, Problem> {
        app_checked(&self.app, caller, action)
    }

    /// The id, for what keys of all roles and grants may know of their app.
    pub(crate) fn known_to(&self, caller: &Caller) -> Result<AppId, Problem> {
        let app = AppId::new(&self.app)?;
        caller.is_of(&app)?;
        Ok(app)
    }

    /// The id, for calls that check each tag and crowd that they name.
    pub(crate) fn checked_in_part(
        &self,
        caller: &Caller,
        action: Action,
    ) -> Result<AppId, Problem> {
        app_in_part(&self.app, caller, action)
    }
}

/// The same for paths with more than the app in them.
pub(crate) fn app_checked(app: &str, caller: &Caller, action: Action) -> Result<AppId, Problem> {
    let app = AppId::new(app)?;
    caller.may(action, &app)?;
    Ok(app)
}

/// The same for calls that check each tag and crowd that they name.
pub(crate) fn app_in_part(app: &str, caller: &Caller, action: Action) -> Result<AppId, Problem> {
    let app = AppId::new(app)?;
    caller.may_in_part(action, &app)?;
    Ok(app)
}

/// A tag that was produced for a definition of the past answers no more.
pub(crate) fn defined_tag(definitions: &Definitions, tag: &str) -> Result<(), Problem> {
    if definitions.tags.get(tag).is_some_and(|tag| !tag.is_anonymous()) {
        return Ok(());
    }
    let named = definitions.tags.values().filter(|tag| !tag.is_anonymous());
    let hint = did_you_mean(tag, named.map(|tag| tag.name.as_str()));
    Err(Problem::new(
        ErrorKind::NotFound,
        format!("the tag `{tag}` is not defined{hint}; `taghouse tags` lists all"),
    ))
}
