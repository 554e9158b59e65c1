//! `taghouse serve`: the HTTP API on the data folder, and the landing of live calls beside it.

use crate::args::Serve;
use crate::listen;
use crate::lock::FolderLock;
use crate::rounds::{self, Round};
use crate::standing::DataFolder;
use anyhow::{Context, Result, anyhow};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use taghouse_api::House;
use taghouse_catalog::Role;
use taghouse_ingest::LandingTrigger;
use taghouse_users::Tidied;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long requests and landings may take to end after Ctrl-C, once the runs have ended.
const GRACE: Duration = Duration::from_secs(4);

/// How long all of it may take from the signal on. Longer than all the bounds below it together.
const AT_MOST: Duration = Duration::from_millis(9500);

/// How long the last lines of the audit trail may take.
const SETTLE: Duration = Duration::from_secs(1);

/// How often, at least, deleted users are erased from the files of the dictionary and of the crowds' versions, and abandoned uploads go.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// How often small files of the lake are looked for. A day of landings every ten seconds then has some dozens of files, not thousands.
const UPKEEP_EVERY: Duration = Duration::from_secs(60);

/// How often it is looked whether live calls are to land.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Serves until Ctrl-C or SIGTERM, or until the data folder is gone; `ready` is called once the port is open.
pub(crate) async fn serve(
    house: Arc<House>,
    lock: &mut FolderLock,
    local_key: &str,
    arguments: &Serve,
    ready: impl AsyncFnOnce(&House, std::net::SocketAddr) -> Result<()>,
) -> Result<()> {
    let connections = listen::connections(arguments.limits.max_connections, listen::raise_limit())?;
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("listening on {}: choose another address with --listen", arguments.listen))?;
    let address = listener.local_addr()?;
    let folder = DataFolder::of(lock.folder())?;
    lock.announce(address, local_key)?;
    if house.keys.is_empty() {
        let (_, secret) = house.make_key(Role::Admin, None, "made at first start".to_owned(), "serve").await?;
        print(&format!("admin key (shown this once, keep it safe): {secret}"));
    }
    let (stop, stopped) = watch::channel(false);
    let ending = CancellationToken::new();
    let mut background = in_background(&house, arguments, &stopped, &ending);
    house.crowds.refresh_in_background();
    ready(&house, address).await?;
    let router = taghouse_api::router(house.clone(), &arguments.web_origins);
    let mut server = tokio::spawn(listen::listen(listener, router, connections, arguments.limits.patience(), stopped.clone()));
    let lost = tokio::select! {
        interrupted = interrupted() => interrupted.map(|()| None)?,
        lost = folder.gone() => Some(lost),
        // It ends when it is told to, and not before.
        ended = &mut server => Some(anyhow!("nobody listens on {address} any more: {ended:?}")),
    };
    end_within(AT_MOST);
    stop.send(true).ok();
    ending.cancel();
    // Runs end first: requests may be waiting for them.
    house.scheduler.shut_down().await;
    // The last landing is not needed for safety: the log keeps what is not landed.
    let requests = async { if server.is_finished() { Ok(()) } else { tokio::time::timeout(GRACE, &mut server).await.map(drop) } };
    let background = async { while background.join_next().await.is_some() {} };
    let (requests, background) = tokio::join!(requests, tokio::time::timeout(GRACE, background));
    if requests.is_err() {
        server.abort();
        tracing::warn!("some requests did not end in {} s and were cut", GRACE.as_secs());
    }
    if tokio::time::timeout(SETTLE, house.settle_audit()).await.is_err() {
        tracing::warn!("the audit trail could not be written in {} s", SETTLE.as_secs());
    }
    if let Ok(Err(error)) = tokio::time::timeout(SETTLE, house.users.leave()).await {
        tracing::warn!(%error, "the next start looks at the last changes by hand once more");
    }
    if background.is_err() {
        tracing::warn!("a landing did not end in {} s and was cut; its calls stay in the log", GRACE.as_secs());
    }
    lost.map_or(Ok(()), Err)
}

/// What is done beside requests, until `stopped`.
fn in_background(house: &Arc<House>, arguments: &Serve, stopped: &watch::Receiver<bool>, ending: &CancellationToken) -> JoinSet<()> {
    let mut all = JoinSet::new();
    let land_every = Duration::from_secs_f64(arguments.land_every);
    let trigger = LandingTrigger::after(i64::try_from(land_every.as_millis()).unwrap_or(i64::MAX));
    let mut spawn = |name: &'static str, every: Duration, round: Round| {
        all.spawn_on(rounds::again(name, every, stopped.clone(), round), &house.background);
    };
    let (of, ending) = (house.clone(), ending.clone());
    spawn("landing", LOOK_EVERY.min(land_every / 4), Box::new(move || Box::pin(land(of.clone(), trigger, ending.clone()))));
    let of = house.clone();
    spawn("tidying", arguments.limits.sweep_every().min(TIDY_EVERY), Box::new(move || Box::pin(tidy(of.clone()))));
    // One that is broken off has changed nothing, so nobody waits for it.
    let of = house.clone();
    let keep = rounds::again("upkeep", UPKEEP_EVERY, stopped.clone(), Box::new(move || Box::pin(keep_small(of.clone()))));
    house.background.spawn(keep);
    all
}

/// Erases what deletions and callers left in files. What fails is tried again at the next turn: nobody is shown it meanwhile.
async fn tidy(house: Arc<House>) {
    if let Err(problem) = house.write_sums().await.and(house.prune_audit().await) {
        tracing::error!(detail = problem.detail, "the audit trail could not be written; it is tried again");
    }
    if let Err(error) = taghouse_api::sweep_uploads(&house).await {
        tracing::error!(%error, "an abandoned upload could not be removed");
    }
    match house.users.tidy().await {
        Ok(Tidied { ids: 0, versions: 0 }) => {}
        Ok(Tidied { ids, versions }) => {
            tracing::info!(ids, versions, "deleted users are erased from the dictionary's and the crowds' files")
        }
        Err(error) => tracing::error!(%error, "deleted users could not be erased from the files; it is tried again"),
    }
}

/// Lands live calls of every app that have waited long enough, or are enough. What fails is tried again; the log keeps it.
async fn land(house: Arc<House>, trigger: LandingTrigger, ending: CancellationToken) {
    if let Err(problem) = taghouse_api::land_due(&house, &trigger, &ending).await {
        tracing::error!(detail = problem.detail, "the apps whose calls are to land are not known; it is tried again");
    }
}

/// Keeps the lake small: small files joined, files that nothing names removed.
async fn keep_small(house: Arc<House>) {
    if let Err(problem) = taghouse_api::keep_small(&house).await {
        tracing::error!(detail = problem.detail, "the apps whose tables are to be kept small are not known; it is tried again");
    }
}

/// Ends the process after this time, whatever still holds it: a disk that does not answer, a computation that hears nothing. All that was
/// acknowledged is on disk, as at a crash.
fn end_within(time: Duration) {
    let ended = std::thread::Builder::new().name("end".to_owned()).spawn(move || {
        std::thread::sleep(time);
        tracing::error!(
            "something still held the process {} s after it was told to end: it ends now, and nothing is lost",
            time.as_secs_f64()
        );
        std::process::exit(1);
    });
    if let Err(error) = ended {
        tracing::warn!(%error, "nothing bounds how long the process takes to end");
    }
}

async fn interrupted() -> Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => Ok(result?),
        _ = terminated.recv() => Ok(()),
    }
}

/// Prints a line for the user. One that nobody reads any more is no error: what is done goes on.
pub(crate) fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}
