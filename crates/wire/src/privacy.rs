//! Suppressed ids, and receipts of what was done with people's data.

use crate::ReceiptBody;
use crate::shape::UserId;
use serde::{Deserialize, Serialize};

/// Ids whose data is to be refused.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SuppressRequest {
    /// Any ids of users, known or not, 10,000 at most. All ids of a user are suppressed.
    #[schema(min_items = 1, max_items = 10_000, value_type = Vec<UserId>)]
    pub ids: Vec<String>,
    /// `true`: the users are deleted, too. Otherwise what is known of them stays.
    #[serde(default)]
    pub delete: bool,
}

/// Ids whose data is to be taken again.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LiftRequest {
    /// Each id, 10,000 at most; other ids of a user stay suppressed.
    #[schema(min_items = 1, max_items = 10_000, value_type = Vec<UserId>)]
    pub ids: Vec<String>,
}

/// What suppressing, or lifting, did.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SuppressionAnswer {
    /// The id of its receipt.
    pub receipt: String,
    /// The ids of which it made a difference: all others were, or were not, suppressed before.
    pub ids: Vec<String>,
    /// What the deletion touched, where the users were to be deleted.
    #[schema(required)]
    pub deletion: Option<ReceiptBody>,
}

/// The suppressed ids of an app.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SuppressionList {
    /// How many they are.
    pub count: u64,
    /// The newest of them; where an id was asked for, that one if it is suppressed.
    pub suppressions: Vec<SuppressionBody>,
}

/// A suppressed id.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SuppressionBody {
    /// A digest of the id, salted: the id itself is not kept. `null` where the id was asked for.
    #[schema(required)]
    pub digest: Option<String>,
    /// Since when, ISO 8601 with the app's offset.
    pub since: String,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptKind {
    /// Users were deleted.
    Deletion,
    /// Ids were suppressed.
    Suppression,
    /// Ids were not to be suppressed any more.
    Lift,
    /// All that is kept of a user was exported.
    Export,
}

impl ReceiptKind {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deletion => "deletion",
            Self::Suppression => "suppression",
            Self::Lift => "lift",
            Self::Export => "export",
        }
    }
}

/// What was done where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReceiptPlace {
    /// `tags`, `crowds`, `dictionary`, `dead_letters`, `lake`, `suppressions` or `export`.
    pub place: String,
    /// What became of what is there, in words.
    pub done: String,
    /// How many values, ids or users; `null` where they are not counted.
    #[schema(required)]
    pub count: Option<u64>,
}

/// A receipt to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewReceipt {
    /// What was done.
    pub kind: ReceiptKind,
    /// The key's id.
    pub actor: String,
    /// Digests of the ids that were named, as in the audit trail.
    pub digests: Vec<String>,
    /// What was done where.
    pub places: Vec<ReceiptPlace>,
}

/// A receipt with its id and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptRecord {
    /// Its id.
    pub id: String,
    /// The time, in milliseconds since 1970.
    pub at_ms: i64,
    /// What it says.
    pub receipt: NewReceipt,
}

/// A receipt of what was done with people's data. No id of a user stands in it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PrivacyReceipt {
    /// Its id.
    pub id: String,
    /// What was done.
    pub kind: ReceiptKind,
    /// When, ISO 8601 with the app's offset.
    pub at: String,
    /// The key's id; `local`: a command of the server's machine.
    pub actor: String,
    /// The first 16 digits of the SHA-256 of each id that was named, as in the audit trail: whoever
    /// knows an id finds its receipts.
    pub digests: Vec<String>,
    /// What was done where.
    pub places: Vec<ReceiptPlace>,
}

/// Receipts of an app.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReceiptList {
    /// How many there are.
    pub count: u64,
    /// The newest of them.
    pub receipts: Vec<PrivacyReceipt>,
}
