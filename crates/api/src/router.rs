//! All routes, and their OpenAPI description.

use crate::access::{authenticate, authenticate_call, authenticate_flag};
use crate::audit_rules;
use crate::exported::audit_exports;
use crate::gates::admit;
use crate::grpc;
use crate::origins::{WebOrigins, refuse_other_origins};
use crate::problem::{KeylessProblem, descriptions, only_problems, schemas};
use crate::routes::flag_events::authenticate_events;
use crate::routes::{
    activations, apps, audit, backups, changes, crowds, definitions, export, feed, flag_events,
    flags, identities, imports, ingest, input, judge, keys, landing, limits, live, metrics, parity,
    person, probes, produce, runs, sinks, suppressions, tags, track, tracking_settings, uploads,
    user_crowds, users, versions, why,
};
use crate::routes::{
    compare, effect, estimate, group, histogram, lookalike, overlap, page, questions, top,
};
use crate::server::Shared;
use crate::whole::to_the_end;
use crate::{Problem, Server};
use axum::extract::DefaultBodyLimit;
use axum::response::IntoResponse;
use axum::{Json, Router, middleware};
use std::sync::{Arc, LazyLock};
use taghouse_model::ErrorKind;
use tower_http::decompression::RequestDecompressionLayer;
use tower_http::trace::TraceLayer;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The largest JSON body, in bytes.
pub(crate) const MAX_BODY_BYTES: usize = 16 << 20;
/// The same of a call for flags: a context.
const MAX_CONTEXT_BYTES: usize = 1 << 20;

/// The routes by who may call them, and the description of all.
struct Parts {
    /// With a key in a header.
    keyed: Router<Shared>,
    /// Flags, whose key may stand in another header.
    flags: Router<Shared>,
    /// Changes of flags, where a ticket may take the place of a key.
    flag_events: Router<Shared>,
    /// The tracking API, whose key may stand in the body.
    calls: Router<Shared>,
    /// Calls that the libraries of the tracking API make without a key.
    keyless_calls: Router<Shared>,
    /// Without a key.
    open: Router<Shared>,
    description: OpenApi,
}

/// What the description says of all routes together.
fn introduction() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Taghouse")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Tags, crowds and judgments. Every call but /health, /livez, /readyz and /schema carries a key: `Authorization: Bearer KEY`, or Basic with the key as user name; calls of the tracking API may have it in their body."))
        .build();
    let mut api = OpenApiBuilder::new().info(info).build();
    let components = api.components.get_or_insert_default();
    components.responses = descriptions();
    components.schemas.extend(schemas());
    components.security_schemes.extend([
        ("bearer".to_owned(), SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)).into()),
        ("basic".to_owned(), SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)).into()),
    ]);
    api.security = Some(vec![
        SecurityRequirement::new::<_, [&str; 0], _>("bearer", []),
        SecurityRequirement::new::<_, [&str; 0], _>("basic", []),
    ]);
    api
}

/// What is seen to its end though the caller hangs up.
fn whole() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(keys::rotate))
        .routes(routes!(definitions::list, definitions::apply))
        .routes(routes!(ingest::start))
        .routes(routes!(uploads::begin))
        .routes(routes!(produce::start))
        .routes(routes!(parity::start))
        .routes(routes!(users::compact))
        .routes(routes!(backups::create))
        .routes(routes!(sinks::retry))
        .routes(routes!(suppressions::list, suppressions::suppress))
        .routes(routes!(suppressions::lift))
        .routes(routes!(crowds::refresh))
        .routes(routes!(activations::start))
        .routes(routes!(imports::start))
        .routes(routes!(imports::pull))
        .routes(routes!(versions::publish))
        .routes(routes!(versions::roll_back))
        .routes(routes!(versions::roll_out))
        .routes(routes!(versions::pin, versions::unpin))
        .layer(middleware::from_fn(to_the_end))
}

/// Crowds and their versions, to read.
fn of_crowds() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(crowds::list))
        .routes(routes!(crowds::get))
        .routes(routes!(versions::list))
        .routes(routes!(versions::difference))
        .routes(routes!(effect::effect))
        .routes(routes!(imports::rows))
        .routes(routes!(export::export))
}

/// Receipts of what was done with people's data.
fn of_receipts() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(suppressions::receipts))
        .routes(routes!(suppressions::get_receipt))
}

/// Questions about many users.
fn of_questions() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(questions::count, questions::count_get))
        .routes(routes!(questions::sample))
        .routes(routes!(estimate::estimate))
        .routes(routes!(estimate::stream_post, estimate::stream_get))
        .routes(routes!(page::page))
        .routes(routes!(top::top))
        .routes(routes!(group::group))
        .routes(routes!(histogram::histogram))
        .routes(routes!(overlap::overlap))
        .routes(routes!(compare::compare))
        .routes(routes!(lookalike::lookalike))
}

/// What became of the change feed on its way out.
fn of_sinks() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(sinks::deliveries))
        .routes(routes!(sinks::dead_letters))
        .routes(routes!(sinks::test))
}

/// Crowds on their way out, to read.
fn of_activations() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(activations::list))
        .routes(routes!(activations::deliveries))
        .routes(routes!(activations::failed))
}

/// Crowds as flags.
fn of_flags() -> OpenApiRouter<Shared> {
    let flags = OpenApiRouter::new().routes(routes!(flags::one)).routes(routes!(flags::all));
    OpenApiRouter::new().nest("/ofrep/v1", flags)
}

/// Changes of flags.
fn of_flag_events() -> OpenApiRouter<Shared> {
    let events = OpenApiRouter::new().routes(routes!(flag_events::follow));
    OpenApiRouter::new().nest("/ofrep/v1", events)
}

/// Of single users.
fn of_judgments() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(judge::one, judge::batch))
        .routes(routes!(judge::profile))
        .routes(routes!(why::why))
        .routes(routes!(user_crowds::list))
}

fn parts() -> Parts {
    let mut api = introduction();
    // It counts the bytes itself, for it takes them as they come.
    let uploads = OpenApiRouter::new().routes(routes!(uploads::put));
    let keyed = OpenApiRouter::new()
        .routes(routes!(apps::list))
        .routes(routes!(limits::get))
        .routes(routes!(audit::of_all_apps))
        .routes(routes!(audit::of_app))
        .routes(routes!(landing::get))
        .routes(routes!(live::get))
        .routes(routes!(input::sources))
        .routes(routes!(input::files))
        .routes(routes!(input::rejected))
        .routes(routes!(runs::list))
        .routes(routes!(runs::get, runs::cancel))
        .routes(routes!(tags::list))
        .routes(routes!(tags::values))
        .merge(of_questions())
        .merge(of_crowds())
        .routes(routes!(changes::change, feed::follow))
        .routes(routes!(identities::get))
        .routes(routes!(identities::link))
        .routes(routes!(identities::unlink))
        .routes(routes!(users::delete))
        .routes(routes!(person::export))
        .routes(routes!(users::delete_many))
        .merge(of_judgments())
        .merge(of_sinks())
        .merge(of_receipts())
        .merge(of_activations())
        .merge(whole())
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .merge(uploads);
    let calls =
        OpenApiRouter::new().nest("/v1", OpenApiRouter::new().routes(routes!(track::track)));
    let keyless_calls = OpenApiRouter::new()
        .routes(routes!(track::metrics))
        .routes(routes!(tracking_settings::get));
    let keyless_calls = OpenApiRouter::new().nest("/v1", keyless_calls);
    let open = OpenApiRouter::new()
        .routes(routes!(apps::health))
        .routes(routes!(apps::schema))
        .routes(routes!(description));
    // Where those who watch servers look for them.
    let watched = OpenApiRouter::new().routes(routes!(metrics::get));
    let probed =
        OpenApiRouter::new().routes(routes!(probes::livez)).routes(routes!(probes::readyz));
    let keyed = OpenApiRouter::new().nest("/api/v1", keyed).merge(watched);
    let open = OpenApiRouter::new().nest("/api/v1", open).merge(probed);
    let (keyed, keyed_api) = keyed.split_for_parts();
    let (flags, flags_api) = of_flags().split_for_parts();
    let (flag_events, flag_events_api) = of_flag_events().split_for_parts();
    let (calls, calls_api) = calls.split_for_parts();
    let (keyless_calls, keyless_api) = keyless_calls.split_for_parts();
    let (open, open_api) = open.split_for_parts();
    for part in [keyed_api, flags_api, flag_events_api, calls_api, keyless_api, open_api] {
        api.merge(part);
    }
    audit_rules::describe(&mut api);
    Parts { keyed, flags, flag_events, calls, keyless_calls, open, description: api }
}

/// The description of all routes, OpenAPI 3.1.
pub fn openapi() -> OpenApi {
    parts().description
}

/// This description: OpenAPI 3.1. Needs no key.
#[utoipa::path(get, path = "/openapi.json", operation_id = "get_openapi", tag = "definitions", security(()),
    responses((status = 200, description = "The description.", body = Object), KeylessProblem))]
async fn description() -> Json<OpenApi> {
    static DESCRIBED: LazyLock<OpenApi> = LazyLock::new(openapi);
    Json(DESCRIBED.clone())
}

/// The whole API over one data folder. `/api/v1/openapi.json` describes it. Pages of `origins` may
/// send live calls, and call for flags.
pub fn router(server: Arc<Server>, origins: &WebOrigins) -> Router {
    let Parts { keyed, flags, flag_events, calls, keyless_calls, open, .. } = parts();
    let keyed = keyed
        .layer(middleware::from_fn_with_state(server.engine.clone(), audit_exports))
        .layer(middleware::from_fn_with_state(server.clone(), admit))
        .layer(middleware::from_fn_with_state(server.clone(), authenticate));
    let flags = flags
        .layer(middleware::from_fn_with_state(server.clone(), admit))
        .layer(middleware::from_fn_with_state(server.clone(), authenticate_flag))
        .layer(DefaultBodyLimit::max(MAX_CONTEXT_BYTES));
    let flag_events = flag_events
        .layer(middleware::from_fn_with_state(server.clone(), admit))
        .layer(middleware::from_fn_with_state(server.clone(), authenticate_events));
    let calls = calls
        .layer(middleware::from_fn_with_state(server.clone(), admit))
        .layer(middleware::from_fn_with_state(server.clone(), authenticate_call))
        .merge(keyless_calls)
        .layer(RequestDecompressionLayer::new())
        .layer(DefaultBodyLimit::max(track::MAX_BYTES))
        .merge(flags)
        .merge(flag_events)
        // Before the next layer: a preflight is not a method that a route takes, and is answered
        // there all the same.
        .method_not_allowed_fallback(async || Problem::method_not_allowed().into_response())
        .layer(origins.layer())
        .layer(middleware::from_fn_with_state(origins.clone(), refuse_other_origins));
    Router::new()
        .merge(keyed)
        .merge(calls)
        .merge(open)
        .fallback(async || {
            Problem::new(
                ErrorKind::NotFound,
                "there is no such path; /api/v1/openapi.json lists all",
            )
            .into_response()
        })
        .method_not_allowed_fallback(async || Problem::method_not_allowed().into_response())
        .layer(middleware::map_response(only_problems))
        .merge(grpc::services(&server))
        .layer(TraceLayer::new_for_http())
        .with_state(Shared(server))
}
