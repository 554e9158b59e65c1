//! Every command is a client of the HTTP API. With no server there, the same router answers in this
//! process, so a command has one implementation and means the same in both cases.

use anyhow::{Result, anyhow, bail};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Method, Request, header};
use futures::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;
use taghouse_wire::AppList;
use tower::ServiceExt;

/// The maximum size of a JSON answer.
const MAX_ANSWER_BYTES: u64 = 256 << 20;

/// How many bytes of a file are read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// How often a call is sent if its connection breaks before the answer, and repeating it is safe.
const TRIES: u32 = 4;
/// How long it waits before the second try, twice as long before the third, and so on.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The API, near or far.
pub(crate) struct Client {
    transport: Transport,
    key: String,
}

enum Transport {
    InProcess(Router),
    Http(Box<Remote>),
}

impl Client {
    /// The router of this process.
    pub(crate) fn in_process(router: Router, key: String) -> Self {
        Self { transport: Transport::InProcess(router), key }
    }

    /// A server at `base`, such as `http://127.0.0.1:7700`.
    pub(crate) fn http(base: &str, key: String) -> Self {
        let config =
            || ureq::Agent::config_builder().http_status_as_error(false).user_agent("taghouse-cli");
        let asking = config().build().new_agent();
        let changing = config().max_idle_connections(0).build().new_agent();
        Self {
            transport: Transport::Http(Box::new(Remote {
                base: base.trim_end_matches('/').to_owned(),
                asking,
                changing,
            })),
            key,
        }
    }

    /// Whether there is no server, so that nothing happens beside this command.
    pub(crate) fn is_in_process(&self) -> bool {
        matches!(self.transport, Transport::InProcess(_))
    }

    /// `GET`, JSON back.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.json(Method::GET, path, Vec::new(), Again::Harmless).await
    }

    /// `POST` of JSON that changes or starts something, JSON back.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        self.json(Method::POST, path, serde_json::to_vec(body)?, Again::Never).await
    }

    /// `PUT` or `DELETE` of a thing that has no content, JSON back: doing it twice does no harm.
    pub(crate) async fn mark<T: DeserializeOwned>(&self, path: &str, is_there: bool) -> Result<T> {
        let method = if is_there { Method::PUT } else { Method::DELETE };
        self.json(method, path, Vec::new(), Again::Harmless).await
    }

    /// `POST` of a question, JSON back.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        self.json(Method::POST, path, serde_json::to_vec(body)?, Again::Harmless).await
    }

    /// `POST` of a question, lines of JSON back, each given to `take` as it comes.
    pub(crate) async fn post_lines<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        take: &mut Taker<'_, T>,
    ) -> Result<()> {
        let mut lines = Lines { take, unfinished: Vec::new(), refused: None };
        let streamed = self
            .stream(
                Method::POST,
                path,
                Sent::Json(serde_json::to_vec(body)?),
                Again::Harmless,
                &mut lines,
            )
            .await;
        lines.refused.map_or(streamed, Err)
    }

    /// `DELETE`.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        self.stream(Method::DELETE, path, Sent::Json(Vec::new()), Again::Never, &mut Vec::new())
            .await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        again: Again,
    ) -> Result<T> {
        let mut answer = Vec::new();
        self.stream(method, path, Sent::Json(body), again, &mut answer).await?;
        let read = serde_json::from_slice(if answer.is_empty() { b"null" } else { &answer });
        read.map_err(|error| match error.classify() {
            Category::Data => anyhow!("the server's answer is of another version than this program ({error}): use the same"),
            _ => anyhow!(error).context("the server's answer is not JSON"),
        })
    }

    /// `PUT` of a file, read as it is sent.
    pub(crate) async fn put(&self, path: &str, file: std::fs::File) -> Result<()> {
        self.stream(Method::PUT, path, Sent::File(file), Again::NameTaken, &mut Vec::new()).await
    }

    /// `GET` of a body of any size, written to `out` as it comes.
    pub(crate) async fn download(&self, path: &str, out: &mut (dyn Write + Send)) -> Result<()> {
        self.stream(Method::GET, path, Sent::Json(Vec::new()), Again::Harmless, out).await
    }

    async fn stream(
        &self,
        method: Method,
        path: &str,
        body: Sent,
        again: Again,
        out: &mut (dyn Write + Send),
    ) -> Result<()> {
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
                    if status.is_success() {
                        out.write_all(&chunk)?
                    } else {
                        refusal.extend_from_slice(&chunk)
                    }
                }
                if status.is_success() { Ok(()) } else { Err(refused(status.as_u16(), &refusal)) }
            }
            // The calls of one command follow one another, so blocking this thread holds nothing
            // up.
            Transport::Http(remote) => tokio::task::block_in_place(|| {
                let call = RemoteCall { method: &method, path, key: &self.key, body: &body, again };
                remote.call(call, out)
            }),
        }
    }
}

/// Whether a call may be repeated if its connection breaks before the answer. A server closes idle
/// connections at any time, also at the moment when the next call is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// It changes nothing.
    Harmless,
    /// It changes something once: a file that is there already was sent whole by the try before.
    NameTaken,
    /// The server may have done it. Such a call goes out on a connection of its own, which no
    /// server closes for its age.
    Never,
}

/// One call of a server.
#[derive(Clone, Copy)]
struct RemoteCall<'a> {
    method: &'a Method,
    path: &'a str,
    key: &'a str,
    body: &'a Sent,
    again: Again,
}

/// A server on this machine or another.
struct Remote {
    base: String,
    /// Keeps connections open between calls.
    asking: ureq::Agent,
    /// Opens a connection for each call.
    changing: ureq::Agent,
}

impl Remote {
    fn call(&self, call: RemoteCall<'_>, out: &mut (dyn Write + Send)) -> Result<()> {
        let RemoteCall { path, again, .. } = call;
        let base = &self.base;
        let mut tried = 1;
        let mut response = loop {
            match self.send(call) {
                Ok(response) => break response,
                Err(error) if broke(&error) && again != Again::Never && tried < TRIES => {
                    tracing::info!(%error, path, tried, "the connection broke before an answer came; the call is sent again");
                    std::thread::sleep(AGAIN_AFTER * (1 << (tried - 1)));
                    tried += 1;
                }
                Err(error) if broke(&error) && again == Again::Never => {
                    let why = format!(
                        "calling {base}{path}: the connection broke before an answer came, so it may have been done or not: look first (`taghouse runs`, `taghouse audit`)"
                    );
                    return Err(anyhow::Error::new(error).context(why));
                }
                Err(error) => {
                    return Err(anyhow::Error::new(error).context(format!(
                        "calling {base}{path}: is the server running and the address right?"
                    )));
                }
            }
        };
        let status = response.status();
        if again == Again::NameTaken && tried > 1 && status.as_u16() == 409 {
            return Ok(());
        }
        let mut reader = response.body_mut().as_reader();
        if status.is_success() {
            std::io::copy(&mut reader, out)?;
            return Ok(());
        }
        let mut refusal = Vec::new();
        reader.take(MAX_ANSWER_BYTES).read_to_end(&mut refusal)?;
        Err(refused(status.as_u16(), &refusal))
    }

    fn send(&self, call: RemoteCall<'_>) -> Result<Response, ureq::Error> {
        let RemoteCall { method, path, key, body, again } = call;
        let request = ureq::http::Request::builder()
            .method(method.as_str())
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", body.content_type());
        let agent = if again == Again::Harmless { &self.asking } else { &self.changing };
        match body {
            Sent::Json(bytes) => agent.run(request.body(bytes.as_slice())?),
            Sent::File(file) => {
                let mut file = file.try_clone()?;
                // The one before may have been sent in part.
                file.seek(SeekFrom::Start(0))?;
                agent.run(request.body(file)?)
            }
        }
    }
}

type Response = ureq::http::Response<ureq::Body>;

/// Whether an established connection broke.
fn broke(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error {
        ureq::Error::Io(error) => {
            matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
        }
        _ => false,
    }
}

/// Receives each line of an answer as it arrives.
pub(crate) type Taker<'a, T> = dyn FnMut(T) -> Result<()> + Send + 'a;

/// Divides a body into lines of JSON.
struct Lines<'a, 'b, T> {
    take: &'a mut Taker<'b, T>,
    unfinished: Vec<u8>,
    /// Why the taker wants no more.
    refused: Option<anyhow::Error>,
}

impl<T: DeserializeOwned> Write for Lines<'_, '_, T> {
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

/// The body of a request.
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
            Self::File(file) => {
                Body::from_stream(futures::stream::try_unfold(file, |mut file| async move {
                    let mut chunk = vec![0; CHUNK_BYTES];
                    let read = tokio::task::block_in_place(|| file.read(&mut chunk))?;
                    chunk.truncate(read);
                    Ok::<_, std::io::Error>((read > 0).then_some((Bytes::from(chunk), file)))
                }))
            }
        }
    }
}

/// The error message of the API.
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
    let answer: AppList = client.get("/api/v1/apps").await?;
    Ok(answer.apps.into_iter().map(|app| app.id).collect())
}

/// The only app of the data folder, if none was named.
pub(crate) async fn only_app(client: &Client) -> Result<String> {
    match apps(client).await?.as_slice() {
        [one] => Ok(one.clone()),
        [] => bail!("there is no app yet: define one with `taghouse apply -f DIR`"),
        several => bail!("there are several apps ({}): name one with --app", several.join(", ")),
    }
}

#[cfg(test)]
mod tests;
