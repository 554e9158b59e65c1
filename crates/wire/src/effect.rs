//! The arms of a crowd's split, compared.

use crate::shape::Expression;
use serde::{Deserialize, Serialize};

/// What to compare the arms by.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EffectRequest {
    /// A tag: int, decimal, or bool, of which yes counts as 1. Of who has no value it is 0.
    pub metric: String,
    /// A tag of the same kinds from before the arms were treated differently, such as the same metric
    /// of the month before: the metric is corrected by what it foretells (CUPED).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Only users who match this, such as those who saw what they were to see: text or JSON. Default:
    /// all members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Expression>)]
    pub exposed: Option<serde_json::Value>,
    /// The arm that the others are compared with. Default: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
}

/// The arms, compared.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EffectAnswer {
    /// In the order of the definition.
    pub arms: Vec<ArmBody>,
    /// The arm that the others are compared with.
    pub control: String,
    /// The share of the metric's variance that `before` explains, 0 to 1; `null` without it.
    #[schema(required)]
    pub explained: Option<f64>,
    /// The probability of arms as unlike in size as these, by chance alone (chi-squared).
    pub ratio_p: f64,
    /// Whether that is below 0.001. Then users did not come into the arms by chance, and the comparison
    /// tells nothing.
    pub ratio_is_off: bool,
    /// The crowd's version whose members are compared; 0 of a live one.
    pub version: u64,
}

/// One arm.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ArmBody {
    /// Its name.
    pub arm: String,
    /// Its share of the members, as it is defined.
    pub share: String,
    /// How many users are compared.
    pub users: u64,
    /// The mean of the metric, corrected by `before`; `null`: there is nobody.
    #[schema(required)]
    pub mean: Option<f64>,
    /// How much it is above the control's mean; `null` of the control, and where one of the two has
    /// fewer than two users.
    #[schema(required)]
    pub difference: Option<f64>,
    /// The lower end of the difference's 95% interval.
    #[schema(required)]
    pub low: Option<f64>,
    /// The upper end.
    #[schema(required)]
    pub high: Option<f64>,
    /// The difference divided by the control's mean; `null` also where that is 0.
    #[schema(required)]
    pub relative: Option<f64>,
    /// The probability of a difference as large, by chance alone.
    #[schema(required)]
    pub p: Option<f64>,
}
