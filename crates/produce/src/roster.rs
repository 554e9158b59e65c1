//! All users of the app in order of their ordinals: the order of every column from here on.

use crate::pass::Owned;
use crate::{Error, Result};
use arrow::array::{Array, ArrayRef, StringArray, UInt32Array};
use std::sync::Arc;
use taghouse_dictionary::Dictionary;
use taghouse_model::{AppId, Ordinal};

/// Users by ordinal.
pub(crate) struct Roster {
    /// In rising order.
    pub(crate) ordinals: Vec<Ordinal>,
    /// Of the same users.
    pub(crate) ids: Arc<StringArray>,
    /// Where each stands in the workers' findings laid end to end.
    positions: UInt32Array,
}

impl Roster {
    /// Gives new users their ordinals, in the order of their ids, so that the same lake gives the same numbers.
    pub(crate) fn enlist(dictionary: &Dictionary, app: &AppId, found: &[Owned]) -> Result<Self> {
        let mut all: Vec<(&str, u32)> = Vec::with_capacity(found.iter().map(|owned| owned.users.len()).sum());
        for owned in found {
            for id in owned.users.ids() {
                all.push((id, all.len() as u32));
            }
        }
        all.sort_unstable();
        let ids: Vec<&str> = all.iter().map(|(id, _)| *id).collect();
        let ordinals = dictionary.assign(app, &ids)?;
        let mut order: Vec<(Ordinal, &str, u32)> = ordinals.into_iter().zip(&all).map(|(ordinal, (id, at))| (ordinal, *id, *at)).collect();
        order.sort_unstable_by_key(|(ordinal, _, _)| *ordinal);
        Ok(Self {
            ordinals: order.iter().map(|(ordinal, _, _)| *ordinal).collect(),
            ids: Arc::new(StringArray::from_iter_values(order.iter().map(|(_, id, _)| id))),
            positions: order.iter().map(|(_, _, at)| *at).collect(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.ordinals.len()
    }

    /// One tag's values from all workers, in the roster's order.
    pub(crate) fn align(&self, parts: &[ArrayRef]) -> Result<ArrayRef> {
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let whole = arrow::compute::concat(&parts).map_err(rows)?;
        arrow::compute::take(&whole, &self.positions, None).map_err(rows)
    }
}

fn rows(error: arrow::error::ArrowError) -> Error {
    Error::Rows { table: "a tag".to_owned(), detail: error.to_string() }
}
