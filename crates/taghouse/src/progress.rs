//! A run followed to its end, under progress bars where standard error is a terminal.

use crate::client::Client;
use anyhow::{Result, bail};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;

/// How long one request for a run's state may wait for a change.
const WAIT_MS: u32 = 200;

/// A run that has ended.
pub(crate) struct Ended {
    /// The results of the tasks that succeeded, by task name.
    pub(crate) results: HashMap<String, Value>,
    /// Why the run did not succeed; `None`: it did.
    pub(crate) failure: Option<String>,
    /// What was left out although it succeeded.
    pub(crate) warnings: Vec<String>,
}

/// Tells the user what goes on, where the output of the command does not go.
#[allow(clippy::print_stderr, reason = "what a command tells its user")]
pub(crate) fn tell(line: &str) {
    eprintln!("{line}");
}

/// Waits for the run's end and gives the results of its tasks, by task name, and its warnings.
///
/// # Errors
/// The run did not succeed.
pub(crate) async fn follow(client: &Client, app: &str, run: &Value) -> Result<Ended> {
    let ended = follow_to_the_end(client, app, run).await?;
    match ended.failure {
        None => Ok(ended),
        Some(failure) => bail!("{failure}"),
    }
}

/// Waits for the run's end, whatever it is.
pub(crate) async fn follow_to_the_end(client: &Client, app: &str, run: &Value) -> Result<Ended> {
    let id = run["id"].as_str().unwrap_or_default().to_owned();
    let bars = MultiProgress::new();
    let mut shown: HashMap<String, ProgressBar> = HashMap::new();
    loop {
        let status = client.get(&format!("/api/v1/apps/{app}/runs/{id}?wait_ms={WAIT_MS}")).await?;
        for task in status["tasks"].as_array().into_iter().flatten() {
            draw(&bars, &mut shown, task);
        }
        match status["state"].as_str().unwrap_or_default() {
            "pending" | "running" => {}
            state => {
                bars.clear().ok();
                let failure = (!state.starts_with("succeeded")).then(|| format!("run {id} {state}: {}", failures(&status)));
                return Ok(Ended { results: results(&status), failure, warnings: warnings(&status) });
            }
        }
    }
}

fn draw(bars: &MultiProgress, shown: &mut HashMap<String, ProgressBar>, task: &Value) {
    let name = task["name"].as_str().unwrap_or_default();
    let state = task["state"].as_str().unwrap_or_default();
    if state == "pending" {
        return;
    }
    let bar = shown.entry(name.to_owned()).or_insert_with(|| {
        let bar = bars.add(ProgressBar::new(0));
        bar.set_style(style());
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    });
    bar.set_length(task["total"].as_u64().unwrap_or(0));
    bar.set_position(task["done"].as_u64().unwrap_or(0));
    bar.set_message(task["message"].as_str().unwrap_or_default().to_owned());
    if state != "running" && !bar.is_finished() {
        bar.finish();
    }
}

/// A bar for work that is no run.
pub(crate) fn bar(name: &str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_style(style()).with_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn style() -> ProgressStyle {
    // A template that does not parse falls back to the library's own bar.
    ProgressStyle::with_template("{prefix:24} {wide_bar} {human_pos:>11}/{human_len:<11} {elapsed:>4} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn results(status: &Value) -> HashMap<String, Value> {
    let tasks = status["tasks"].as_array().into_iter().flatten();
    let done = tasks.filter(|task| !task["result"].is_null());
    done.map(|task| (task["name"].as_str().unwrap_or_default().to_owned(), task["result"].clone())).collect()
}

fn warnings(status: &Value) -> Vec<String> {
    let tasks = status["tasks"].as_array().into_iter().flatten();
    tasks.flat_map(|task| task["warnings"].as_array().into_iter().flatten()).filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn failures(status: &Value) -> String {
    let tasks = status["tasks"].as_array().into_iter().flatten();
    let failed =
        tasks.filter_map(|task| task["error"].as_str().map(|error| format!("{}: {error}", task["name"].as_str().unwrap_or_default())));
    let text = failed.collect::<Vec<_>>().join("; ");
    if text.is_empty() { "it did not end well; see `taghouse runs`".to_owned() } else { text }
}
