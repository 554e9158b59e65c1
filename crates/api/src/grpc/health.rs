//! Whether the server can be asked, by gRPC's own protocol of health: what `/readyz` says.

use crate::Server;
use crate::routes::probes::readiness;
use futures::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use taghouse_proto::v1::judgment_server;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// How often it is looked for those who watch.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The health of the whole server, named "", which is that of its service.
pub(super) struct HealthOf {
    pub(super) server: Arc<Server>,
}

/// A watcher, and what it was told last.
struct Watcher {
    server: Arc<Server>,
    is_known: bool,
    told: Option<ServingStatus>,
}

#[tonic::async_trait]
impl Health for HealthOf {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !is_known(&service) {
            return Err(Status::not_found(format!("there is no service `{service}`")));
        }
        Ok(Response::new(answer(status(&self.server).await)))
    }

    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let is_known = is_known(&request.into_inner().service);
        let watcher = Watcher { server: self.server.clone(), is_known, told: None };
        let told = futures::stream::unfold(watcher, |mut watcher| async move {
            let status = watcher.next().await?;
            Some((Ok(answer(status)), watcher))
        });
        Ok(Response::new(Box::pin(told)))
    }
}

impl Watcher {
    /// Another status than the one told last; `None`: the process ends.
    async fn next(&mut self) -> Option<ServingStatus> {
        loop {
            if self.server.watches.is_over() {
                return None;
            }
            // Of a service that there is not the protocol says so, and goes on.
            let now = if self.is_known {
                status(&self.server).await
            } else {
                ServingStatus::ServiceUnknown
            };
            if self.told != Some(now) {
                self.told = Some(now);
                return Some(now);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn is_known(service: &str) -> bool {
    service.is_empty() || service == judgment_server::SERVICE_NAME
}

async fn status(server: &Server) -> ServingStatus {
    match readiness(server, None).await {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
