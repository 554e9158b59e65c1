use crate::{Error, Result};
use taghouse_dictionary::View;
use taghouse_model::{AppId, Ordinal};

/// The ids of a set's ordinals, in their order. Users who were deleted since the set was made are
/// left out.
pub(crate) fn ids(app: &AppId, dictionary: &View, ordinals: &[Ordinal]) -> Result<Vec<String>> {
    Ok(resolved(app, dictionary, ordinals)?.into_iter().flatten().collect())
}

/// The ids of a set's ordinals, in their order; `None`: the user was deleted since the set was made.
pub(crate) fn resolved(
    app: &AppId,
    dictionary: &View,
    ordinals: &[Ordinal],
) -> Result<Vec<Option<String>>> {
    if ordinals.iter().any(|ordinal| *ordinal >= dictionary.len()) {
        return Err(Error::Corrupt {
            what: format!("the index of app {app}"),
            detail: "it holds a user that the dictionary does not know".to_owned(),
            fix: "run `taghouse produce` again",
        });
    }
    Ok(dictionary.resolve(ordinals)?)
}
