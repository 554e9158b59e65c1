//! What a key and its app may have, and have.

use super::App;
use super::keys::MAX_GRANTS;
use super::track::MAX_BYTES as MAX_CALL_BYTES;
use super::uploads::MAX_FILE_BYTES;
use crate::access::Caller;
use crate::extract::{Json, Path};
use crate::rate::Left;
use crate::router::MAX_BODY_BYTES;
use crate::{Problem, Server};
use axum::Extension;
use axum::extract::State;
use std::sync::Arc;
use taghouse_crowd::{
    MAX_COMPARED_TAGS, MAX_GROUPS, MAX_JUDGED_CROWDS, MAX_JUDGED_EXPRESSIONS, MAX_JUDGED_USERS,
    MAX_OVERLAP_ITEMS, MAX_PAGE, MAX_SAMPLE, MAX_TOP,
};
use taghouse_model::AppId;
use taghouse_rules::{MAX_EXPRESSION_BYTES, MAX_LISTED_IDS};
use taghouse_wire::{LimitBody, LimitList};

/// The limits of this key and of its app, with what is used of each. Each key may ask.
#[utoipa::path(get, path = "/apps/{app}/limits", operation_id = "get_limits", tag = "apps", params(App),
    responses((status = 200, description = "The limits.", body = LimitList), Problem))]
pub(crate) async fn get(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    left: Option<Extension<Left>>,
    Path(app): Path<App>,
) -> Result<Json<LimitList>, Problem> {
    let app = app.known_to(&caller)?;
    let definitions = server.engine.definitions(&app).await?;
    let mut limits = of_key(&server, &caller, left.map(|Extension(left)| left));
    limits.extend(of_app(&server, &app).await?);
    limits.extend(of_calls());
    let least = definitions.app.access.min_audience;
    limits.push(LimitBody {
        name: "min_audience".into(),
        about: "users that a number tells from nobody, at least".into(),
        of: "app".into(),
        used: None,
        allowed: least.filter(|_| !caller.sees_exact()),
        flag: Some("access: {min_audience: N}".into()),
    });
    Ok(Json(LimitList { limits }))
}

fn of_key(server: &Server, caller: &Caller, left: Option<Left>) -> Vec<LimitBody> {
    let mut limits = vec![LimitBody {
        name: "requests".into(),
        about: "requests at once, of which those of a second come back each second".into(),
        of: "key".into(),
        used: left.map(Left::used),
        allowed: left.map(|left| left.terms.burst.into()),
        flag: Some("--requests-per-second".into()),
    }];
    let lanes = server.gates.of_key(&caller.id);
    limits.extend(lanes.into_iter().map(|lane| LimitBody {
        name: lane.name.into(),
        about: lane.about.into(),
        of: "key".into(),
        used: Some(lane.used as u64),
        allowed: Some(lane.allowed as u64),
        flag: Some(lane.flag.into()),
    }));
    limits
}

async fn of_app(server: &Server, app: &AppId) -> Result<Vec<LimitBody>, Problem> {
    let limit = |name: &'static str,
                 about: &'static str,
                 [used, allowed]: [u64; 2],
                 flag: &'static str| LimitBody {
        name: name.into(),
        about: about.into(),
        of: "app".into(),
        used: Some(used),
        allowed: Some(allowed),
        flag: Some(flag.into()),
    };
    let held = server.quota.of_app(app);
    let feed = server.engine.feeds.extent(app).await?;
    let kept = server.gates.limits.feed_bytes;
    Ok(vec![
        limit("uploads", "uploads that wait to be ingested", held.uploads, "--uploads-per-app"),
        limit("upload_bytes", "bytes of them", held.bytes, "--upload-bytes-per-app"),
        limit(
            "feed_bytes",
            "bytes of the change feed; the oldest records go",
            [feed.bytes, kept],
            "--feed-bytes",
        ),
    ])
}

/// What one call may have.
fn of_calls() -> Vec<LimitBody> {
    let limits: [(&'static str, &'static str, u64); 16] = [
        ("body_bytes", "bytes of a JSON body", MAX_BODY_BYTES as u64),
        ("call_bytes", "bytes of a tracking call, a batch or another one", MAX_CALL_BYTES as u64),
        ("file_bytes", "bytes of a file that is sent", MAX_FILE_BYTES),
        ("expression_bytes", "bytes of an expression", MAX_EXPRESSION_BYTES as u64),
        ("judged_users", "users of one judgment call", MAX_JUDGED_USERS as u64),
        ("judged_crowds", "crowds of one judgment call", MAX_JUDGED_CROWDS as u64),
        ("judged_expressions", "expressions of one judgment call", MAX_JUDGED_EXPRESSIONS as u64),
        ("changes", "changes by hand of one call", taghouse_users::MAX_CHANGES as u64),
        ("page", "users of a page of a list", MAX_PAGE as u64),
        ("sample", "users of a sample", MAX_SAMPLE as u64),
        ("top", "values of a list of the most frequent", MAX_TOP as u64),
        ("groups", "rows or columns of groups", MAX_GROUPS as u64),
        ("overlap", "sides of an overlap", MAX_OVERLAP_ITEMS as u64),
        ("compared_tags", "tags of a comparison", MAX_COMPARED_TAGS as u64),
        ("listed_ids", "ids that the definition of a crowd lists", MAX_LISTED_IDS as u64),
        ("grants", "grants of a key", MAX_GRANTS as u64),
    ];
    let limit = |(name, about, allowed): (&'static str, &'static str, u64)| LimitBody {
        name: name.into(),
        about: about.into(),
        of: "call".into(),
        used: None,
        allowed: Some(allowed),
        flag: None,
    };
    limits.into_iter().map(limit).collect()
}
