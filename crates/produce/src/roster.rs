//! All users of the app in order of their ordinals: the order of every column from here on.

use crate::pass::{Owned, goes_on};
use crate::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, StringArray, UInt32Array};
use std::sync::Arc;
use taghouse_dictionary::{DeletionWatch, Dictionary};
use taghouse_lake::layout;
use taghouse_model::{AppId, Name, Ordinal};
use tokio_util::sync::CancellationToken;

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
    /// Gives new users their ordinals, in the order of their ids, so that the same lake gives the
    /// same numbers. Who was `deleted` since the lake was read is left out.
    pub(crate) fn enlist(
        dictionary: &Dictionary,
        app: &AppId,
        found: &[Owned],
        deleted: &DeletionWatch,
        stop: &CancellationToken,
    ) -> Result<Self> {
        let mut all: Vec<(&str, u32)> =
            Vec::with_capacity(found.iter().map(|owned| owned.users.len()).sum());
        let mut at = 0u32;
        for owned in found {
            for (number, id) in owned.users.ids().enumerate() {
                if owned.hands.exists(number) {
                    all.push((id, at));
                }
                at += 1;
            }
        }
        let bytes = all.iter().map(|(id, _)| id.len()).sum();
        check_text(|| format!("the user ids of app {app}"), bytes)?;
        if !deleted.is_empty() {
            all.retain(|(id, _)| !deleted.deleted(id));
        }
        all.sort_unstable();
        let ids: Vec<&str> = all.iter().map(|(id, _)| *id).collect();
        // A production that is given up makes nobody known.
        goes_on(stop)?;
        let ordinals = dictionary.assign(app, &ids)?;
        let mut order: Vec<(Ordinal, &str, u32)> =
            ordinals.into_iter().zip(&all).map(|(ordinal, (id, at))| (ordinal, *id, *at)).collect();
        // Who was deleted just now may have got another ordinal by that.
        if !deleted.is_empty() {
            order.retain(|(_, id, _)| !deleted.deleted(id));
        }
        order.sort_unstable_by_key(|(ordinal, _, _)| *ordinal);
        Ok(Self {
            ordinals: order.iter().map(|(ordinal, _, _)| *ordinal).collect(),
            ids: Arc::new(StringArray::from_iter_values(order.iter().map(|(_, id, _)| id))),
            positions: order.iter().map(|(_, _, at)| *at).collect(),
        })
    }

    /// The users found, by id, without an ordinal of the dictionary: for values that nobody keeps.
    pub(crate) fn unlisted(found: &[Owned]) -> Self {
        let mut all: Vec<(&str, u32)> = Vec::new();
        let mut at = 0_u32;
        for owned in found {
            for (number, id) in owned.users.ids().enumerate() {
                if owned.hands.exists(number) {
                    all.push((id, at));
                }
                at += 1;
            }
        }
        all.sort_unstable();
        Self {
            ordinals: (0..all.len() as Ordinal).collect(),
            ids: Arc::new(StringArray::from_iter_values(all.iter().map(|(id, _)| id))),
            positions: all.iter().map(|(_, at)| *at).collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ordinals.len()
    }

    /// Where each user stands in the workers' findings laid end to end.
    pub(crate) fn places(&self) -> impl Iterator<Item = u32> {
        self.positions.values().iter().copied()
    }

    /// One tag's values from all workers, in the roster's order.
    pub(crate) fn align(&self, tag: &Name, parts: Vec<ArrayRef>) -> Result<ArrayRef> {
        check_text(
            || format!("the values of tag {tag}"),
            parts.iter().map(|part| text_bytes(part.as_ref())).sum(),
        )?;
        let failed = |error: arrow::error::ArrowError| Error::Rows {
            table: layout::tag_table(tag),
            detail: error.to_string(),
        };
        let borrowed: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let whole = arrow::compute::concat(&borrowed).map_err(failed)?;
        drop(parts);
        arrow::compute::take(&whole, &self.positions, None).map_err(failed)
    }
}

/// Columns have offsets of 32 bits, and Arrow's builders end the process's work where those do not
/// reach.
pub(crate) fn check_text(what: impl FnOnce() -> String, bytes: usize) -> Result<()> {
    if i32::try_from(bytes).is_ok() {
        Ok(())
    } else {
        Err(Error::TooMuchText { what: what(), bytes })
    }
}

/// The bytes of a column's texts.
fn text_bytes(array: &dyn Array) -> usize {
    if let Some(texts) = array.as_string_opt::<i32>() {
        return texts.value_data().len();
    }
    array.as_list_opt::<i32>().map_or(0, |lists| text_bytes(lists.values().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ListBuilder, StringBuilder};

    #[test]
    fn text_is_measured_before_it_is_joined() {
        let texts = StringArray::from(vec![Some("ab"), None, Some("cde")]);
        let mut lists = ListBuilder::new(StringBuilder::new());
        lists.values().append_value("four");
        lists.append(true);
        assert_eq!(
            (
                text_bytes(&texts),
                text_bytes(&lists.finish()),
                text_bytes(&UInt32Array::from(vec![1]))
            ),
            (5, 4, 0)
        );
        assert!(check_text(|| "x".to_owned(), i32::MAX as usize).is_ok());
        let error = check_text(|| "the values of tag country".to_owned(), i32::MAX as usize + 1)
            .unwrap_err();
        assert!(
            error.to_string().starts_with("the values of tag country come to 2147483648 bytes"),
            "{error}"
        );
        assert_eq!(error.kind(), taghouse_model::ErrorKind::Invalid);
    }
}
