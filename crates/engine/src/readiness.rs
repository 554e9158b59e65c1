//! Whether an app can be asked.

use crate::Engine;
use taghouse_model::AppId;

/// Why an app cannot be asked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// Which app.
    pub app: AppId,
    /// What is missing, in words that say nothing of the app.
    pub missing: &'static str,
    /// Why, for those who may read the app.
    pub reason: Option<String>,
}

impl Engine {
    /// What keeps the app from being asked; `None`: nothing.
    pub async fn not_ready(&self, app: &AppId) -> Option<NotReady> {
        let not = |missing, reason| Some(NotReady { app: app.clone(), missing, reason });
        let definitions = match self.definitions(app).await {
            Ok(definitions) => definitions,
            Err(error) => return not("definitions cannot be read", Some(error.to_string())),
        };
        match self.live_tags_have_values(&definitions).await {
            Ok(true) => None,
            Ok(false) => {
                let status = self.stream.status(app).await;
                not("live tags have no values yet", status.and_then(|status| status.problem))
            }
            Err(error) => not("the index cannot be read", Some(error.to_string())),
        }
    }
}
