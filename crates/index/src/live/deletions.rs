use super::{AppLog, Overlay};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;

/// The users deleted in an app, at any moment. Cloning it is cheap, and reading takes no lock.
#[derive(Clone)]
pub struct Deletions(pub(crate) Arc<AppLog>);

/// The users deleted in one generation, at one moment. In that generation they only become more.
#[derive(Clone)]
pub struct Deleted(Arc<Overlay>);

impl Deletions {
    /// The users deleted now: from the moment at which [`crate::Index::delete_users`] hides them,
    /// also after a restart.
    pub fn now(&self) -> Deleted {
        Deleted(self.0.overlay())
    }
}

impl Deleted {
    /// The dictionary's generation that the ordinals are of.
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// The users who are deleted.
    pub fn users(&self) -> &Arc<Bitmap> {
        &self.0.deleted
    }
}
