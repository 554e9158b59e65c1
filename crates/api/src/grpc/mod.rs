//! Judgments over gRPC, on the port of the HTTP API: `crates/proto` has the service and its messages.
//!
//! 1. The gate reads the caller's key and deadline, and takes a place in the key's lane of judgments.
//! 2. The service answers as the routes of judgments do, from the same calls of the engine.
//! 3. Health and reflection need no key, as `/readyz` and `/openapi.json` need none.

mod gate;
mod health;
mod judgment;
mod status;

use crate::Server;
use crate::server::Shared;
use axum::{Router, middleware};
use health::HealthOf;
use judgment::JudgmentOf;
use std::sync::Arc;
use taghouse_proto::v1::judgment_server::JudgmentServer;
use tonic_health::pb::health_server::HealthServer;

/// The largest message that is read, in bytes: as the largest JSON body.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// The services, each below the path of its name.
pub(crate) fn services(server: &Arc<Server>) -> Router<Shared> {
    let judgments = JudgmentServer::new(JudgmentOf { engine: server.engine.clone() })
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let gated = Router::new()
        .route_service("/taghouse.v1.Judgment/{call}", judgments)
        .layer(middleware::from_fn_with_state(server.clone(), gate::pass));
    let health = HealthServer::new(HealthOf { server: server.clone() });
    let open = Router::new().route_service("/grpc.health.v1.Health/{call}", health);
    gated.merge(open).merge(reflection())
}

/// What the services are, told to tools such as `grpcurl`: by version 1 of the protocol, and by the one
/// before.
fn reflection() -> Router<Shared> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(taghouse_proto::DESCRIPTOR)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    match (builder().build_v1(), builder().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => Router::new()
            .route_service("/grpc.reflection.v1.ServerReflection/{call}", v1)
            .route_service("/grpc.reflection.v1alpha.ServerReflection/{call}", v1alpha),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "the services do not describe themselves over gRPC");
            Router::new()
        }
    }
}
