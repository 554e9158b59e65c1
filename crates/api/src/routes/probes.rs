//! What an orchestrator asks: whether the process answers, and whether it can be asked.

use super::apps::{all_apps, sees, unwell};
use crate::access::{Caller, caller_of};
use crate::extract::Json;
use crate::problem::KeylessProblem;
use crate::{Problem, Server};
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use taghouse_engine::NotReady;
use taghouse_model::{AppId, ErrorKind};

/// How long all apps together may take to say whether they can be asked.
const APPS_WAIT: Duration = Duration::from_secs(2);

/// That all is well.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Probe {
    /// `ok`
    status: &'static str,
}

const OK: Probe = Probe { status: "ok" };

/// Whether the process answers. Says nothing of what it needs to answer with: a server whose catalog
/// fails lives, and starting it again does not help. Needs no key.
#[utoipa::path(get, path = "/livez", operation_id = "get_liveness", tag = "apps", security(()),
    responses((status = 200, description = "It answers.", body = Probe), KeylessProblem))]
pub(crate) async fn livez() -> Json<Probe> {
    Json(OK)
}

/// Whether the server can be asked: what it answers is not older than `--max-stale`, every app's
/// definitions can be read, and no app's live tags are still to get their first values. While the
/// catalog does not answer, what is known goes on to answer, until it is too old. Needs no key; details about an app are
/// only shown to a key that may read it.
#[utoipa::path(get, path = "/readyz", operation_id = "get_readiness", tag = "apps", security(()),
    responses((status = 200, description = "It can be asked.", body = Probe), KeylessProblem))]
pub(crate) async fn readyz(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
) -> Result<Json<Probe>, Problem> {
    readiness(&server, caller_of(&server, &headers).as_ref()).await?;
    Ok(Json(OK))
}

/// Why the server cannot be asked, told as far as a caller may know.
pub(crate) async fn readiness(server: &Server, caller: Option<&Caller>) -> Result<(), Problem> {
    let apps = match all_apps(&server.engine, caller).await {
        Ok(apps) => apps,
        // What is known goes on to answer: a server that is taken out for it answers nobody.
        Err(problem) => match server.engine.crowds.stalest_ms() {
            Some(age_ms) if age_ms <= max_stale_ms(server) => server.engine.crowds.apps(),
            _ => return Err(problem),
        },
    };
    let missing = tokio::time::timeout(APPS_WAIT, not_ready(server, &apps))
        .await
        .map_err(|_| unwell("the apps do not say in time whether they can be asked"))?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(refusal(&missing, caller))
}

fn max_stale_ms(server: &Server) -> u64 {
    u64::try_from(server.max_stale.as_millis()).unwrap_or(u64::MAX)
}

async fn not_ready(server: &Server, apps: &[AppId]) -> Vec<NotReady> {
    let max_ms = max_stale_ms(server);
    let mut missing = Vec::new();
    for app in apps {
        missing.extend(server.engine.not_ready(app).await);
        let age_ms = server.engine.live_age_ms(app);
        if age_ms > max_ms {
            let reason =
                format!("their values are {age_ms} ms old, and --max-stale is {max_ms} ms");
            let (app, reason) = (app.clone(), Some(reason));
            missing.push(NotReady { app, missing: "live tags are behind", reason });
        }
    }
    missing
}

/// What is missing: of the apps that the caller sees, or else in general.
fn refusal(missing: &[NotReady], caller: Option<&Caller>) -> Problem {
    let seen: Vec<String> = missing
        .iter()
        .filter(|not| sees(caller, &not.app))
        .map(|not| {
            let reason = not.reason.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            format!("app \"{}\": {}{reason}", not.app, not.missing)
        })
        .collect();
    if !seen.is_empty() {
        return Problem::new(ErrorKind::Unavailable, format!("not ready: {}", seen.join("; ")));
    }
    let kinds: BTreeSet<&str> = missing.iter().map(|not| not.missing).collect();
    let kinds: Vec<&str> = kinds.into_iter().collect();
    unwell(&format!("not ready: of some app, {}", kinds.join(", and ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use taghouse_catalog::{KeyRecord, KeyTerms, Role};

    #[test]
    fn who_may_not_read_an_app_is_told_neither_its_name_nor_its_errors() {
        let missing = [NotReady {
            app: AppId::new("shop").unwrap(),
            missing: "definitions cannot be read",
            reason: Some("disk full".to_owned()),
        }];
        let caller = |app: &str| {
            Caller::of(Arc::new(KeyRecord {
                id: "k".to_owned(),
                app: Some(AppId::new(app).unwrap()),
                role: Role::Viewer,
                secret_sha256: [0; 32],
                note: String::new(),
                created_ms: 1,
                revoked_ms: None,
                terms: KeyTerms::default(),
                used_ms: None,
            }))
        };
        let (own, other) = (caller("shop"), caller("other"));
        for (caller, is_told) in [(Some(&own), true), (Some(&other), false), (None, false)] {
            let said = refusal(&missing, caller);
            assert_eq!(said.status, 503);
            assert!(said.detail.contains("definitions cannot be read"), "{}", said.detail);
            assert_eq!(said.detail.contains("shop"), is_told, "{}", said.detail);
            assert_eq!(said.detail.contains("disk full"), is_told, "{}", said.detail);
        }
    }
}
