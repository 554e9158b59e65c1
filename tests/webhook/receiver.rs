//! A receiver of webhooks: a small HTTP server in the test's own process, which checks every
//! signature by itself and answers as the test says.
#![allow(dead_code, unreachable_pub, reason = "a module of a test binary")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const SECRET: &str = "whsec_dGFnaG91c2Utd2ViaG9vay10ZXN0LXNlY3JldC0wMDE=";

/// A request as it came.
#[derive(Clone)]
pub struct Received {
    pub at: Instant,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// Of the answer; 0: there was none.
    pub status: u16,
}

impl Received {
    pub fn events(&self) -> Vec<Value> {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether a signature is that of the body, its id and its time.
    fn is_signed(&self, secret: &str) -> bool {
        let header = |name: &str| self.headers.get(name).cloned().unwrap_or_default();
        let (id, time) = (header("webhook-id"), header("webhook-timestamp"));
        let mut signed = format!("{id}.{time}.").into_bytes();
        signed.extend(&self.body);
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let expected = format!("v1,{}", STANDARD.encode(hmac(&key, &signed)));
        let age_s = now_s() - time.parse::<i64>().unwrap_or(0);
        !id.is_empty()
            && age_s.abs() < 60
            && header("webhook-signature").split(' ').any(|signature| signature == expected)
    }
}

/// Seconds since 1970, by the machine's clock: asked once, then counted.
fn now_s() -> i64 {
    static BEGAN: std::sync::OnceLock<(i64, Instant)> = std::sync::OnceLock::new();
    let (began_s, at) = BEGAN.get_or_init(|| {
        let output = std::process::Command::new("date").arg("+%s").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (text.trim().parse().unwrap(), Instant::now())
    });
    began_s + i64::try_from(at.elapsed().as_secs()).unwrap()
}

/// HMAC-SHA256 by its definition, RFC 2104: not by what signs.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |byte: u8| block.map(|own| own ^ byte);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

/// What a receiver answers.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub after: Duration,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new(), after: Duration::ZERO }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn saying(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    pub fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }
}

type Manner = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

/// Listens until it is stopped or dropped.
pub struct Receiver {
    address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    received: Arc<Mutex<Vec<Received>>>,
    running: Arc<AtomicBool>,
}

impl Receiver {
    /// One that takes everything, at a free port of loopback.
    pub fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap())
    }

    pub fn at(address: SocketAddr) -> Self {
        let manner: Manner = Arc::new(|_| Reply::status(200));
        let (manner, received) = (Arc::new(Mutex::new(manner)), Arc::default());
        let mut receiver = Self { address, manner, received, running: Arc::default() };
        receiver.resume();
        receiver
    }

    /// Answers so from now on.
    pub fn answers(&self, manner: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        *self.manner.lock().unwrap() = Arc::new(manner);
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The events of the requests that were taken, in the order of the answers.
    pub fn taken(&self) -> Vec<Value> {
        let taken = |request: &Received| (200..300).contains(&request.status);
        self.requests().iter().filter(|r| taken(r)).flat_map(Received::events).collect()
    }

    /// Ends all connections; whoever comes is refused.
    pub fn stop(&self) {
        self.running.store(false, Ordering::SeqCst);
        // The listener looks at that when somebody comes.
        _ = TcpStream::connect(self.address);
    }

    /// Listens again where it did.
    pub fn resume(&mut self) {
        let listener = listener(self.address);
        self.address = listener.local_addr().unwrap();
        self.running = Arc::new(AtomicBool::new(true));
        let (running, manner, received) =
            (self.running.clone(), self.manner.clone(), self.received.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                if !running.load(Ordering::SeqCst) {
                    break;
                }
                let (manner, received, running) =
                    (manner.clone(), received.clone(), running.clone());
                let socket = socket.unwrap();
                std::thread::spawn(move || {
                    while running.load(Ordering::SeqCst)
                        && serve(&socket, &manner, &received, &running).is_some()
                    {
                    }
                    _ = socket.shutdown(std::net::Shutdown::Both);
                });
            }
        });
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The port of one that has just been stopped may still be taken for a moment.
fn listener(address: SocketAddr) -> TcpListener {
    for _ in 0..100 {
        if let Ok(listener) = TcpListener::bind(address) {
            return listener;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    TcpListener::bind(address).unwrap()
}

/// One request of a connection; `None`: it has ended.
fn serve(
    socket: &TcpStream,
    manner: &Mutex<Manner>,
    received: &Mutex<Vec<Received>>,
    running: &AtomicBool,
) -> Option<()> {
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
    assert!(line.starts_with("POST /hook"), "{line}");
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let request = Received { at: Instant::now(), headers, body, status: 0 };
    assert!(request.is_signed(SECRET), "a request without a signature: {:?}", request.headers);
    let manner = manner.lock().unwrap().clone();
    let Reply { status, headers, body, after } = manner(&request);
    std::thread::sleep(after);
    if !running.load(Ordering::SeqCst) {
        return None;
    }
    // Before the answer: whoever has the answer finds the request.
    received.lock().unwrap().push(Received { status, ..request });
    let mut answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| answer += &format!("{name}: {value}\r\n"));
    answer += &format!("\r\n{body}");
    let mut socket = socket;
    socket.write_all(answer.as_bytes()).ok()
}
