//! `taghouse serve`: the HTTP API on the data folder, and the landing of live calls beside it.

use crate::args::Serve;
use crate::lock::FolderLock;
use anyhow::{Context, Result};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use taghouse_api::House;
use taghouse_catalog::Role;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long requests may take to end after Ctrl-C.
const GRACE: Duration = Duration::from_secs(10);

/// How often the text of deleted users is erased from the dictionary's files.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// Serves until Ctrl-C or SIGTERM; `ready` is called once the port is open.
pub(crate) async fn serve(
    house: Arc<House>,
    lock: &mut FolderLock,
    local_key: &str,
    arguments: &Serve,
    ready: impl AsyncFnOnce(&House, std::net::SocketAddr) -> Result<()>,
) -> Result<()> {
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("listening on {}: choose another address with --listen", arguments.listen))?;
    let address = listener.local_addr()?;
    lock.announce(address, local_key)?;
    if house.keys.is_empty() {
        let (_, secret) = house.make_key(Role::Admin, None, "made at first start".to_owned(), "serve").await?;
        print(&format!("admin key (shown this once, keep it safe): {secret}"));
    }
    let (stop, stopped) = watch::channel(false);
    let landing = tokio::spawn(land(house.clone(), Duration::from_secs_f64(arguments.land_every), stopped.clone()));
    let tidying = tokio::spawn(tidy(house.clone(), stopped.clone()));
    ready(&house, address).await?;
    let server = axum::serve(listener, taghouse_api::router(house.clone())).with_graceful_shutdown(until(stopped.clone()));
    let server = tokio::spawn(async move { server.await });
    interrupted().await?;
    stop.send(true).ok();
    // Runs end first: requests may be waiting for them.
    house.scheduler.shut_down().await;
    if tokio::time::timeout(GRACE, server).await.is_err() {
        tracing::warn!("some requests did not end in {} s and were cut", GRACE.as_secs());
    }
    // The last landing is not needed for safety: the log keeps what is not landed.
    landing.await.ok();
    tidying.await.ok();
    Ok(())
}

/// Erases what deletions left in files, again and again. What fails is tried again at the next turn: nobody is shown it meanwhile.
async fn tidy(house: Arc<House>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(TIDY_EVERY) => {}
            _ = stopped.changed() => return,
        }
        match house.users.tidy().await {
            Ok(0) => {}
            Ok(erased) => tracing::info!(erased, "the ids of deleted users are erased from the dictionary's files"),
            Err(error) => tracing::error!(%error, "deleted ids could not be erased from the dictionary's files; it is tried again"),
        }
    }
}

/// Lands live calls of every app, again and again. What fails is tried again at the next turn; the log keeps it.
async fn land(house: Arc<House>, every: Duration, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = stopped.changed() => return,
        }
        if let Err(problem) = taghouse_api::land_all(&house).await {
            tracing::error!(detail = problem.detail, "landing live calls failed; it is tried again");
        }
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        if stopped.changed().await.is_err() {
            return;
        }
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
