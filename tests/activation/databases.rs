//! Databases of a test's own.
#![allow(dead_code, unreachable_pub, reason = "a module of a test binary")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A database that stops when it is dropped.
pub struct Database {
    script: &'static str,
    folder: tempfile::TempDir,
    /// A socket, or the folder of one.
    pub socket: String,
}

impl Database {
    pub fn redis() -> Self {
        Self::start("scripts/redis.sh")
    }

    pub fn postgres() -> Self {
        Self::start("scripts/postgres.sh")
    }

    fn start(script: &'static str) -> Self {
        let folder = tempfile::Builder::new().prefix("db-").tempdir().unwrap();
        let mut database = Self { script, folder, socket: String::new() };
        database.resume();
        database
    }

    fn script(&self, action: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let output = Command::new(root.join(self.script))
            .arg(action)
            .arg(self.folder.path())
            .env("TAGHOUSE_POSTGRES_BUFFERS", "32MB")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{} {action}: {said}", self.script);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn stop(&self) {
        self.script("stop");
    }

    pub fn resume(&mut self) {
        self.socket = self.script("start");
    }

    /// What `redis-cli` prints, a line for each.
    pub fn redis_cli(&self, arguments: &[&str]) -> Vec<String> {
        let mut command = Command::new("redis-cli");
        command.args(["-s", &self.socket]).args(arguments);
        lines(command)
    }

    /// What `psql` prints: a line for each row, `|` between columns.
    pub fn psql(&self, sql: &str) -> Vec<String> {
        let mut command = Command::new("psql");
        command.env("PGHOST", &self.socket).args(["-U", "bench", "-Atc", sql]);
        lines(command)
    }

    pub fn redis_url(&self) -> String {
        format!("redis+unix://{}", self.socket)
    }

    pub fn postgres_url(&self) -> String {
        format!("postgresql://bench@localhost/bench?host={}", self.socket)
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

fn lines(mut command: Command) -> Vec<String> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

impl Drop for Database {
    fn drop(&mut self) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut stop = Command::new(root.join(self.script));
        stop.arg("stop").arg(self.folder.path()).status().ok();
        // Of PostgreSQL it is elsewhere: root's folders are closed to its user.
        if Path::new(&self.socket).is_dir() {
            std::fs::remove_dir_all(&self.socket).ok();
        }
    }
}
