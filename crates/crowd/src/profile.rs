use crate::question::Ready;
use crate::{Crowds, Error, Question, Result, anonymous};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_disk::blocking;
use taghouse_model::{AppId, Name, TimestampMs, Value};
use taghouse_rules::Definitions;

/// A user's value of one tag.
#[derive(Debug, Clone, PartialEq)]
pub struct TagValue {
    /// Name of the tag.
    pub name: Name,
    /// The value, of the tag's type.
    pub value: Value,
    /// The time up to which it was computed.
    pub as_of_ms: TimestampMs,
}

/// Whether a user matches an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evaluation {
    /// Whether the user matches.
    pub matches: bool,
    /// The revision of the index that answered.
    pub revision: u64,
    /// The user was never seen, and matches nothing.
    pub unknown_user: bool,
}

impl Crowds {
    /// All tag values of a user, by tag name; tags without a value for the user are left out.
    ///
    /// # Errors
    /// [`Error::NoTags`], [`Error::UnknownUser`]; of the index and the dictionary.
    pub async fn profile(&self, app: &AppId, user: &str) -> Result<Vec<TagValue>> {
        let snapshot = self.snapshot(app).await?;
        let dictionary = self.dictionary_of(app, &snapshot)?;
        let own = self.user_of(app, user).await.into_owned();
        let (app, user) = (app.clone(), user.to_owned());
        blocking(move || {
            let Some(ordinal) = dictionary.ordinal(&own)? else {
                return Err(Error::UnknownUser { user, app });
            };
            let mut values = Vec::new();
            for (tag, segment) in snapshot.segments() {
                if let Some(value) = segment?.value_of(ordinal)? {
                    values.push(TagValue { name: tag.name.clone(), value, as_of_ms: tag.as_of_ms });
                }
            }
            Ok(values)
        })
        .await
    }

    /// Whether a user matches an expression, on the newest snapshot.
    ///
    /// # Errors
    /// As [`Crowds::count`]; of the dictionary. An unknown user is an answer.
    pub async fn evaluate(
        &self,
        app: &AppId,
        definitions: &Definitions,
        question: &Question,
        user: &str,
    ) -> Result<Evaluation> {
        let Ready { snapshot, dictionary, expression, others, .. } =
            self.ready(app, definitions, question).await?;
        let user = self.user_of(app, user).await.into_owned();
        blocking(move || {
            let ordinal = dictionary.ordinal(&user)?;
            let matches = match ordinal {
                Some(ordinal) => {
                    let user = Arc::new(Bitmap::from_sorted(&[ordinal]));
                    anonymous::query(&snapshot, &expression, &others, Some(&user))?
                        .contains(ordinal)?
                }
                None => false,
            };
            let unknown_user = ordinal.is_none();
            Ok(Evaluation { matches, revision: snapshot.revision(), unknown_user })
        })
        .await
    }
}
