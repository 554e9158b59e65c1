//! The port: connections are accepted, counted, and closed when they are idle.
//!
//! Connections get half of the files that the process may open, so that files are left for tables,
//! segments and landings. At the limit, the connection that has been idle longest is closed for the
//! new one: a caller that only keeps its connections, or never ends the heads of its requests,
//! keeps nobody out. If every connection has a running request, the new one is answered 503 and
//! closed. There is no limit per peer address, because behind a proxy all callers have the same;
//! the concurrent calls of a caller are limited by its key.

mod activity;
mod connection;
mod files;
mod watched;

pub(crate) use activity::Patience;
pub(crate) use files::{connections, raise_limit};

use activity::Activity;
use axum::Router;
use parking_lot::{Mutex, MutexGuard};
use socket2::{SockRef, TcpKeepalive};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

/// When the kernel asks a silent peer whether it is there, how often then, and how many times in
/// vain.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;

/// How long a connection that makes room may take to go.
const ROOM: Duration = Duration::from_secs(1);
/// How long accepting waits after it failed, for want of files mostly.
const AGAIN: Duration = Duration::from_millis(50);
/// Refused connections that are held at one time until their callers have read why, and for how
/// long at most.
const REFUSED_AT_ONCE: usize = 16;
const REFUSED_FOR: Duration = Duration::from_millis(500);

const FULL: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 192\r\n\r\n{\"type\":\"unavailable\",\"status\":503,\"title\":\"Service Unavailable\",\"detail\":\"all connections that the server holds have a request that runs: try again, or raise --max-connections and its files\"}";

/// Connections that are open.
#[derive(Default)]
struct Open {
    next: u64,
    by_number: HashMap<u64, Arc<Activity>>,
}

type Shared = Arc<Mutex<Open>>;

fn held(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock()
}

/// A slot among the open connections, freed when dropped.
struct OpenSlot {
    open: Shared,
    number: u64,
    _permit: OwnedSemaphorePermit,
}

impl OpenSlot {
    fn take(open: &Shared, permit: OwnedSemaphorePermit, activity: &Arc<Activity>) -> Self {
        let mut all = held(open);
        let number = all.next;
        all.next += 1;
        all.by_number.insert(number, activity.clone());
        Self { open: open.clone(), number, _permit: permit }
    }
}

impl Drop for OpenSlot {
    fn drop(&mut self) {
        held(&self.open).by_number.remove(&self.number);
    }
}

/// Closes the connection that has been idle longest; false: there is none.
fn make_room(open: &Shared) -> bool {
    let mut all = held(open);
    let quietest =
        all.by_number.iter().filter_map(|(number, of)| Some((of.quiet_ms()?, *number))).max();
    // Out of the list at once, so that the next one in asks another.
    let Some(activity) = quietest.and_then(|(_, number)| all.by_number.remove(&number)) else {
        return false;
    };
    activity.evict();
    true
}

/// Takes connections in until `stopped`, and lets what runs end by itself; whoever waits for this
/// decides for how long.
pub(crate) async fn listen(
    listener: TcpListener,
    router: Router,
    connections: usize,
    patience: Patience,
    mut stopped: watch::Receiver<bool>,
) {
    let protocols = Arc::new(connection::protocols());
    let (open, places, refusals) = (
        Shared::default(),
        Arc::new(Semaphore::new(connections)),
        Arc::new(Semaphore::new(REFUSED_AT_ONCE)),
    );
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            () = connection::until(&mut stopped) => break,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) => {
                not_accepted(&error, &open).await;
                continue;
            }
        };
        let Some(permit) = place(&places, &open).await else {
            refuse(socket, &refusals);
            continue;
        };
        if let Err(error) = prepare(&socket) {
            tracing::debug!(%error, "a connection was gone before it was served");
            continue;
        }
        let activity = Arc::new(Activity::new());
        let place = OpenSlot::take(&open, permit, &activity);
        let (protocols, router, stopped) = (protocols.clone(), router.clone(), stopped.clone());
        tasks.spawn(async move {
            connection::serve(socket, &protocols, router, &activity, patience, stopped).await;
            drop(place);
        });
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

/// A caller that left before it was accepted is not an error. For other errors, mostly a lack of
/// files, an idle connection is closed and a moment passes, so that the loop neither ends nor
/// spins.
async fn not_accepted(error: &io::Error, open: &Shared) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    tracing::error!(%error, "a connection could not be accepted; it is tried again");
    make_room(open);
    tokio::time::sleep(AGAIN).await;
}

async fn place(places: &Arc<Semaphore>, open: &Shared) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = places.clone().try_acquire_owned() {
        return Some(permit);
    }
    if !make_room(open) {
        return None;
    }
    tokio::time::timeout(ROOM, places.clone().acquire_owned()).await.ok()?.ok()
}

/// Says why, and closes. What the caller sent meanwhile is read for a moment; otherwise the answer
/// would be lost.
fn refuse(mut socket: TcpStream, refusals: &Arc<Semaphore>) {
    let Ok(turn) = refusals.clone().try_acquire_owned() else { return };
    tokio::spawn(async move {
        let told = async {
            socket.writable().await?;
            socket.try_write(FULL.as_bytes())?;
            SockRef::from(&socket).shutdown(std::net::Shutdown::Write)?;
            let mut unread = [0; 1024];
            while socket.read(&mut unread).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        tokio::time::timeout(REFUSED_FOR, told).await.ok();
        drop(turn);
    });
}

/// Answers leave at once, and the kernel finds peers that are gone without a word.
fn prepare(socket: &TcpStream) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_nodelay(true)?;
    SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_a_whole_answer() {
        let (head, body) = FULL.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["status"], 503);
    }

    #[tokio::test]
    async fn the_quietest_connection_makes_room_and_a_busy_one_does_not() {
        let (open, places) = (Shared::default(), Arc::new(Semaphore::new(2)));
        let mut kept = Vec::new();
        for busy in [true, false] {
            let activity = Arc::new(Activity::new());
            if busy {
                activity.request_begins();
            }
            let permit = places.clone().try_acquire_owned().unwrap();
            kept.push((OpenSlot::take(&open, permit, &activity), activity));
        }
        assert!(make_room(&open));
        kept[1].1.evicted().await;
        assert!(!make_room(&open), "the other one has a request that runs");
    }
}
