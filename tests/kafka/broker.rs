//! A broker of the test's own, and another program's client beside it.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

/// A broker; it is killed when dropped.
pub(crate) struct Broker {
    folder: tempfile::TempDir,
    port: u16,
    python: PathBuf,
    login: Option<Login>,
    /// The folder of its certificate, if clients must use TLS.
    tls: Option<tempfile::TempDir>,
}

/// What clients of a broker log in with.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A port that is free, and the one after it. Below those that the system gives to connections: one
/// of these, to the broker while it is down or to another server, would take its place.
fn two_free_ports() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    for _ in 0..5_000 {
        let number = TRIED.fetch_add(1, Ordering::Relaxed);
        let place = (std::process::id() % 5_000) as u16 * 7 + number;
        let port = 20_000 + place % 5_000 * 2;
        if is_free(port) && is_free(port + 1) {
            return port;
        }
    }
    panic!("no two free ports side by side");
}

/// All in PEM.
pub(crate) struct Certified {
    key_and_certificate: String,
    pub(crate) authority: String,
}

/// A certificate for this name, and that of the authority that vouches for it.
pub(crate) fn certified(name: &str) -> Certified {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // One of the same name as what it signs would look as if that signed itself.
    authority.distinguished_name.push(DnType::CommonName, "authority");
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    Certified { key_and_certificate: key.serialize_pem() + &certificate.pem(), authority: pem }
}

impl Broker {
    pub(crate) fn start(python: PathBuf, login: Option<Login>) -> Self {
        Self::with(python, login, None)
    }

    /// With a certificate of an authority of its own.
    pub(crate) fn with_certificate(python: PathBuf, login: Option<Login>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let Certified { key_and_certificate, authority } = certified("127.0.0.1");
        std::fs::write(folder.path().join("broker.pem"), key_and_certificate).unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority).unwrap();
        Self::with(python, login, Some(folder))
    }

    fn with(python: PathBuf, login: Option<Login>, tls: Option<tempfile::TempDir>) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), two_free_ports());
        let broker = Self { folder, port, python, login, tls };
        broker.go_on();
        broker
    }

    /// Path of its authority's certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.tls.as_ref().expect("it has a certificate").path().join("ca.pem")
    }

    fn script(&self, arguments: &[&str]) {
        let mut command = Command::new(repository("scripts/kafka.sh"));
        command.arg(arguments[0]).arg(self.folder.path()).args(&arguments[1..]);
        command.env("KAFKA_PORT", self.port.to_string());
        self.log_in(&mut command);
        let ended = command.stdin(Stdio::null()).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }

    fn log_in(&self, command: &mut Command) {
        command.env_remove("KAFKA_USER").env_remove("KAFKA_PASSWORD");
        if let Some(Login { user, password }) = &self.login {
            command.env("KAFKA_USER", user).env("KAFKA_PASSWORD", password);
        }
        command.env_remove("KAFKA_TLS");
        if let Some(tls) = &self.tls {
            command.env("KAFKA_TLS", tls.path());
        }
    }

    /// Starts it again, with what it holds.
    pub(crate) fn go_on(&self) {
        self.script(&["start"]);
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&self) {
        self.script(&["stop", "KILL"]);
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(repository("tests/kafka/cluster.py")).arg(self.address()).args(arguments);
        self.log_in(&mut command);
        command.stdin(Stdio::null());
        command
    }

    fn ask(&self, arguments: &[&str]) -> String {
        let ended = self.client(arguments).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap()
    }

    pub(crate) fn create(&self, topic: &str, partitions: u32) {
        self.ask(&["create", topic, &partitions.to_string()]);
    }

    pub(crate) fn delete(&self, topic: &str) {
        self.ask(&["delete", topic]);
    }

    /// Writes records, and returns when they are acknowledged.
    pub(crate) fn send(&self, topic: &str, records: &[Value]) {
        let sent = self.sending(topic, records, "0").wait_with_output().unwrap();
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    }

    /// Writes records while something else goes on, with a pause in seconds between two.
    pub(crate) fn sending(&self, topic: &str, records: &[Value], pause: &str) -> Child {
        let file = self.folder.path().join(format!("{topic}-{}.jsonl", records.len()));
        let mut lines = std::fs::File::create(&file).unwrap();
        for record in records {
            writeln!(lines, "{record}").unwrap();
        }
        let input = std::fs::File::open(&file).unwrap();
        self.client(&["send", topic, pause]).stdin(input).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// All records of a topic.
    pub(crate) fn read(&self, topic: &str) -> Vec<Value> {
        self.ask(&["read", topic]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What a group has committed, by partition.
    pub(crate) fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        serde_json::from_str(&self.ask(&["committed", group, topic])).unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let mut stop = Command::new(repository("scripts/kafka.sh"));
        stop.arg("stop").arg(self.folder.path()).arg("KILL").status().ok();
    }
}
