//! Calls that are carried out to the end even if the caller leaves.

use crate::Problem;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use taghouse_model::ErrorKind;

/// Answers a call in a task of its own. A request is dropped when its caller leaves; between a
/// commit and what this process remembers of it, that would leave a revoked key working, old
/// definitions in force, or a run in the catalog that nobody runs.
pub(crate) async fn to_the_end(request: Request, next: Next) -> Result<Response, Problem> {
    let answered = tokio::spawn(next.run(request)).await;
    answered.map_err(|error| {
        Problem::new(ErrorKind::Internal, format!("internal error: the call failed: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::routing::post;
    use axum::{Router, middleware};
    use std::sync::Arc;
    use tokio::sync::{Notify, mpsc};
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_caller_who_leaves_breaks_nothing_off() {
        let (committed, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (done, mut steps) = mpsc::unbounded_channel();
        let (reached, go_on) = (committed.clone(), leave.clone());
        let handler = async move || {
            done.send("committed").unwrap();
            reached.notify_one();
            go_on.notified().await;
            done.send("remembered").unwrap();
        };
        let router = Router::new().route("/", post(handler)).layer(middleware::from_fn(to_the_end));
        let request = Request::builder().method("POST").uri("/").body(Body::empty()).unwrap();
        let calling = tokio::spawn(router.oneshot(request));
        committed.notified().await;
        calling.abort();
        assert!(calling.await.unwrap_err().is_cancelled());
        leave.notify_one();
        assert_eq!(
            (steps.recv().await, steps.recv().await),
            (Some("committed"), Some("remembered"))
        );
    }
}
