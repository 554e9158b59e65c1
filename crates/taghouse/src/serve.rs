//! `taghouse serve`: the HTTP API on the data folder, and the background work beside it.

use crate::args::Serve;
use crate::listen;
use crate::lock::FolderLock;
use crate::standing::DataFolder;
use anyhow::{Context, Result, anyhow};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use taghouse_api::Server;
use taghouse_catalog::{KeyTerms, Role};
use taghouse_engine::{Pace, Rounds};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long requests and landings may take to end after Ctrl-C, once the runs have ended.
const GRACE: Duration = Duration::from_secs(4);

/// How long the whole shutdown may take. Longer than all its time limits together.
const AT_MOST: Duration = Duration::from_millis(9500);

/// How long the last lines of the audit trail may take.
const SETTLE: Duration = Duration::from_secs(1);

/// Serves until Ctrl-C or SIGTERM, or until the data folder is gone; `ready` is called once the
/// port is open.
pub(crate) async fn serve(
    server: Arc<Server>,
    lock: &mut FolderLock,
    local_key: &str,
    arguments: &Serve,
    ready: impl AsyncFnOnce(&Server, std::net::SocketAddr) -> Result<()>,
) -> Result<()> {
    let connections = listen::connections(arguments.limits.max_connections, listen::raise_limit())?;
    let listener = TcpListener::bind(arguments.listen).await.with_context(|| {
        format!("listening on {}: choose another address with --listen", arguments.listen)
    })?;
    let address = listener.local_addr()?;
    let folder = DataFolder::of(lock.folder())?;
    lock.announce(address, local_key)?;
    if server.keys.is_empty() {
        let (_, secret) = server
            .make_key(
                Role::Admin,
                None,
                "made at first start".to_owned(),
                KeyTerms::default(),
                "serve",
            )
            .await?;
        print(&format!("admin key (shown this once, keep it safe): {secret}"));
    }

    let (stop, stopped) = watch::channel(false);
    let ending = CancellationToken::new();
    let rounds = rounds(&server, arguments, &ending);
    server.engine.crowds.refresh_in_background();
    ready(&server, address).await?;

    let router = taghouse_api::router(server.clone(), &arguments.web_origins);
    let mut listening = tokio::spawn(listen::listen(
        listener,
        router,
        connections,
        arguments.limits.patience(),
        stopped.clone(),
    ));
    let problem = tokio::select! {
        interrupted = interrupted() => interrupted.map(|()| None)?,
        lost = folder.gone() => Some(lost),
        // It ends when it is told to, and not before.
        ended = &mut listening => Some(anyhow!("nobody listens on {address} any more: {ended:?}")),
    };

    end_within(AT_MOST);
    stop.send(true).ok();
    // Who follows the change feed, flags or the health would keep the connection.
    server.engine.feeds.end_readers();
    server.end_streams();
    ending.cancel();
    shut_down(&server, listening, rounds).await;
    problem.map_or(Ok(()), Err)
}

/// Lets everything under way end, each within its time limit. The listener and the rounds have been
/// told to stop.
async fn shut_down<T>(server: &Server, mut listening: JoinHandle<T>, mut rounds: Rounds) {
    let engine = &server.engine;
    // Runs end first: requests may be waiting for them.
    engine.scheduler.shut_down().await;

    // The last landing is not needed for safety: the log keeps what is not landed.
    let requests = async {
        if listening.is_finished() {
            Ok(())
        } else {
            tokio::time::timeout(GRACE, &mut listening).await.map(drop)
        }
    };
    let (requests, rounds) = tokio::join!(requests, tokio::time::timeout(GRACE, rounds.ended()));
    if requests.is_err() {
        listening.abort();
        tracing::warn!("some requests did not end in {} s and were cut", GRACE.as_secs());
    }

    if tokio::time::timeout(SETTLE, server.settle_audit()).await.is_err() {
        tracing::warn!("the audit trail could not be written in {} s", SETTLE.as_secs());
    }
    if tokio::time::timeout(SETTLE, engine.feeds.leave()).await.is_err() {
        tracing::warn!("the change feed could not be written in {} s", SETTLE.as_secs());
    }
    if let Ok(Err(error)) = tokio::time::timeout(SETTLE, engine.users.leave()).await {
        tracing::warn!(%error, "the next start checks the last changes by hand once more");
    }
    if rounds.is_err() {
        tracing::warn!(
            "a landing did not end in {} s and was cut; its calls stay in the log",
            GRACE.as_secs()
        );
    }
}

/// The background work beside requests, until it is told to stop.
fn rounds(server: &Arc<Server>, arguments: &Serve, stop: &CancellationToken) -> Rounds {
    let pace = Pace {
        land_every: Duration::from_secs_f64(arguments.land_every),
        tidy_every: arguments.limits.sweep_every(),
        parity_every: (arguments.parity_every > 0.0)
            .then(|| Duration::from_secs_f64(arguments.parity_every)),
    };
    let mut rounds = Rounds::begin(&server.engine, pace, stop);
    let of = server.clone();
    rounds.tidy(
        "tidying of what callers left",
        Box::new(move || {
            let server = of.clone();
            Box::pin(async move { server.tidy().await })
        }),
    );
    rounds
}

/// Ends the process after this time, whatever still keeps it: a disk that does not answer, or a
/// computation that cannot be cancelled. All that was acknowledged is on disk, as at a crash.
fn end_within(time: Duration) {
    let ended = std::thread::Builder::new().name("end".to_owned()).spawn(move || {
        std::thread::sleep(time);
        tracing::error!(
            "the process was still busy {} s after it was told to end: it ends now, and nothing is lost",
            time.as_secs_f64()
        );
        std::process::exit(1);
    });
    if let Err(error) = ended {
        tracing::warn!(%error, "the time that the process takes to end is not limited");
    }
}

async fn interrupted() -> Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => Ok(result?),
        _ = terminated.recv() => Ok(()),
    }
}

/// Prints a line for the user. It is not an error if nobody reads it any more: the work goes on.
pub(crate) fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}
