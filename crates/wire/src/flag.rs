//! Crowds as feature flags, by the OpenFeature Remote Evaluation Protocol (OFREP).

use crate::shape::UserId;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What is known of whom flags are evaluated for. Other fields of the request are passed over.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FlagRequest {
    /// The evaluation context.
    pub context: FlagContext,
}

/// The evaluation context. Its other fields are passed over.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlagContext {
    /// The user id.
    #[schema(value_type = UserId)]
    pub targeting_key: String,
}

/// An evaluated flag: whether a user is in a crowd.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FlagBody {
    /// The crowd's name.
    pub key: String,
    /// Whether the user is in the crowd. Not there of a crowd that has no version yet: the
    /// application's own default counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<bool>,
    /// `TARGETING_MATCH`; `STALE` where the answer is older than 10 s; `DEFAULT` without a value.
    pub reason: Cow<'static, str>,
    /// `in`, `out`, or `not_computed` without a value.
    pub variant: Cow<'static, str>,
    /// What the answer is of.
    pub metadata: FlagMetadata,
}

/// What an evaluation is of.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlagMetadata {
    /// The crowd's version; 0 of a live crowd, which has none, and of one that is not computed.
    pub version: u64,
    /// Whether the crowd is live.
    pub live: bool,
    /// How old the answer is, in ms, as the `age_ms` of a judgment.
    pub age_ms: u64,
    /// The oldest as-of time of the tags, ISO 8601 with the app's offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// The position of the log that the answer holds, where the request asked for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// True where the user has never been seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unknown_user: bool,
}

/// A flag that could not be evaluated.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlagFailure {
    /// The crowd's name; not there where the request was for all flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `FLAG_NOT_FOUND`, `PARSE_ERROR`, `TARGETING_KEY_MISSING`, `INVALID_CONTEXT` or `GENERAL`.
    pub error_code: Cow<'static, str>,
    /// What is wrong and how to fix it.
    pub error_details: String,
}

/// One of all flags.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum FlagOutcome {
    /// It was evaluated.
    Evaluated(FlagBody),
    /// It could not be evaluated.
    Failed(FlagFailure),
}

/// All flags.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlagList {
    /// A flag for each crowd that is defined, in order of the names.
    pub flags: Vec<FlagOutcome>,
    /// What the flags are of.
    pub metadata: FlagListMetadata,
    /// Where to be told that they changed.
    pub event_streams: Vec<EventStreamBody>,
}

/// Where a provider is told of changes.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventStreamBody {
    /// `sse`: server-sent events.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The place, below the origin that the provider calls.
    pub endpoint: EventStreamEndpoint,
}

/// The place of a stream of events.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventStreamEndpoint {
    /// Path and query. It needs no key, and is for this key's holder and this user alone.
    pub request_uri: String,
}

/// The data of an event: that the flags of a user are not what they were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FlagEvent {
    /// `refetchEvaluation`: evaluate all flags again.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The `ETag` that the flags have now.
    pub etag: String,
}

/// What flags are of.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FlagListMetadata {
    /// The app.
    pub app: String,
}
