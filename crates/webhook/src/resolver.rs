//! Names to addresses: those only to which webhooks may connect.

use crate::Networks;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Names that are looked up at once. A look-up holds a thread, as long as the system's takes, even
/// when nobody waits for it any more; threads are needed for other things.
const AT_ONCE: usize = 32;

type LookUp = Shared<BoxFuture<'static, Result<Arc<[SocketAddr]>, String>>>;

/// Asks the system for each connection, and gives the client no address that may not be connected to:
/// what is checked is what is used.
pub(crate) struct CheckedResolver {
    networks: Arc<Networks>,
    places: Arc<Semaphore>,
    /// Of each name one look-up at a time, so that a name server that hangs for one name holds one
    /// thread.
    under_way: Arc<Mutex<HashMap<String, LookUp>>>,
}

impl CheckedResolver {
    pub(crate) fn new(networks: Arc<Networks>) -> Self {
        Self { networks, places: Arc::new(Semaphore::new(AT_ONCE)), under_way: Arc::default() }
    }

    fn look_up(&self, name: &str) -> LookUp {
        let mut under_way = self.under_way.lock();
        if let Some(same) = under_way.get(name) {
            return same.clone();
        }
        let (places, all, name) = (self.places.clone(), self.under_way.clone(), name.to_owned());
        let key = name.clone();
        // A task, for it goes on though nobody waits for it, and keeps its place until it has ended.
        let task = tokio::spawn(async move {
            let _place = places.acquire().await;
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            all.lock().remove(&name);
            found.map(Iterator::collect).map_err(|error| error.to_string())
        });
        let look_up = async move { task.await.unwrap_or_else(|error| Err(error.to_string())) };
        let look_up = look_up.boxed().shared();
        under_way.insert(key, look_up.clone());
        look_up
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (look_up, networks) = (self.look_up(name.as_str()), self.networks.clone());
        Box::pin(async move {
            let found = look_up.await?;
            let permitted: Vec<SocketAddr> =
                found.iter().copied().filter(|address| networks.permit(address.ip())).collect();
            if permitted.is_empty() {
                let refused = found.first().map(|address| refusal(&address.ip().to_string()));
                return Err(refused.unwrap_or_else(|| "the name has no address".to_owned()).into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

/// Why an address is not connected to.
pub(crate) fn refusal(address: &str) -> String {
    format!(
        "{address} is not an address of the public internet: to allow it, start the server with its network in --webhook-networks"
    )
}
