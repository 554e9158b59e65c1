use crate::{Crowds, Error, Result};
use std::collections::BTreeSet;
use taghouse_disk::blocking;
use taghouse_model::{AppId, Name, TimestampMs, Value};

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

impl Crowds {
    /// The tag values of a user, by tag name: of all tags, or of those `chosen`. Tags without a value
    /// for the user are left out.
    ///
    /// # Errors
    /// [`Error::NoTags`], [`Error::UnknownUser`]; of the index and the dictionary.
    pub async fn profile(
        &self,
        app: &AppId,
        user: &str,
        chosen: Option<BTreeSet<Name>>,
    ) -> Result<Vec<TagValue>> {
        let snapshot = self.snapshot(app).await?;
        let dictionary = self.dictionary_of(app, &snapshot)?;
        let own = self.user_of(app, user).await.into_owned();
        let (app, user) = (app.clone(), user.to_owned());
        blocking(move || {
            let Some(ordinal) = dictionary.ordinal(&own)? else {
                return Err(Error::UnknownUser { user, app });
            };
            let mut values = Vec::new();
            let tags: Vec<_> = match &chosen {
                Some(chosen) => {
                    chosen.iter().filter_map(|tag| snapshot.info(tag.as_str())).collect()
                }
                None => snapshot.tags().collect(),
            };
            for info in tags {
                let Some(tag) = snapshot.tag(info.name.as_str())? else { continue };
                if let Some(value) = tag.value_of(ordinal)? {
                    let (name, as_of_ms) = (info.name.clone(), info.as_of_ms);
                    values.push(TagValue { name, value, as_of_ms });
                }
            }
            Ok(values)
        })
        .await
    }
}
