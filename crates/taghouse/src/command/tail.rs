//! `taghouse tail`

use super::Context;
use super::ask::plain;
use crate::args::Tail;
use crate::client::encode;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::io::Write;
use taghouse_wire::{CrowdEvent, FeedKind, FeedRecord};

/// Prints the records of the change feed as they come.
pub(crate) async fn tail(context: &Context, arguments: &Tail) -> Result<()> {
    let alone = context.client.is_in_process();
    if alone && arguments.from == "latest" {
        bail!(
            "no server runs on this data folder, so nothing changes: start `taghouse serve`, or show what happened with --from earliest"
        );
    }
    let follow = !arguments.no_follow && !alone;
    let mut query = format!("from={}&follow={follow}", encode(&arguments.from));
    for (name, values) in [("tag", &arguments.tag), ("crowd", &arguments.crowd)] {
        values.iter().for_each(|value| query += &format!("&{name}={}", encode(value)));
    }
    if let Some(limit) = arguments.limit {
        query += &format!("&limit={limit}");
    }
    let path = format!("{}?{query}", context.path("changes").await?);
    let mut printed = Printed::new(context.json);
    let ended = context.client.download(&path, &mut printed).await;
    if let Some(refused) = printed.refused {
        return Err(refused);
    }
    ended?;
    if follow && arguments.limit.is_none_or(|limit| printed.records < limit) {
        let from = printed.last.map_or_else(|| arguments.from.clone(), |id| id.to_string());
        bail!("the server ended the change feed: go on with --from {from}");
    }
    Ok(())
}

/// Server-sent events, printed as each is complete.
struct Printed {
    json: bool,
    unfinished: Vec<u8>,
    event: String,
    data: String,
    /// The last id that was told.
    last: Option<u64>,
    records: u64,
    /// The server's last word, or why an event cannot be shown.
    refused: Option<anyhow::Error>,
}

impl Printed {
    fn new(json: bool) -> Self {
        let (event, data) = (String::new(), String::new());
        let unfinished = Vec::new();
        Self { json, unfinished, event, data, last: None, records: 0, refused: None }
    }

    /// A line of an event; an empty one ends it.
    fn line(&mut self, line: &str) -> Result<()> {
        if line.is_empty() {
            let (event, data) = (std::mem::take(&mut self.event), std::mem::take(&mut self.data));
            return if data.is_empty() { Ok(()) } else { self.show(&event, &data) };
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => self.data += value,
            "id" => self.last = value.parse().ok().or(self.last),
            _ => {}
        }
        Ok(())
    }

    fn show(&mut self, event: &str, data: &str) -> Result<()> {
        if event == "error" {
            let problem: Value = serde_json::from_str(data).unwrap_or_default();
            bail!("{}", problem.get("detail").and_then(Value::as_str).unwrap_or(data));
        }
        let line = if self.json {
            data.to_owned()
        } else {
            let record = serde_json::from_str(data).context(
                "the server's answer is of another version than this program: use the same",
            )?;
            described(&record)
        };
        self.records += 1;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}")?;
        Ok(out.flush()?)
    }
}

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.unfinished.extend_from_slice(bytes);
        while let Some(end) = self.unfinished.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unfinished.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Err(error) = self.line(line.trim_end_matches(['\r', '\n'])) {
                self.refused = Some(error);
                return Err(std::io::Error::other("the change feed ended"));
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A line for people: its columns line up, whatever comes later.
fn described(record: &FeedRecord) -> String {
    let name = record.tag.as_deref().or(record.crowd.as_deref()).unwrap_or_default();
    let what = match (record.kind, record.event) {
        (FeedKind::Tag, _) => record
            .value
            .as_ref()
            .filter(|value| !value.is_null())
            .map_or("no value".to_owned(), plain),
        (FeedKind::TagPublished, _) => "all values computed again".to_owned(),
        (FeedKind::Crowd, Some(CrowdEvent::Exit)) => "exit".to_owned(),
        (FeedKind::Crowd, _) => "enter".to_owned(),
        (FeedKind::CrowdPublished, _) => "all members computed again".to_owned(),
        (FeedKind::UserDeleted, _) => "deleted".to_owned(),
    };
    let user = record.user.as_deref().unwrap_or_default();
    format!("{:>8}  {:<29}  {user:<20}  {name:<20}  {what}", record.id, record.as_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = ": alive\n\nid: 7\n: nothing more up to here\n\nevent: tag\nid: 8\ndata: {\"id\":8,\"kind\":\"tag\",\"user\":\"ann\",\"tag\":\"orders\",\"value\":3,\"as_of\":\"2026-07-01T00:00:00+00:00\",\"position\":5}\n\n";
        let mut printed = Printed::new(false);
        for byte in text.as_bytes() {
            printed.write_all(&[*byte]).unwrap();
        }
        assert_eq!((printed.records, printed.last), (1, Some(8)));
        let error = "event: error\ndata: {\"detail\":\"it is gone\"}\n\n";
        assert!(printed.write_all(error.as_bytes()).is_err());
        assert_eq!(printed.refused.unwrap().to_string(), "it is gone");
    }

    #[test]
    fn a_line_says_what_is_so_from_then_on() {
        let json = r#"{"id":8,"kind":"tag","user":"ann","tag":"orders","value":null,"as_of":"2026-07-01T00:00:00+00:00","position":5}"#;
        let line = described(&serde_json::from_str(json).unwrap());
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["8", "2026-07-01T00:00:00+00:00", "ann", "orders", "no", "value"]);
    }
}
