//! Errors of flags, in the form of OFREP: a code that providers know, and words.

use crate::Problem;
use crate::problem::SaidOtherwise;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::collections::BTreeMap;
use taghouse_wire::FlagFailure;
use utoipa::openapi::{self, ContentBuilder, Ref, RefOr, ResponseBuilder};

/// The name of the description in `components.responses`.
const COMPONENT: &str = "FlagFailure";

/// Statuses that are told as the protocol says; it leaves the form of others open.
const TOLD: [u16; 4] = [400, 404, 500, 503];

/// Why a flag was not evaluated.
#[derive(Debug)]
pub(crate) enum FlagError {
    /// As the protocol says.
    Failure { status: u16, failure: FlagFailure },
    /// What has to do with the call, not with flags.
    Problem(Problem),
}

impl FlagError {
    /// A problem of a call for a flag; `None`: for all flags.
    pub(crate) fn of(problem: Problem, key: Option<&str>) -> Self {
        if TOLD.contains(&problem.status) {
            let (key, error_code) = (key.map(str::to_owned), "GENERAL".into());
            let failure = FlagFailure { key, error_code, error_details: problem.detail };
            Self::Failure { status: problem.status, failure }
        } else {
            Self::Problem(problem)
        }
    }

    /// A request that is wrong.
    pub(crate) fn refused(code: &'static str, key: Option<&str>, details: String) -> Self {
        let (key, error_code) = (key.map(str::to_owned), code.into());
        Self::Failure {
            status: 400,
            failure: FlagFailure { key, error_code, error_details: details },
        }
    }

    /// There is no such flag.
    pub(crate) fn not_found(key: &str, details: String) -> Self {
        let (key, error_code) = (Some(key.to_owned()), "FLAG_NOT_FOUND".into());
        Self::Failure {
            status: 404,
            failure: FlagFailure { key, error_code, error_details: details },
        }
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Failure { failure, .. } => Some(&failure.error_code),
            Self::Problem(_) => None,
        }
    }
}

impl IntoResponse for FlagError {
    fn into_response(self) -> Response {
        let (status, failure) = match self {
            Self::Problem(problem) => return problem.into_response(),
            Self::Failure { status, failure } => (status, failure),
        };
        if status >= 500 {
            tracing::error!(status, detail = failure.error_details, "request failed");
        }
        let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (code, axum::Json(failure)).into_response();
        response.extensions_mut().insert(SaidOtherwise);
        if status == 503 {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// The errors of routes of flags.
pub(crate) struct FlagProblem;

impl utoipa::IntoResponses for FlagProblem {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let mut responses = <Problem as utoipa::IntoResponses>::responses();
        for status in TOLD {
            let told = RefOr::Ref(Ref::from_response_name(COMPONENT));
            responses.insert(status.to_string(), told);
        }
        responses
    }
}

/// The description, for `components.responses`.
pub(crate) fn description() -> (String, RefOr<openapi::Response>) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("FlagFailure"))).build();
    let about = "The flag could not be evaluated, in the form of OFREP.";
    let response =
        ResponseBuilder::new().description(about).content("application/json", content).build();
    (COMPONENT.to_owned(), response.into())
}
