//! `taghouse demo`: a shop generated, ingested, tagged, its crowds computed and printed, then
//! served.

use super::{Context, apply, ingest, produce};
use crate::args::Demo;
use crate::demo::{APP, AS_OF, DEFINITIONS, FILE_SOURCES, ShopOptions, generate};
use crate::serve::{print, serve};
use crate::table::thousands;
use crate::{Opened, progress};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;
use taghouse_api::Server;
use taghouse_catalog::{KeyTerms, Role};
use taghouse_model::AppId;
use taghouse_wire::TagList;

/// Days that the shop has been open.
const DAYS: u32 = 180;

/// Events a second on two cores, roughly: what a step says of its time.
const GENERATED_EACH_SECOND: u64 = 1_000_000;
const INGESTED_EACH_SECOND: u64 = 500_000;
const PRODUCED_EACH_SECOND: u64 = 500_000;

fn about(seconds: u64) -> String {
    format!("about {} s on two free cores", seconds.max(1))
}

/// Says what begins. Steps 1 and 2, set-up and build, are those of `scripts/demo.sh`.
fn step(number: u8, what: &str, takes: &str) {
    progress::tell(&format!("demo: {number} of 6: {what}: {takes}"));
}

/// Runs the demonstration. What an earlier run has done already is not done again.
pub(crate) async fn demo(
    opened: Opened<'_>,
    context: &Context,
    arguments: &Demo,
    data: &Path,
) -> Result<()> {
    let began = Instant::now();
    let options = ShopOptions {
        users: arguments.users,
        events: arguments.events,
        days: DAYS,
        seed: arguments.seed,
    };
    step(3, "generate the shop's files", &about(arguments.events / GENERATED_EACH_SECOND));
    let files = shop(data, &options)?;
    step(4, "ingest them into the lake", &about(arguments.events / INGESTED_EACH_SECOND));
    let definitions: Vec<(String, String)> =
        DEFINITIONS.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    apply::send(context, &definitions, apply::How::default()).await?;
    let mut new_files = 0;
    for source in FILE_SOURCES {
        let report = ingest::run(
            context,
            Some(source),
            std::slice::from_ref(&files),
            ingest::How::default(),
        )
        .await?;
        new_files += report.files_new;
        print(&format!("source {source}\n{}", ingest::describe(&report)));
    }
    let tags: TagList = context.client.get(&context.path("tags").await?).await?;
    if new_files == 0 && all_produced(&tags) {
        super::list::tags(context, None).await?;
        print("");
        super::list::crowds(context, None).await?;
    } else {
        step(5, "produce all tags and crowds", &about(arguments.events / PRODUCED_EACH_SECOND));
        let report = produce::run(context, Some(AS_OF), &[]).await?;
        print(&produce::describe(&report));
    }
    print(&format!("the demonstration took {:.1} s", began.elapsed().as_secs_f64()));
    if arguments.exit {
        opened.server.engine.scheduler.shut_down().await;
        opened.server.settle_audit().await;
        return Ok(());
    }
    step(6, "serve", "until Ctrl-C");
    let Opened { server, lock, local_key } = opened;
    serve(server, lock, &local_key, &arguments.serve, invite).await
}

/// Generates the shop's files, unless they are there.
fn shop(data: &Path, options: &ShopOptions) -> Result<PathBuf> {
    let folder = data.join("demo-files");
    let stamp_file = data.join("demo-files.json");
    let wanted = json!({"users": options.users, "events": options.events, "days": options.days, "seed": options.seed});
    if let Ok(text) = std::fs::read_to_string(&stamp_file) {
        let stamp: Value = serde_json::from_str(&text)
            .with_context(|| format!("reading {}", stamp_file.display()))?;
        if stamp["options"] != wanted {
            let folder = data.display();
            bail!(
                "{folder} holds a shop made with {}, not {wanted}: name another folder with --data, or delete it",
                stamp["options"]
            );
        }
        return Ok(folder);
    }
    // Files of a generation that was cut short are written again, the same bytes.
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let bar = progress::bar("generating");
    let summary = generate(&folder, options, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    print(&format!(
        "shop: {} users, {} events in {} files, {} MB, {} duplicated and {} spoilt lines",
        thousands(u64::from(summary.users)),
        thousands(summary.events),
        summary.files,
        summary.bytes >> 20,
        thousands(summary.duplicates),
        thousands(summary.damaged.total()),
    ));
    std::fs::write(
        &stamp_file,
        serde_json::to_vec_pretty(&json!({"options": wanted, "summary": summary}))?,
    )?;
    Ok(folder)
}

fn all_produced(tags: &TagList) -> bool {
    !tags.tags.is_empty() && tags.tags.iter().all(|tag| tag.as_of.is_some())
}

/// Makes a key for this demonstration and prints three calls that work as pasted.
async fn invite(server: &Server, address: std::net::SocketAddr) -> Result<()> {
    const NOTE: &str = "demonstration";
    let app = AppId::new(APP)?;
    let (_, secret) = server
        .make_key(Role::Admin, Some(app.clone()), NOTE.to_owned(), KeyTerms::default(), "demo")
        .await?;
    let user = server
        .engine
        .dictionary
        .resolve(&app, &[0])?
        .into_iter()
        .flatten()
        .next()
        .unwrap_or_else(|| "u1".to_owned());
    let api = format!("http://{address}/api/v1/apps/{APP}");
    print(&format!(
        "serving on http://{address} until Ctrl-C; try:\n\n\
         curl -s -u {secret}: {api}/crowds\n\
         curl -s -u {secret}: -G {api}/count --data-urlencode 'expression=country == \"DE\" && orders_30d >= 2'\n\
         curl -s -u {secret}: '{api}/judge?user={user}&crowd=big_spenders'\n"
    ));
    Ok(())
}
