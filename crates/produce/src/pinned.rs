//! The tables that values are computed from, as they were at one moment.

use crate::Result;
use taghouse_lake::{Lake, Table, layout};
use taghouse_model::AppId;

/// Handles of an app's tables. What is read by them is what they held when this was made.
#[derive(Clone)]
pub struct Pinned {
    pub(crate) app: AppId,
    pub(crate) events: Option<Table>,
    pub(crate) attributes: Option<Table>,
    pub(crate) changes: Option<Table>,
    pub(crate) identities: Option<Table>,
}

impl Pinned {
    /// The tables as they are now. They are of one moment if nothing lands meanwhile.
    ///
    /// # Errors
    /// Of the lake.
    pub async fn of(lake: &Lake, app: &AppId) -> Result<Self> {
        Ok(Self {
            app: app.clone(),
            events: lake.table(app, layout::EVENTS).await?,
            attributes: lake.table(app, layout::ATTRIBUTES).await?,
            changes: lake.table(app, layout::USER_CHANGES).await?,
            identities: lake.table(app, layout::IDENTITIES).await?,
        })
    }
}
