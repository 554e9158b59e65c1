//! A webhook's address, headers and secrets, with what the definition names put in.

use crate::signature::SigningSecrets;
use crate::{Error, Result};
use parking_lot::Mutex;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taghouse_rules::{SettingOf, Webhook};
use taghouse_sink::Secrets;

/// How long what was read is used: a secret that is changed in its file counts soon.
const READ_AGAIN: Duration = Duration::from_secs(10);

/// Where requests go, and what they carry. Not to be shown.
pub(crate) struct Destination {
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) secrets: SigningSecrets,
    pub(crate) timeout: Duration,
}

impl Destination {
    /// Puts in what the definition names. Reads files: blocks for a moment.
    ///
    /// # Errors
    /// What is not there, or is not what it should be.
    pub(crate) fn read(webhook: &Webhook, secrets: &Secrets<'_>) -> Result<Self> {
        let url = url_of(&webhook.url, secrets)?;
        let headers = headers_of(&webhook.headers, secrets)?;
        let secrets = SigningSecrets::read(&secrets.resolved("secret", &webhook.secret)?)?;
        let timeout = Duration::from_millis(webhook.timeout_ms);
        Ok(Self { url, headers, secrets, timeout })
    }
}

/// The URL of a definition, with what it names put in.
pub(crate) fn url_of(written: &str, secrets: &Secrets<'_>) -> Result<Url> {
    let text = secrets.resolved("url", written)?;
    // The text may be a secret, so it is not shown.
    let url = Url::parse(text.trim()).map_err(|error| Error::Url(error.to_string()))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(Error::Url(format!("it begins with {}:", url.scheme())));
    }
    Ok(url)
}

/// The headers of a definition, with what they name put in.
pub(crate) fn headers_of(
    written: &BTreeMap<String, String>,
    secrets: &Secrets<'_>,
) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in written {
        let wrong = || Error::Header(name.clone());
        let value = secrets.resolved(&format!("headers/{name}"), value)?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, value);
    }
    Ok(headers)
}

/// A destination that is read from time to time.
pub(crate) struct KnownDestination {
    webhook: Webhook,
    read: Mutex<Option<(Instant, Arc<Destination>)>>,
}

impl KnownDestination {
    pub(crate) fn new(webhook: Webhook) -> Self {
        Self { webhook, read: Mutex::default() }
    }

    /// The destination as it is now, or was a moment ago.
    ///
    /// # Errors
    /// Those of [`Destination::read`].
    pub(crate) async fn current(&self) -> Result<Arc<Destination>> {
        if let Some((at, known)) = &*self.read.lock()
            && at.elapsed() < READ_AGAIN
        {
            return Ok(known.clone());
        }
        let webhook = self.webhook.clone();
        let read = move || Destination::read(&webhook, &Secrets::of_process(SettingOf::Webhook));
        let destination = Arc::new(taghouse_disk::blocking(read).await?);
        *self.read.lock() = Some((Instant::now(), destination.clone()));
        Ok(destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn what_is_put_in_is_checked_and_not_shown() {
        let secret = format!("whsec_{}", STANDARD.encode([7; 32]));
        let variable = |name: &str| {
            Some(match name {
                "WEBHOOK_SECRET" => secret.clone(),
                "WEBHOOK_HOST" => "crm.example.com".to_owned(),
                "WEBHOOK_LINES" => "a\nb".to_owned(),
                "WEBHOOK_SHORT" => "whsec_abcd".to_owned(),
                _ => return None,
            })
        };
        let secrets = Secrets::new(SettingOf::Webhook, &variable, None);
        let webhook = |url: &str, secret: &str, header: &str| Webhook {
            url: url.to_owned(),
            secret: secret.to_owned(),
            headers: [("x-shop".to_owned(), header.to_owned())].into(),
            timeout_ms: 5_000,
            batch_events: 1,
            batch_bytes: 1,
            parallel: 1,
            retry_for_ms: 1,
        };
        let read = |url: &str, secret: &str, header: &str| {
            Destination::read(&webhook(url, secret, header), &secrets)
        };
        let good = read("https://${WEBHOOK_HOST}/x", "${WEBHOOK_SECRET}", "north").unwrap();
        assert_eq!(good.url.as_str(), "https://crm.example.com/x");
        assert_eq!(good.headers["x-shop"], "north");
        for (url, secret, header, words) in [
            ("${WEBHOOK_NONE}", "${WEBHOOK_SECRET}", "x", "WEBHOOK_NONE"),
            ("${WEBHOOK_HOST}", "${WEBHOOK_SECRET}", "x", "`url` is not a URL"),
            ("ftp://${WEBHOOK_HOST}", "${WEBHOOK_SECRET}", "x", "begins with ftp:"),
            ("https://a", "${WEBHOOK_SHORT}", "x", "whsec_ followed by base64"),
            ("https://a", "${WEBHOOK_SECRET}", "${WEBHOOK_LINES}", "`x-shop`"),
        ] {
            let said = read(url, secret, header).err().map(|error| error.to_string());
            assert!(said.as_ref().is_some_and(|said| said.contains(words)), "{url}: {said:?}");
            let leaked =
                said.is_some_and(|said| said.contains("crm.example") || said.contains("abcd"));
            assert!(!leaked, "{url}");
        }
    }
}
