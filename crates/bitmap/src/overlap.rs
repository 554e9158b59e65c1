//! How many users two sets share, for many pairs of sets.

use crate::{Bitmap, Result, Stored};
use std::sync::Arc;

/// A set of users, in memory or where it is stored.
#[derive(Clone)]
pub enum Members {
    /// In memory.
    Owned(Arc<Bitmap>),
    /// Where it lies.
    Stored(Stored),
}

impl Members {
    /// How many.
    pub fn len(&self) -> u64 {
        match self {
            Self::Owned(bitmap) => bitmap.len(),
            Self::Stored(stored) => stored.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As a bitmap in memory.
    ///
    /// # Errors
    /// As [`crate::Bundle::load`].
    pub fn to_bitmap(&self) -> Result<Arc<Bitmap>> {
        match self {
            Self::Owned(bitmap) => Ok(bitmap.clone()),
            Self::Stored(stored) => stored.to_bitmap().map(Arc::new),
        }
    }
}

/// How many users each of `rows` shares with each of `columns`, or how many of those in `within`: row by row, exact.
///
/// # Errors
/// As [`crate::Bundle::load`].
pub fn overlap(rows: &[Members], columns: &[Members], within: Option<&Bitmap>) -> Result<Vec<u64>> {
    let columns: Vec<Arc<Bitmap>> = columns.iter().map(Members::to_bitmap).collect::<Result<_>>()?;
    let mut counts = Vec::with_capacity(rows.len() * columns.len());
    for row in rows {
        let row = row.to_bitmap()?;
        let row = within.map_or_else(|| row.clone(), |within| Arc::new(row.and(within)));
        counts.extend(columns.iter().map(|column| row.and_len(column)));
    }
    Ok(counts)
}
