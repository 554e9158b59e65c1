//! Every command is a client of the HTTP API. With no server there, the same router answers in this process, so a command has one
//! implementation and means the same in both cases.

use anyhow::{Context, Result, anyhow, bail};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Method, Request, header};
use futures::StreamExt;
use serde_json::Value;
use std::io::{Read, Write};
use tower::ServiceExt;

/// The most that one JSON answer may hold.
const MAX_ANSWER_BYTES: u64 = 256 << 20;

/// What is read of a file at once.
const CHUNK_BYTES: usize = 256 << 10;

/// The API, near or far.
pub(crate) struct Client {
    transport: Transport,
    key: String,
}

enum Transport {
    InProcess(Router),
    Http { base: String, agent: ureq::Agent },
}

impl Client {
    /// The router of this process.
    pub(crate) fn in_process(router: Router, key: String) -> Self {
        Self { transport: Transport::InProcess(router), key }
    }

    /// A server at `base`, such as `http://127.0.0.1:7700`.
    pub(crate) fn http(base: &str, key: String) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).user_agent("taghouse-cli").build().new_agent();
        Self { transport: Transport::Http { base: base.trim_end_matches('/').to_owned(), agent }, key }
    }

    /// `GET`, JSON back.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.json(Method::GET, path, None).await
    }

    /// `POST` of JSON, JSON back.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.json(Method::POST, path, Some(body)).await
    }

    /// `POST` of JSON, lines of JSON back, each given to `take` as it comes.
    pub(crate) async fn post_lines(&self, path: &str, body: &Value, take: &mut (dyn FnMut(Value) -> Result<()> + Send)) -> Result<()> {
        let mut lines = Lines { take, unfinished: Vec::new(), refused: None };
        let streamed = self.stream(Method::POST, path, Sent::Json(serde_json::to_vec(body)?), &mut lines).await;
        lines.refused.map_or(streamed, Err)
    }

    /// `DELETE`.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value> {
        self.json(Method::DELETE, path, None).await
    }

    async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let mut answer = Vec::new();
        self.stream(method, path, Sent::Json(body), &mut answer).await?;
        if answer.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&answer).context("the server's answer is not JSON") }
    }

    /// `PUT` of a file, read as it is sent.
    pub(crate) async fn put(&self, path: &str, file: std::fs::File) -> Result<()> {
        self.stream(Method::PUT, path, Sent::File(file), &mut Vec::new()).await
    }

    /// `GET` of a body of any size, written to `out` as it comes.
    pub(crate) async fn download(&self, path: &str, out: &mut (dyn Write + Send)) -> Result<()> {
        self.stream(Method::GET, path, Sent::Json(Vec::new()), out).await
    }

    async fn stream(&self, method: Method, path: &str, body: Sent, out: &mut (dyn Write + Send)) -> Result<()> {
        match &self.transport {
            Transport::InProcess(router) => {
                let request = Request::builder()
                    .method(method)
                    .uri(path)
                    .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
                    .header(header::CONTENT_TYPE, body.content_type())
                    .body(body.streamed())?;
                let response = router.clone().oneshot(request).await?;
                let status = response.status();
                let mut chunks = response.into_body().into_data_stream();
                let mut refusal = Vec::new();
                while let Some(chunk) = chunks.next().await {
                    let chunk = chunk?;
                    if status.is_success() { out.write_all(&chunk)? } else { refusal.extend_from_slice(&chunk) }
                }
                if status.is_success() { Ok(()) } else { Err(refused(status.as_u16(), &refusal)) }
            }
            Transport::Http { base, agent } => {
                let request = ureq::http::Request::builder()
                    .method(method.as_str())
                    .uri(format!("{base}{path}"))
                    .header("authorization", format!("Bearer {}", self.key))
                    .header("content-type", body.content_type());
                // The calls of one command follow one another, so blocking this thread holds nothing up.
                let answered = tokio::task::block_in_place(|| match body {
                    Sent::Json(bytes) => agent.run(request.body(bytes)?),
                    Sent::File(file) => agent.run(request.body(file)?),
                });
                let mut response =
                    answered.with_context(|| format!("calling {base}{path}: is the server running and the address right?"))?;
                let status = response.status();
                let mut reader = response.body_mut().as_reader();
                if status.is_success() {
                    tokio::task::block_in_place(|| std::io::copy(&mut reader, out))?;
                    return Ok(());
                }
                let mut refusal = Vec::new();
                reader.take(MAX_ANSWER_BYTES).read_to_end(&mut refusal)?;
                Err(refused(status.as_u16(), &refusal))
            }
        }
    }
}

/// Cuts a body in lines of JSON.
struct Lines<'a> {
    take: &'a mut (dyn FnMut(Value) -> Result<()> + Send),
    unfinished: Vec<u8>,
    /// Why the taker wants no more.
    refused: Option<anyhow::Error>,
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.unfinished.extend_from_slice(bytes);
        while let Some(end) = self.unfinished.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unfinished.drain(..=end).collect();
            if let Err(error) = (self.take)(serde_json::from_slice(&line)?) {
                self.refused = Some(error);
                return Err(std::io::Error::other("the answer is an error"));
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a request carries.
enum Sent {
    Json(Vec<u8>),
    File(std::fs::File),
}

impl Sent {
    fn content_type(&self) -> &'static str {
        match self {
            Self::Json(_) => "application/json",
            Self::File(_) => "application/octet-stream",
        }
    }

    fn streamed(self) -> Body {
        match self {
            Self::Json(bytes) => Body::from(bytes),
            Self::File(file) => Body::from_stream(futures::stream::try_unfold(file, |mut file| async move {
                let mut chunk = vec![0; CHUNK_BYTES];
                let read = tokio::task::block_in_place(|| file.read(&mut chunk))?;
                chunk.truncate(read);
                Ok::<_, std::io::Error>((read > 0).then_some((Bytes::from(chunk), file)))
            })),
        }
    }
}

/// What the API said, in its own words.
fn refused(status: u16, body: &[u8]) -> anyhow::Error {
    match serde_json::from_slice::<Value>(body) {
        Ok(problem) => match problem.get("detail").and_then(Value::as_str) {
            Some(detail) => anyhow!("{detail}"),
            None => anyhow!("the server answered {status}: {problem}"),
        },
        Err(_) => anyhow!("the server answered {status}: {}", String::from_utf8_lossy(body)),
    }
}

/// A text as a value in a URL's query.
pub(crate) fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The ids of the apps that the key may see.
pub(crate) async fn apps(client: &Client) -> Result<Vec<String>> {
    let answer = client.get("/api/v1/apps").await?;
    Ok(answer["apps"].as_array().into_iter().flatten().filter_map(|app| app["id"].as_str()).map(str::to_owned).collect())
}

/// The one app of the house, where none was named.
pub(crate) async fn only_app(client: &Client) -> Result<String> {
    match apps(client).await?.as_slice() {
        [one] => Ok(one.clone()),
        [] => bail!("there is no app yet: define one with `taghouse apply -f DIR`"),
        several => bail!("there are several apps ({}): name one with --app", several.join(", ")),
    }
}
