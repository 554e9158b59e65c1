//! Who may call, how many at a time, and until when.

use crate::access::{Admitted, admitted, key_of};
use crate::gates::Lane;
use crate::refusals::Asked;
use crate::{Problem, Server};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use std::time::Duration;
use taghouse_model::ErrorKind;
use tonic::{Code, Status};

/// The header in which a caller says how long it waits.
const TIMEOUT: &str = "grpc-timeout";

/// Lets a caller with a known key pass, if the key is below its limit of judgments. What is not
/// answered by the caller's deadline is given up.
pub(super) async fn pass(
    State(server): State<Arc<Server>>,
    mut request: Request,
    next: Next,
) -> Response {
    let asked = Asked::of(&request);
    let patience = match patience(request.headers()) {
        Ok(patience) => patience,
        Err(problem) => return refused(problem),
    };
    let key = key_of(request.headers());
    let caller = match key.and_then(|key| admitted(&server, &key, &asked)) {
        Ok(Admitted { caller, .. }) => caller,
        Err(problem) => return refused(problem),
    };
    let _place = match server.gates.enter(&caller.id, Lane::Judgment) {
        Ok(place) => place,
        Err(problem) => return refused(problem),
    };
    request.extensions_mut().insert(caller.clone());
    let response = within(patience, next.run(request)).await;
    let said = response.extensions().get::<Status>().map(Status::code);
    if said == Some(Code::PermissionDenied) {
        server.refused(&caller, &asked);
    }
    response
}

/// The answer, unless the caller waits no longer.
async fn within(patience: Option<Duration>, answered: impl Future<Output = Response>) -> Response {
    let Some(patience) = patience else { return answered.await };
    tokio::time::timeout(patience, answered).await.unwrap_or_else(|_| {
        let ms = patience.as_secs_f64() * 1000.0;
        let detail = format!("there was no answer within the {ms} ms that the caller waits");
        Status::deadline_exceeded(detail).into_http()
    })
}

fn refused(problem: Problem) -> Response {
    Status::from(problem).into_http()
}

/// How long the caller waits: at most eight digits and a unit.
///
/// Source: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.
fn patience(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let Some(given) = headers.get(TIMEOUT) else { return Ok(None) };
    let wrong = || {
        let detail =
            format!("the header {TIMEOUT} must be up to 8 digits and one of H, M, S, m, u, n");
        Problem::new(ErrorKind::Invalid, detail)
    };
    let text = given.to_str().map_err(|_| wrong())?;
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| is_number).ok_or_else(wrong)?;
    let patience = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return Err(wrong()),
    };
    Ok(Some(patience))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_late_is_given_up() {
        let code = |response: &Response| response.extensions().get::<Status>().map(Status::code);
        let late = within(Some(Duration::from_millis(5)), std::future::pending()).await;
        assert_eq!(code(&late), Some(Code::DeadlineExceeded));
        for patience in [None, Some(Duration::from_secs(60))] {
            let answered = within(patience, async { Response::default() }).await;
            assert_eq!(code(&answered), None);
        }
    }

    #[test]
    fn a_deadline_is_digits_and_a_unit() {
        for (text, ms) in [
            ("1H", Some(3_600_000)),
            ("2M", Some(120_000)),
            ("3S", Some(3_000)),
            ("99999999m", Some(99_999_999)),
            ("5000u", Some(5)),
            ("7000000n", Some(7)),
            ("", None),
            ("m", None),
            ("1", None),
            ("+1S", None),
            ("123456789S", None),
            ("1s", None),
        ] {
            let headers: HeaderMap =
                [(TIMEOUT.parse().unwrap(), text.parse().unwrap())].into_iter().collect();
            let read = patience(&headers).ok().flatten().map(|read| read.as_millis());
            assert_eq!(read, ms, "{text}");
        }
        assert_eq!(patience(&HeaderMap::new()).unwrap(), None);
    }
}
