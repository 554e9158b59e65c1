//! Drives the real binary as a user would: commands in a folder of the test's own, and a server
//! over HTTP.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "a module of several test binaries")]
#![allow(clippy::zombie_processes, reason = "a server that did not start ends the test")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const TAGHOUSE: &str = env!("CARGO_BIN_EXE_taghouse");
/// Beside the data folder.
const SAID: &str = "serve.stderr";

/// An app `shop` whose users have a tag `orders`, from the source `people`.
pub const PEOPLE: &str = "
kind: app
id: shop
time_zone: UTC
---
kind: source
name: people
format: csv
user_id: user
attributes: { orders: { column: orders, type: int } }
---
{kind: tag, name: orders, type: int, attribute: orders}
";

/// A data folder that goes when the test ends.
pub struct House {
    folder: std::sync::Arc<tempfile::TempDir>,
    name: String,
}

impl House {
    pub fn new() -> Self {
        Self { folder: std::sync::Arc::new(tempfile::tempdir().unwrap()), name: "data".to_owned() }
    }

    /// Another data folder beside this one; it is not made.
    pub fn beside(&self, name: &str) -> Self {
        Self { folder: self.folder.clone(), name: name.to_owned() }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    /// Writes a file beside the data folder and gives its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(TAGHOUSE);
        for inherited in
            ["TAGHOUSE_CONFIG", "TAGHOUSE_DATA", "TAGHOUSE_APP", "TAGHOUSE_SERVER", "TAGHOUSE_KEY"]
        {
            command.env_remove(inherited);
        }
        command.arg("--data").arg(self.data()).args(arguments).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a command that must succeed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "taghouse {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, as JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.ok(&arguments)).unwrap()
    }

    /// What a command that must fail says.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "taghouse {arguments:?} should have failed");
        String::from_utf8(output.stderr).unwrap()
    }

    pub fn count(&self, expression: &str) -> u64 {
        self.ok(&["count", expression]).trim().parse().unwrap()
    }

    /// Ingests so many users of [`PEOPLE`]: `uN` has N orders.
    pub fn ingest_people(&self, users: usize) {
        let rows: String = (0..users).map(|n| format!("u{n},{n}\n")).collect();
        let file = self.file("in/people.csv", format!("user,orders\n{rows}"));
        self.ok(&["ingest", "--source", "people", file.to_str().unwrap()]);
    }

    /// Starts a server on a free port and waits until it serves.
    pub fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    /// The same, with more flags.
    pub fn serve_with(&self, more: &[&str]) -> Server {
        let land_every: &[&str] =
            if more.contains(&"--land-every") { &[] } else { &["--land-every", "0.1"] };
        let arguments: Vec<&str> = ["serve", "--listen", "127.0.0.1:0"]
            .iter()
            .chain(land_every)
            .chain(more)
            .copied()
            .collect();
        Server::start(self.command(&arguments), &self.path(SAID))
            .unwrap_or_else(|said| panic!("the server did not start: {said}"))
    }

    /// A server, or what it says instead of serving.
    pub fn try_serve(&self) -> Result<Server, String> {
        Server::start(
            self.command(&["serve", "--listen", "127.0.0.1:0", "--land-every", "0.1"]),
            &self.path(SAID),
        )
    }

    /// What the last server of this folder said on standard error.
    pub fn complaint(&self) -> String {
        std::fs::read_to_string(self.path(SAID)).unwrap()
    }

    /// The same, where the process may open so many files.
    pub fn serve_with_files(&self, files: u32, more: &[&str]) -> Server {
        self.serve_with_limit(&format!("ulimit -n {files}"), more)
    }

    /// The same, after a command of the shell that sets limits.
    pub fn serve_with_limit(&self, limit: &str, more: &[&str]) -> Server {
        let mut limited = Command::new("sh");
        let script = format!("{limit}; exec \"$@\"");
        let command = self.command(&["serve", "--listen", "127.0.0.1:0", "--land-every", "0.1"]);
        limited
            .args(["-c", &script, "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .args(more);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        limited.stdin(Stdio::null());
        Server::start(limited, &self.path(SAID))
            .unwrap_or_else(|said| panic!("the server did not start: {said}"))
    }
}

/// A running server; it is killed, not asked, when dropped.
pub struct Server {
    process: Child,
    pub base: String,
    /// Printed when the folder had no key yet.
    pub admin_key: Option<String>,
}

impl Server {
    /// What it says on standard error goes to a file: nobody reads a pipe that a server with much
    /// to say would fill.
    fn start(mut command: Command, said: &Path) -> Result<Self, String> {
        let stderr = std::fs::File::create(said).unwrap();
        let mut process = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut admin_key = None;
        let mut output = BufReader::new(process.stdout.take().unwrap());
        loop {
            let mut line = String::new();
            if output.read_line(&mut line).unwrap() == 0 {
                process.wait().unwrap();
                return Err(std::fs::read_to_string(said).unwrap());
            }
            if let Some((_, key)) = line.trim().split_once("keep it safe): ") {
                admin_key = Some(key.to_owned());
            }
            if let Some((_, address)) = line.trim().split_once("serving on ") {
                return Ok(Server { process, base: address.to_owned(), admin_key });
            }
        }
    }

    /// A server of a command that says everything itself, or what it says instead of serving.
    pub fn of(command: Command, said: &Path) -> Result<Self, String> {
        Self::start(command, said)
    }

    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// SIGTERM, and the time until the process has ended.
    pub fn terminate(&mut self) -> std::time::Duration {
        let began = std::time::Instant::now();
        assert!(
            Command::new("kill")
                .args(["-TERM", &self.pid().to_string()])
                .status()
                .unwrap()
                .success()
        );
        self.process.wait().unwrap();
        began.elapsed()
    }
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub retry_after: Option<String>,
    headers: Box<ureq::http::HeaderMap>,
    pub body: Vec<u8>,
}

/// The longest answer that a test takes.
const MAX_BODY_BYTES: u64 = 256 << 20;

impl Answer {
    pub fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().unwrap().to_owned())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Server {
    pub fn call(
        &self,
        method: &str,
        path: &str,
        authorization: Option<&str>,
        body: &[u8],
    ) -> Answer {
        self.call_with(method, path, authorization, &[("content-type", "application/json")], body)
    }

    pub fn call_with(
        &self,
        method: &str,
        path: &str,
        authorization: Option<&str>,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = agent.run(request.body(body.to_vec()).unwrap()).unwrap();
        let content_type = response
            .headers()
            .get("content-type")
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default();
        let retry_after =
            response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let headers = Box::new(response.headers().clone());
        let body = response.body_mut().with_config().limit(MAX_BODY_BYTES).read_to_vec().unwrap();
        Answer { status: response.status().as_u16(), content_type, retry_after, headers, body }
    }

    pub fn get(&self, path: &str, key: &str) -> Answer {
        self.call("GET", path, Some(&format!("Bearer {key}")), b"")
    }

    pub fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.call("POST", path, Some(&format!("Bearer {key}")), body.to_string().as_bytes())
    }

    /// A run of the app `corner`, once it has ended.
    pub fn run_ended(&self, id: &str, key: &str) -> Value {
        eventually("the end of a run", || {
            let run = self.get(&format!("/api/v1/apps/corner/runs/{id}?wait_ms=20000"), key).json();
            (run["state"].as_str()? != "running").then_some(run)
        })
    }

    /// The status of a request of which the server sees only the head: it refuses a body too large
    /// before that has come.
    pub fn status_of_head(
        &self,
        method: &str,
        path: &str,
        authorization: &str,
        length: u64,
    ) -> u16 {
        let mut socket =
            std::net::TcpStream::connect(self.base.trim_start_matches("http://")).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: {length}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).unwrap();
        String::from_utf8(answer.to_vec())
            .unwrap()
            .strip_prefix("HTTP/1.1 ")
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Whether it ended well, once it has ended.
    pub fn ended(&mut self) -> Option<bool> {
        self.process.try_wait().unwrap().map(|status| status.success())
    }

    /// `kill -9`
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// The folder of the small shop's definitions.
pub fn shop_definitions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/shop")
}

/// Waits until a condition holds: for at most two minutes, for the machine may be busy with other
/// things.
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_secs(120) {
        if let Some(found) = check() {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{what} did not come about in two minutes");
}
