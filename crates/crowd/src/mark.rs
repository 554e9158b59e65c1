//! A sign by which it is seen that crowds may answer otherwise than before.

use crate::Crowds;
use crate::known::KnownCrowd;
use std::collections::HashMap;
use std::sync::Arc;
use taghouse_model::AppId;

/// What is known of an app's versions at one moment. Equal marks: nothing has changed in between.
pub struct VersionsMark(Arc<HashMap<String, Arc<KnownCrowd>>>);

impl PartialEq for VersionsMark {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Crowds {
    /// What is known of an app's versions now. Takes no lock and asks nobody.
    pub fn versions_mark(&self, app: &AppId) -> VersionsMark {
        VersionsMark(self.state(app).all())
    }
}
