use crate::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

const MAX_BYTES: usize = 63;

/// The id of an app (a tenant): a lower-case letter, then lower-case letters, digits, `-` or `_`;
/// at most 63 bytes, for it names folders, catalog namespaces and URL segments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppId(Arc<str>);

impl AppId {
    /// Checks the form.
    ///
    /// # Errors
    /// Text that is not of the form above.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let mut chars = text.chars();
        let head = chars.next().is_some_and(|c| c.is_ascii_lowercase());
        let tail =
            chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
        if head && tail && text.len() <= MAX_BYTES {
            Ok(Self(text.into()))
        } else {
            Err(Invalid(format!(
                "\"{text}\" is not an app id: use a lower-case letter, then lower-case letters, digits, - or _, {MAX_BYTES} bytes at most"
            )))
        }
    }

    /// The text, as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for AppId {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::new(&text)
    }
}

impl From<AppId> for String {
    fn from(app: AppId) -> Self {
        app.0.as_ref().to_owned()
    }
}
