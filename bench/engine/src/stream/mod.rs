//! The group `stream`: live tags from the log to the index and the feed, by a clock that is set.

mod catch_up;
mod crowds;
mod markers;
mod midnight;
mod node;
mod play;
mod restart;
mod rows;
mod state_bytes;
mod tags;
mod traffic;
mod visible;
mod write;

use anyhow::bail;
use serde_json::Value as Json;
use std::path::Path;
use traffic::Traffic;

/// `write FOLDER TRAFFIC` fills a log, `catch-up FOLDER TRAFFIC BUDGET_MIB TAIL` takes it in, and
/// is killed with the last TAIL records in the log alone unless that is 0; then `restart FOLDER
/// TRAFFIC BUDGET_MIB` begins again, after a day where `late` is. `rows FOLDER TRAFFIC BUDGET_MIB`
/// is the stream without the log and the lake, and so is `state-bytes FOLDER TRAFFIC`. `visible FOLDER TRAFFIC PER_S` and `crowds FOLDER TRAFFIC PER_S CROWDS` begin with an empty folder,
/// `midnight FOLDER TRAFFIC PER_S` with the log of one day.
pub(crate) async fn run(name: &str, arguments: &[&str]) -> anyhow::Result<Json> {
    match (name, arguments) {
        ("write", [folder, traffic]) => {
            write::run(Path::new(folder), &Traffic::parse(traffic)?).await
        }
        ("catch-up", [folder, traffic, budget, tail]) => {
            let traffic = Traffic::parse(traffic)?;
            catch_up::run(Path::new(folder), &traffic, budget.parse()?, tail.parse()?).await
        }
        ("restart", [folder, traffic, budget]) => {
            restart::run(Path::new(folder), &Traffic::parse(traffic)?, budget.parse()?).await
        }
        ("late", [folder, traffic, budget]) => {
            restart::late(Path::new(folder), &Traffic::parse(traffic)?, budget.parse()?).await
        }
        ("state-bytes", [folder, traffic]) => {
            state_bytes::run(Path::new(folder), &Traffic::parse(traffic)?).await
        }
        ("rows", [folder, traffic, budget]) => {
            rows::run(Path::new(folder), &Traffic::parse(traffic)?, budget.parse()?).await
        }
        ("visible", [folder, traffic, per_s]) => {
            visible::run(Path::new(folder), &Traffic::parse(traffic)?, per_s.parse()?).await
        }
        ("crowds", [folder, traffic, per_s, crowds]) => {
            let (folder, traffic) = (Path::new(folder), Traffic::parse(traffic)?);
            crowds::run(folder, &traffic, per_s.parse()?, crowds.parse()?).await
        }
        ("midnight", [folder, traffic, per_s]) => {
            midnight::run(Path::new(folder), &Traffic::parse(traffic)?, per_s.parse()?).await
        }
        _ => bail!("no measurement {name} of {} arguments", arguments.len()),
    }
}
