//! One connection, until its caller, its timers or the server's end close it.

use super::activity::{Activity, Patience, Verdict};
use super::watched::{Answer, Paced, Running, Watched};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower::ServiceExt;

/// Requests of one HTTP/2 connection at one time.
const STREAMS: u32 = 128;
/// How often an HTTP/2 peer is asked whether it is there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);
/// Bytes of all headers of an HTTP/2 request.
const HEADER_BYTES: u32 = 32 << 10;
/// Bytes of a request's head, and of what is read or written ahead.
const BUFFER_BYTES: usize = 64 << 10;
/// How long a connection that was told to leave may take without a request.
const LEAVING: Duration = Duration::from_millis(500);

pub(super) type Protocols = auto::Builder<TokioExecutor>;

/// HTTP/1 and HTTP/2 as every connection speaks them.
pub(super) fn protocols() -> Protocols {
    let mut protocols = auto::Builder::new(TokioExecutor::new());
    // Heads and idle connections have timers of ours: this one would close idle ones after the time
    // that a head may take.
    protocols.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(BUFFER_BYTES);
    protocols
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES);
    protocols
}

/// Serves one connection to its end.
pub(super) async fn serve(
    socket: TcpStream,
    protocols: &Protocols,
    router: Router,
    activity: &Arc<Activity>,
    patience: Patience,
    mut stopped: watch::Receiver<bool>,
) {
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let running = Running::new(activity.clone());
        let request = request.map(|body| Body::new(Paced::new(body, patience.body)));
        let answered = router.clone().oneshot(request);
        async move {
            let response = answered.await.unwrap_or_else(|never: Infallible| match never {});
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, running)))
        }
    });
    let mut connection = pin!(
        protocols.serve_connection(TokioIo::new(Watched::new(socket, activity.clone())), service)
    );
    let mut leaving = false;
    let mut tick = tick(&patience);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection failed");
                }
                return;
            }
            () = tokio::time::sleep(tick) => {
                let verdict = activity.verdict(activity.now_ms(), &patience);
                if leaving && activity.is_quiet() {
                    return;
                }
                match verdict {
                    Verdict::Stays => continue,
                    Verdict::SlowHead | Verdict::Unread => {
                        tracing::debug!(?verdict, "a connection is cut");
                        return;
                    }
                    Verdict::Idle => {}
                }
            }
            () = activity.evicted() => {
                if activity.is_quiet() {
                    return;
                }
            }
            () = until(&mut stopped), if !leaving => {}
        }
        leaving = true;
        tick = tick.min(LEAVING);
        connection.as_mut().graceful_shutdown();
    }
}

/// How often a connection's timers are looked at.
fn tick(patience: &Patience) -> Duration {
    let least = patience.head.min(patience.idle).min(patience.write);
    (least / 4).clamp(Duration::from_millis(20), Duration::from_secs(5))
}

pub(super) async fn until(stopped: &mut watch::Receiver<bool>) {
    // Where the sender is gone, the server ends too.
    stopped.wait_for(|stopped| *stopped).await.ok();
}
