//! The apps that there are.

use serde::{Deserialize, Serialize};

/// An app, as the list shows it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AppBody {
    /// The id, as other calls take it.
    pub id: String,
}

/// The apps that the key may see.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AppList {
    /// In order of id.
    pub apps: Vec<AppBody>,
}
