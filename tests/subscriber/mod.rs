//! Follows a change feed in a thread of its own, and comes back with `Last-Event-ID` where the
//! connection ends, as a browser does.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone)]
pub struct Subscriber {
    /// Where the server is now; it ends with an empty one.
    base: Arc<Mutex<String>>,
    records: Arc<Mutex<Vec<Value>>>,
    connections: Arc<AtomicUsize>,
}

impl Subscriber {
    pub fn follow(base: &str, app: &str, key: &str, from: &str) -> Self {
        let base = Arc::new(Mutex::new(base.to_owned()));
        let subscriber = Self { base, records: Arc::default(), connections: Arc::default() };
        let (own, key) = (subscriber.clone(), key.to_owned());
        let path = format!("/api/v1/apps/{app}/changes?from={from}");
        std::thread::spawn(move || {
            let mut last = None;
            while Arc::strong_count(&own.records) > 1 {
                own.connected(&path, &key, &mut last);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        subscriber
    }

    /// The server is elsewhere.
    pub fn moved(&self, base: &str) {
        base.clone_into(&mut self.base.lock().unwrap());
    }

    pub fn base(&self) -> Arc<Mutex<String>> {
        self.base.clone()
    }

    pub fn records(&self) -> Vec<Value> {
        self.records.lock().unwrap().clone()
    }

    pub fn len(&self) -> usize {
        self.records.lock().unwrap().len()
    }

    /// How often it was connected.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    fn connected(&self, path: &str, key: &str, last: &mut Option<String>) {
        let base = self.base.lock().unwrap().clone();
        let mut request = ureq::get(format!("{base}{path}"))
            .header("authorization", format!("Bearer {key}"))
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", &*last);
        }
        let Ok(mut response) = request.call() else { return };
        self.connections.fetch_add(1, Ordering::Relaxed);
        // An event counts once it is complete.
        let (mut id, mut data) = (None, None);
        for line in BufReader::new(response.body_mut().as_reader()).lines() {
            let Ok(line) = line else { return };
            if let Some(value) = line.strip_prefix("id: ") {
                id = Some(value.to_owned());
            } else if let Some(value) = line.strip_prefix("data: ") {
                data = Some(serde_json::from_str(value).unwrap());
            } else if line.is_empty() {
                if let Some(record) = data.take() {
                    self.records.lock().unwrap().push(record);
                }
                if let Some(id) = id.take() {
                    *last = Some(id);
                }
            }
        }
    }
}

/// The records of an answer that has ended.
pub fn records(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// Whether a call was acknowledged.
pub fn posted(base: &Mutex<String>, path: &str, key: &str, body: &Value) -> bool {
    let base = base.lock().unwrap().clone();
    let request = ureq::post(format!("{base}{path}"))
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json");
    request.send(body.to_string()).is_ok_and(|response| response.status() == 200)
}
