//! How crowds are sent to other systems.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// An app's activations.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActivationList {
    /// By name.
    pub activations: Vec<ActivationBody>,
}

/// An activation.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActivationBody {
    /// Name of the activation.
    pub name: String,
    /// Free text for people.
    #[schema(required)]
    pub description: Option<String>,
    /// The crowd that is sent.
    pub crowd: String,
    /// `file`, `webhook`, `redis`, `postgresql` or `kafka`.
    pub destination: Cow<'static, str>,
    /// Where that is, as the definition says: with the names of secrets.
    pub place: String,
    /// `full` or `delta`.
    pub send: Cow<'static, str>,
    /// Of several that wait, the highest is sent first.
    pub priority: u32,
    /// The newest delivery; `null`: there is none.
    #[schema(required)]
    pub last: Option<ActivationDelivery>,
    /// Why the last run failed; `null`: it did not.
    #[schema(required)]
    pub problem: Option<String>,
}

/// The last deliveries of an activation.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActivationDeliveryList {
    /// Newest first: the 20 that ended last, and the one that did not.
    pub deliveries: Vec<ActivationDelivery>,
}

/// One delivery of a crowd.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActivationDelivery {
    /// Its number.
    pub delivery: u64,
    /// Id of the run that sent it last.
    pub run: String,
    /// `running`; `succeeded`; `failed`: it goes on if the same version is sent again; `cancelled`;
    /// `superseded`: another one took its place before it ended.
    pub state: Cow<'static, str>,
    /// The crowd.
    pub crowd: String,
    /// The version of it; 0: the crowd is live.
    pub version: u64,
    /// The delivery that it is the difference to; `null`: it is of all members.
    #[schema(required)]
    pub since: Option<u64>,
    /// When it began, ISO 8601, UTC.
    pub started: String,
    /// When it ended; `null`: it has not.
    #[schema(required)]
    pub ended: Option<String>,
    /// Members of the crowd who may be sent.
    pub members: u64,
    /// Members who are not sent, for a crowd excludes them.
    pub suppressed: u64,
    /// Others who are not sent, for they did not consent.
    pub without_consent: u64,
    /// Users whom the destination has taken as members.
    pub entered: u64,
    /// Users whom it has taken as members no more.
    pub left: u64,
    /// Users whom it did not take.
    pub failed: u64,
    /// Why it did not succeed; `null`: nothing is wrong.
    #[schema(required)]
    pub error: Option<String>,
}

/// The result of a run that sent a crowd.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActivationReport {
    /// Name of the activation.
    pub activation: String,
    /// `file`, `webhook`, `redis`, `postgresql` or `kafka`.
    pub destination: Cow<'static, str>,
    /// What was sent.
    pub delivery: ActivationDelivery,
    /// How long the run took.
    pub elapsed_ms: u64,
}
