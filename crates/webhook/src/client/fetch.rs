//! Fetches a file from an address, under the rules of webhooks: no redirect is followed, no address
//! that is not permitted is connected to, and time and size are bounded.

use super::{Client, chain};
use crate::destination::{headers_of, url_of};
use crate::{Error, Result};
use reqwest::header::{
    ACCEPT, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED,
};
use reqwest::{Response, StatusCode, Url};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use taghouse_disk::blocking;
use taghouse_rules::{CrowdLink, SettingOf};
use taghouse_sink::Secrets;
use tokio::io::AsyncWriteExt;

/// What servers read of a file that was fetched before, to say that it is still the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// The header `etag` of its answer.
    pub etag: Option<String>,
    /// The header `last-modified`.
    pub last_modified: Option<String>,
}

/// What is at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The server says that it is what it was.
    Unchanged,
    /// A file.
    File(FetchedFile),
}

/// A file that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedFile {
    /// Where it is now.
    pub path: PathBuf,
    /// By which the server will know it.
    pub validators: Validators,
    /// SHA-256 of what it holds, as lower-case hex.
    pub sha256: String,
    /// How long it is.
    pub bytes: u64,
}

impl Client {
    /// Fetches what is at the link into a folder that is there.
    ///
    /// # Errors
    /// `Unreached`, which may pass; `NotFetched`; of settings and the disk. What was written of the
    /// file stays in the folder.
    pub(crate) async fn fetch(
        &self,
        link: &CrowdLink,
        known: &Validators,
        folder: &Path,
    ) -> Result<Fetched> {
        let of = link.clone();
        let Asked { url, headers } = blocking(move || Asked::read(&of)).await?;
        if let Some(refused) = self.refused(&url) {
            return Err(Error::NotFetched(refused));
        }
        let timeout = Duration::from_millis(link.timeout_ms);
        let request =
            self.http.get(url.clone()).headers(headers).headers(known.headers()?).timeout(timeout);
        let answer = request.send().await.map_err(|error| unreached(error, timeout))?;
        match answer.status() {
            StatusCode::NOT_MODIFIED => return Ok(Fetched::Unchanged),
            StatusCode::OK => {}
            status => return Err(refused_by(status)),
        }
        let validators = Validators::of(answer.headers());
        let path = folder.join(file_name(&url));
        let saved = saved(answer, &path, link.max_bytes, timeout).await?;
        Ok(Fetched::File(FetchedFile {
            path,
            validators,
            sha256: saved.sha256,
            bytes: saved.bytes,
        }))
    }
}

/// A request, with the secrets that its definition names.
struct Asked {
    url: Url,
    headers: HeaderMap,
}

impl Asked {
    fn read(link: &CrowdLink) -> Result<Self> {
        let secrets = Secrets::of_process(SettingOf::Webhook);
        let url = url_of(&link.url, &secrets)?;
        let mut headers = headers_of(&link.headers, &secrets)?;
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        Ok(Self { url, headers })
    }
}

impl Validators {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
        Self { etag: text(ETAG), last_modified: text(LAST_MODIFIED) }
    }

    fn headers(&self) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let mut add = |name: HeaderName, value: &Option<String>| -> Result<()> {
            if let Some(value) = value {
                let wrong = |_| Error::Header(name.to_string());
                headers.insert(name.clone(), HeaderValue::from_str(value).map_err(wrong)?);
            }
            Ok(())
        };
        add(IF_NONE_MATCH, &self.etag)?;
        add(IF_MODIFIED_SINCE, &self.last_modified)?;
        Ok(headers)
    }
}

struct Saved {
    sha256: String,
    bytes: u64,
}

/// Writes what comes, as it comes, and no more than is allowed.
async fn saved(
    mut answer: Response,
    path: &Path,
    max_bytes: u64,
    timeout: Duration,
) -> Result<Saved> {
    let too_large = || {
        let most = max_bytes >> 20;
        Error::NotFetched(format!(
            "the file is larger than {most} MiB: let its server send a smaller one, or raise `megabytes` of the link"
        ))
    };
    if answer.content_length().is_some_and(|bytes| bytes > max_bytes) {
        return Err(too_large());
    }
    let mut file = tokio::fs::File::create(path).await.map_err(Error::disk(path))?;
    let (mut digest, mut bytes) = (Sha256::new(), 0);
    while let Some(chunk) = answer.chunk().await.map_err(|error| unreached(error, timeout))? {
        bytes += chunk.len() as u64;
        if bytes > max_bytes {
            return Err(too_large());
        }
        digest.update(&chunk);
        file.write_all(&chunk).await.map_err(Error::disk(path))?;
    }
    file.flush().await.map_err(Error::disk(path))?;
    let mut sha256 = String::new();
    for byte in digest.finalize() {
        let _ = write!(sha256, "{byte:02x}");
    }
    Ok(Saved { sha256, bytes })
}

/// A name for the file, by which people know it again: the last part of the address's path.
fn file_name(url: &Url) -> String {
    let last = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = last.chars().filter(|c| plain(*c)).take(100).collect();
    if name.trim_matches('.').is_empty() { "fetched".to_owned() } else { name }
}

fn unreached(error: reqwest::Error, timeout: Duration) -> Error {
    if error.is_timeout() && !error.is_connect() {
        return Error::Unreached(format!("it took longer than {} s", timeout.as_secs()));
    }
    Error::Unreached(chain(&error.without_url()))
}

fn refused_by(status: StatusCode) -> Error {
    let what = match status.as_u16() {
        300..=399 => ": a redirect, which is not followed; write its address into the definition",
        401 | 403 => ": give what it asks for in `headers` of the link",
        404 | 410 => ": there is nothing; check `url` of the link",
        _ => "",
    };
    let message = format!("the server answered {}{what}", status.as_u16());
    let passes = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    if passes { Error::Unreached(message) } else { Error::NotFetched(message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_last_name_of_their_path_and_no_other_place() {
        for (url, name) in [
            ("https://a.example/b/members.csv?day=1", "members.csv"),
            ("https://a.example/", "fetched"),
            ("https://a.example/..%2f..%2fetc", "2f..2fetc"),
            ("https://a.example/%2e%2e/", "fetched"),
            ("https://a.example/a%20b.xlsx", "a20b.xlsx"),
        ] {
            assert_eq!(file_name(&Url::parse(url).unwrap()).trim_start_matches('.'), name, "{url}");
        }
    }
}
