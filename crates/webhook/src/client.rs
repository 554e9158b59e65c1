//! One request, and what came of it.

mod fetch;

pub use fetch::{Fetched, FetchedFile, Validators};

use crate::destination::Destination;
use crate::letter::Letter;
use crate::resolver::{CheckedResolver, refusal};
use crate::verdict::retry_after;
use crate::{Error, Networks, Result};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Response, Url};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taghouse_model::Clock;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection that has been idle for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// How long the body of an answer is waited for, once its head has come.
const BODY: Duration = Duration::from_secs(1);
/// Bytes of an answer's body that are read; with more, its connection is not used again.
const BODY_BYTES: usize = 64 << 10;
/// How much of them people are shown.
const SHOWN_CHARS: usize = 300;

/// What came of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Of the answer; `None`: there was none.
    pub(crate) status: Option<u16>,
    /// How long the receiver asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// How long it took.
    pub(crate) latency: Duration,
    /// What went wrong; `None`: the receiver has taken it.
    pub(crate) error: Option<String>,
    /// The beginning of what the receiver said.
    pub(crate) said: String,
}

impl Attempt {
    /// Nothing was sent.
    pub(crate) fn failed(error: String) -> Self {
        let (latency, said) = (Duration::ZERO, String::new());
        Self { status: None, retry_after: None, latency, error: Some(error), said }
    }
}

/// Sends requests of all sinks. It follows no redirect, asks no proxy, and connects to no address that
/// is not permitted.
pub(crate) struct Client {
    http: reqwest::Client,
    networks: Arc<Networks>,
    clock: Arc<dyn Clock>,
}

impl Client {
    /// `certificates`: a PEM file of authorities that are trusted besides the public ones.
    ///
    /// # Errors
    /// `Certificates`, `Client`.
    pub(crate) fn new(
        networks: Networks,
        certificates: Option<&Path>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let networks = Arc::new(networks);
        let mut builder = reqwest::Client::builder()
            .dns_resolver(Arc::new(CheckedResolver::new(networks.clone())))
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .user_agent(concat!("taghouse/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = certificates {
            let wrong = |detail: String| Error::Certificates { path: path.to_owned(), detail };
            let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            let all = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(chain(&error)))?;
            if all.is_empty() {
                return Err(wrong("it has no certificate".to_owned()));
            }
            builder = all.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
        }
        let http = builder.build().map_err(|error| Error::Client(chain(&error)))?;
        Ok(Self { http, networks, clock })
    }

    /// Posts a letter, once.
    pub(crate) async fn post(&self, destination: &Destination, letter: &Letter) -> Attempt {
        if let Some(refused) = self.refused(&destination.url) {
            return Attempt::failed(refused);
        }
        let began = Instant::now();
        let time_s = self.clock.now_ms().div_euclid(1000);
        let signature = destination.secrets.sign(&letter.id, time_s, &letter.body);
        let request = self
            .http
            .post(destination.url.clone())
            .headers(destination.headers.clone())
            .header(CONTENT_TYPE, letter.content_type)
            .header("webhook-id", &letter.id)
            .header("webhook-timestamp", time_s)
            .header("webhook-signature", signature)
            .timeout(destination.timeout)
            .body(letter.body.clone());
        match request.send().await {
            Ok(response) => {
                let (status, latency) = (response.status(), began.elapsed());
                let retry_after = self.retry_after(response.headers());
                let said = beginning(response).await;
                let error = (!status.is_success()).then(|| told(status.as_u16(), &said));
                let status = Some(status.as_u16());
                Attempt { status, retry_after, latency, error, said }
            }
            Err(error) => {
                let error = if error.is_timeout() && !error.is_connect() {
                    format!("no answer within {} ms", destination.timeout.as_millis())
                } else {
                    chain(&error.without_url())
                };
                Attempt { latency: began.elapsed(), ..Attempt::failed(error) }
            }
        }
    }

    /// Why a URL that names an address, not a host, is not called: no name is looked up for it.
    fn refused(&self, url: &Url) -> Option<String> {
        let host = url.host_str()?;
        let address: IpAddr = host.trim_matches(['[', ']']).parse().ok()?;
        (!self.networks.permit(address)).then(|| refusal(&address.to_string()))
    }

    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, self.clock.now_ms())
    }
}

/// The beginning of an answer's body. What it says decides nothing, so it is not waited for long.
async fn beginning(mut response: Response) -> String {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk[..chunk.len().min(BODY_BYTES)]);
            if body.len() >= BODY_BYTES {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(BODY, read).await;
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String =
        String::from_utf8_lossy(&body).chars().take(SHOWN_CHARS).map(plain).collect();
    text.trim().to_owned()
}

fn told(status: u16, said: &str) -> String {
    let what = match status {
        300..=399 => " (a redirect, which is not followed: write its address into the definition)",
        _ => "",
    };
    if said.is_empty() {
        format!("the receiver answered {status}{what}")
    } else {
        format!("the receiver answered {status}{what}: {said}")
    }
}

/// An error with all its causes: the last one says most.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
