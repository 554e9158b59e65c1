use crate::ids::ids;
use crate::{Crowds, Error, Question, Result};
use std::fmt;
use taghouse_disk::blocking;
use taghouse_model::{AppId, Ordinal};
use taghouse_rules::Definitions;

/// The most users of one page.
pub const MAX_PAGE: usize = 10_000;

/// Some of the users who match an expression, in a stable order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// User ids, in the order in which the users were first seen.
    pub users: Vec<String>,
    /// The cursor of the next page; `None`: this is the last.
    pub next: Option<String>,
    /// How many users match, on all pages together.
    pub count: u64,
    /// The index's revision that answered. Pages of one revision are one cut.
    pub revision: u64,
}

/// Where the next page begins. Its text is opaque to callers.
#[derive(Debug, PartialEq, Eq)]
struct Cursor {
    /// The last user of the page before.
    last: Ordinal,
    /// The dictionary's generation: in another one, ordinals are in another order.
    generation: u64,
    /// The index's revision that gave the page before.
    revision: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c1-{:x}-{:x}-{:x}", self.generation, self.revision, self.last)
    }
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("c1-")?.split('-');
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let (generation, revision, last) =
            (number()?, number()?, Ordinal::try_from(number()?).ok()?);
        let cursor = Self { last, generation, revision };
        // One text only for each cursor.
        (cursor.to_string() == text).then_some(cursor)
    }
}

impl Crowds {
    /// The next `limit` users who match the expression, after the page that returned the cursor
    /// `after`, or the first ones. The order stays the same whatever is published meanwhile: no
    /// user comes twice, and users who match all the time are not left out.
    ///
    /// # Errors
    /// [`Error::Limit`] over [`MAX_PAGE`] and [`Error::Argument`] for 0; [`Error::Cursor`] for a
    /// text that is not a cursor, or one from before the users were renumbered; as
    /// [`Crowds::count`]; of the dictionary.
    pub async fn page(
        &self,
        app: &AppId,
        definitions: &Definitions,
        question: &Question,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page> {
        Error::limit("users", limit, MAX_PAGE)?;
        if limit == 0 {
            return Err(Error::Argument(
                "a page of 0 users leads nowhere: ask for at least 1".to_owned(),
            ));
        }
        let wrong = |why| Error::Cursor { cursor: after.unwrap_or_default().to_owned(), why };
        let after = match after {
            None => None,
            Some(text) => {
                Some(Cursor::parse(text).ok_or_else(|| wrong("is not a cursor of this server"))?)
            }
        };
        let ready = self.ready(app, definitions, question).await?;
        let (generation, revision) = (ready.snapshot.generation(), ready.snapshot.revision());
        if after.as_ref().is_some_and(|cursor| cursor.generation != generation) {
            return Err(wrong("is from before the users were renumbered"));
        }
        // Nobody comes after the last ordinal that there can be.
        let from = after.map_or(Some(0), |cursor| cursor.last.checked_add(1));
        let app = app.clone();
        blocking(move || {
            let set = ready.query()?.bitmap()?;
            let ordinals = from.map(|from| set.page(from, limit)).unwrap_or_default();
            let users = ids(&app, &ready.dictionary, &ordinals)?;
            let last =
                ordinals.last().copied().filter(|last| set.max().is_some_and(|max| max > *last));
            let next = last.map(|last| Cursor { last, generation, revision }.to_string());
            Ok(Page { users, next, count: set.len(), revision })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back_and_nothing_else_is() {
        for cursor in [
            Cursor { last: 0, generation: 0, revision: 0 },
            Cursor { last: u32::MAX, generation: u64::MAX, revision: 77 },
        ] {
            assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }
        for text in [
            "",
            "c1-",
            "c1-0-0",
            "c1-0-0-0-0",
            "c1-0-0-100000000",
            "c1-00-0-0",
            "c1-+0-0-0",
            "c1-A-0-0",
            "c2-0-0-0",
            "7",
        ] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
