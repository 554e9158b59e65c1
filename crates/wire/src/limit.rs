//! Limits that one can see.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A limit, with how much of it is used.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LimitBody {
    /// What is limited, as a stable word.
    pub name: Cow<'static, str>,
    /// The same for people, with its unit.
    pub about: Cow<'static, str>,
    /// Of what it is: `key`, `app`, `server` or `call`.
    pub of: Cow<'static, str>,
    /// How much is used now; `null`: it is of one call each.
    #[schema(required)]
    pub used: Option<u64>,
    /// How much there may be; `null`: there is no limit.
    #[schema(required)]
    pub allowed: Option<u64>,
    /// The flag of `taghouse serve`, or of the command, that sets it; `null`: it is fixed.
    #[schema(required)]
    pub flag: Option<Cow<'static, str>>,
}

/// The limits of a key and its app.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LimitList {
    /// Those of which something is used first.
    pub limits: Vec<LimitBody>,
}
