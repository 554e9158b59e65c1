//! The apps that there are.

use serde::{Deserialize, Serialize};

/// An app.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AppBody {
    /// Its id.
    pub id: String,
}

/// The apps that the key may see.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AppList {
    /// In order of id.
    pub apps: Vec<AppBody>,
}
