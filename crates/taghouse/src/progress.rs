//! Follows a run to its end, with progress bars if standard error is a terminal.

use crate::client::Client;
use anyhow::{Result, bail};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::HashMap;
use std::time::Duration;
use taghouse_wire::{RunBody, TaskBody, TaskResult};

/// How long one request for a run's state may wait for a change.
const WAIT_MS: u32 = 200;

/// The message about a run without a report.
pub(crate) const NO_REPORT: &str = "the run has no report; see `taghouse runs`";

/// A run that has ended.
pub(crate) struct Ended {
    /// What the tasks left behind that succeeded.
    pub(crate) reports: Vec<TaskResult>,
    /// Why the run did not succeed; `None`: it did.
    pub(crate) failure: Option<String>,
    /// What was left out although it succeeded.
    pub(crate) warnings: Vec<String>,
}

/// Prints a message to standard error, apart from the output of the command.
#[allow(clippy::print_stderr, reason = "what a command tells its user")]
pub(crate) fn tell(line: &str) {
    eprintln!("{line}");
}

/// Waits for the run's end and gives what its tasks left behind, and its warnings.
///
/// # Errors
/// The run did not succeed.
pub(crate) async fn follow(client: &Client, app: &str, run: &str) -> Result<Ended> {
    let ended = follow_to_the_end(client, app, run).await?;
    match ended.failure {
        None => Ok(ended),
        Some(failure) => bail!("{failure}"),
    }
}

/// Waits for the run's end, whatever it is.
pub(crate) async fn follow_to_the_end(client: &Client, app: &str, run: &str) -> Result<Ended> {
    let bars = MultiProgress::new();
    let mut shown: HashMap<String, ProgressBar> = HashMap::new();
    loop {
        let status: RunBody =
            client.get(&format!("/api/v1/apps/{app}/runs/{run}?wait_ms={WAIT_MS}")).await?;
        for task in &status.tasks {
            draw(&bars, &mut shown, task);
        }
        if status.has_ended() {
            bars.clear().ok();
            let failure = (!status.has_succeeded())
                .then(|| format!("run {run} {}: {}", status.state, failures(&status)));
            let reports = status.tasks.iter().filter_map(TaskBody::report).collect();
            return Ok(Ended {
                reports,
                failure,
                warnings: status.tasks.into_iter().flat_map(|task| task.warnings).collect(),
            });
        }
    }
}

fn draw(bars: &MultiProgress, shown: &mut HashMap<String, ProgressBar>, task: &TaskBody) {
    if task.state == "pending" {
        return;
    }
    let bar = shown.entry(task.name.clone()).or_insert_with(|| {
        let bar = bars.add(ProgressBar::new(0));
        bar.set_style(style());
        bar.set_prefix(task.name.clone());
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    });
    bar.set_length(task.total);
    bar.set_position(task.done);
    bar.set_message(task.message.clone());
    if task.state != "running" && !bar.is_finished() {
        bar.finish();
    }
}

/// A bar for work that is not a run.
pub(crate) fn bar(name: &str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_style(style()).with_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn style() -> ProgressStyle {
    // A template that does not parse falls back to the library's own bar.
    ProgressStyle::with_template(
        "{prefix:24} {wide_bar} {human_pos:>11}/{human_len:<11} {elapsed:>4} {msg}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn failures(run: &RunBody) -> String {
    let failed = run
        .tasks
        .iter()
        .filter_map(|task| task.error.as_ref().map(|error| format!("{}: {error}", task.name)));
    let text = failed.collect::<Vec<_>>().join("; ");
    if text.is_empty() { "it did not end well; see `taghouse runs`".to_owned() } else { text }
}
