//! Exports in the audit trail: a line before the first byte, and one that says how much went out.

use crate::Problem;
use crate::access::{Action, Caller};
use crate::routes::app_in_part;
use crate::routes::users::subject;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http_body::Frame;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use taghouse_engine::{Act, DONE, Engine};

/// Puts an export between its two lines: what was asked for, and how much of it went out.
pub(crate) async fn audit_exports(
    State(engine): State<Arc<Engine>>,
    parameters: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let is_export = request
        .extensions()
        .get::<MatchedPath>()
        .is_some_and(|path| path.as_str().ends_with("/export"));
    let caller = request.extensions().get::<Caller>().cloned();
    let (true, Some(caller), Ok(parameters)) = (is_export, caller, parameters) else {
        return Ok(next.run(request).await);
    };
    let part = |wanted: &str| {
        parameters
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value.to_owned())
            .unwrap_or_default()
    };
    let app = app_in_part(&part("app"), &caller, Action::Read)?;
    let user = part("user");
    let asked = request.uri().query().map(|query| format!(" ({query})")).unwrap_or_default();
    // The trail outlives users, so their ids do not stand in it.
    let what = match user.is_empty() {
        true => format!("crowd {}{asked}", part("crowd")),
        false => subject(&[user]),
    };
    let act = engine.begin(&caller.id, &app, "export", &what).await?;
    let response = next.run(request).await;
    if !response.status().is_success() {
        act.ended(&format!("failed: {}", response.status()));
        return Ok(response);
    }
    Ok(response.map(|body| Body::new(Exported { body, bytes: 0, ended: false, act: Some(act) })))
}

/// The body of an export, which tells how it ended.
struct Exported {
    body: Body,
    bytes: u64,
    ended: bool,
    act: Option<Act>,
}

impl HttpBody for Exported {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(error)) => {
                let outcome = format!("failed after {} bytes: {error}", self.bytes);
                if let Some(act) = self.act.take() {
                    act.ended(&outcome);
                }
            }
            None => self.ended = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        let Some(act) = self.act.take() else { return };
        // A body that is dropped before its end had a reader who left.
        let whole = self.ended || self.body.is_end_stream();
        act.ended(&if whole {
            format!("{DONE}: {} bytes", self.bytes)
        } else {
            format!("interrupted: the caller left after {} bytes", self.bytes)
        });
    }
}
