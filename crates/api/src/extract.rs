//! What handlers take from a request. axum's own extractors answer wrong input with plain text; these answer with problem details.

use crate::Problem;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use taghouse_model::ErrorKind;

/// A JSON body, in or out.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// The path's parts.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(crate) struct Path<T>(pub(crate) T);

/// The query's parts.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(crate) struct Query<T>(pub(crate) T);

fn problem(status: StatusCode, detail: String) -> Problem {
    if status == StatusCode::PAYLOAD_TOO_LARGE { Problem::too_large(detail) } else { Problem::new(ErrorKind::Invalid, detail) }
}

macro_rules! from_rejection {
    ($($rejection:ty),+) => {
        $(impl From<$rejection> for Problem {
            fn from(rejection: $rejection) -> Self {
                problem(rejection.status(), rejection.body_text())
            }
        })+
    };
}

from_rejection!(JsonRejection, PathRejection, QueryRejection, BytesRejection);
