//! Problems as gRPC tells them.

use crate::Problem;
use tonic::{Code, Status};

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let code = code(problem.status);
        if problem.status >= 500 {
            tracing::error!(status = problem.status, detail = problem.detail, "request failed");
        }
        Self::new(code, problem.detail)
    }
}

fn code(status: u16) -> Code {
    match status {
        400 | 415 | 422 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::Aborted,
        408 => Code::DeadlineExceeded,
        413 | 429 => Code::ResourceExhausted,
        503 => Code::Unavailable,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use taghouse_model::ErrorKind;

    #[test]
    fn each_kind_of_problem_has_its_code() {
        for (kind, expected) in [
            (ErrorKind::Invalid, Code::InvalidArgument),
            (ErrorKind::NotFound, Code::NotFound),
            (ErrorKind::Conflict, Code::Aborted),
            (ErrorKind::Denied, Code::PermissionDenied),
            (ErrorKind::Unavailable, Code::Unavailable),
            (ErrorKind::Corrupt, Code::Internal),
            (ErrorKind::Internal, Code::Internal),
        ] {
            let status = Status::from(Problem::new(kind, "why"));
            assert_eq!((status.code(), status.message()), (expected, "why"), "{kind:?}");
        }
        let status = Status::from(Problem::unauthenticated("no key"));
        assert_eq!(status.code(), Code::Unauthenticated);
    }
}
