use crate::Invalid;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

const MAX_BYTES: usize = 64;

/// The name of a tag, crowd, source, property or attribute: a letter or `_`, then letters, digits
/// or `_`; at most 64 bytes.
///
/// ```
/// use taghouse_model::Name;
///
/// assert_eq!(Name::new("spend_365d").unwrap().as_str(), "spend_365d");
/// assert!(Name::new("365d_spend").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// Checks the form.
    ///
    /// # Errors
    /// Text that is not of the form above.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let mut chars = text.chars();
        let head = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        let tail = chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if head && tail && text.len() <= MAX_BYTES {
            Ok(Self(text.into()))
        } else {
            Err(Invalid(format!(
                "\"{text}\" is not a name: use a letter or _, then letters, digits or _, {MAX_BYTES} bytes at most"
            )))
        }
    }

    /// The text, as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Name {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}
