//! Measurements that need our rooms in process, one a sub-command; `bench/run.py` calls them and sets each beside its peer.
#![allow(clippy::print_stdout, reason = "the answer is one JSON object on standard output")]

mod nested_count;

use anyhow::{Context, bail};
use std::path::Path;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let answer = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["nested-count", folder, users] => {
            nested_count::run(Path::new(folder), users.parse().context("the number of users is not a number")?).await?
        }
        _ => bail!("usage: taghouse-bench nested-count FOLDER USERS"),
    };
    println!("{answer}");
    Ok(())
}
