//! Measurements that need our crates in process, one a sub-command; `bench/run.py` calls them and
//! sets each beside its peer.
#![allow(clippy::print_stdout, reason = "the answer is one JSON object on standard output")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod build;
mod crowd_spec;
mod dense_floor;
mod dictionary;
mod grpc;
mod landing;
mod live;
mod load;
mod member;
mod nested_count;
mod nested_set;
mod open;
mod overlap;
mod points;
mod published;
mod range;
mod scenario;
mod snapshot;
mod stream;
mod timing;
mod which_crowds;

use anyhow::{Context, bail};
use crowd_spec::Spec;
use std::path::Path;

/// As the server's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let answer = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["nested-count", folder, users] => {
            nested_count::run(
                Path::new(folder),
                users.parse().context("the number of users is not a number")?,
            )
            .await?
        }
        ["crowd", name, spec, ref rest @ ..] => {
            crowd(name, &Spec::read(Path::new(spec))?, rest).await?
        }
        ["snapshot", folder] => snapshot::run(Path::new(folder)).await?,
        ["which-crowds", folder, crowds] => {
            let crowds = crowds.parse().context("the number of crowds is not a number")?;
            which_crowds::run(Path::new(folder), crowds).await?
        }
        ["grpc", url, key, app, users, crowds, at_once] => {
            let at_once = at_once.parse().context("the number of users at once is not a number")?;
            grpc::run(url, key, app, users, crowds, at_once).await?
        }
        ["stream", name, ref rest @ ..] => stream::run(name, rest).await?,
        ["dictionary", folder, ids] => dictionary::run(
            Path::new(folder),
            ids.parse().context("the number of ids is not a number")?,
        )?,
        ["lake-landing", folder, landings] => {
            landing::run(
                Path::new(folder),
                landings.parse().context("the number of landings is not a number")?,
            )
            .await?
        }
        _ => bail!(
            "usage: taghouse-bench nested-count FOLDER USERS | crowd NAME SPEC FOLDER… | snapshot FOLDER | dictionary FOLDER IDS | lake-landing FOLDER LANDINGS | grpc URL KEY APP USERS CROWDS AT_ONCE | which-crowds FOLDER CROWDS | stream NAME FOLDER…"
        ),
    };
    println!("{answer}");
    Ok(())
}

async fn crowd(name: &str, spec: &Spec, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
    let folders: Vec<&Path> = arguments.iter().map(Path::new).collect();
    match (name, &folders[..]) {
        ("points", [folder]) => points::write(spec, folder),
        ("build", [points, folder]) => build::run(spec, points, folder).await,
        ("load", [folder]) => load::run(spec, folder),
        ("live", [folder, copy]) => live::run(spec, folder, copy).await,
        ("open", [folder, dictionary]) => open::run(spec, folder, dictionary).await,
        ("nested", [folder]) => nested_set::run(spec, folder).await,
        ("dense5", [folder]) => dense_floor::run(spec, folder).await,
        ("scenario", [folder]) => scenario::run(spec, folder).await,
        ("range", [folder]) => range::run(spec, folder).await,
        ("overlap", [folder]) => overlap::run(spec, folder).await,
        ("member", [folder]) => member::run(spec, folder).await,
        _ => bail!("no measurement {name} of {} arguments", arguments.len()),
    }
}
