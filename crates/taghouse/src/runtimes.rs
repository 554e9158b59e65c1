//! Two pools of threads: one answers requests, the other does all work that can wait.

use anyhow::Result;
use std::time::Duration;
use taghouse_model::give_way;
use tokio::runtime::{Builder, Handle, Runtime};

/// How long work in the background may take to its next await when the process ends. What it wrote
/// and did not publish is lost, as at a crash; the next start says so of its run.
const BACKGROUND_GRACE: Duration = Duration::from_secs(1);
/// The same for what is left of requests.
const REQUESTS_GRACE: Duration = Duration::from_secs(1);

/// The threads of this process.
pub(crate) struct Runtimes {
    requests: Runtime,
    /// Its threads give way to all others: runs, landings and queries take the cores that nobody
    /// else wants at the moment.
    background: Runtime,
}

impl Runtimes {
    pub(crate) fn new() -> Result<Self> {
        let requests = Builder::new_multi_thread().enable_all().thread_name("requests").build()?;
        let background = Builder::new_multi_thread()
            .enable_all()
            .thread_name("background")
            .on_thread_start(give_way)
            .build()?;
        Ok(Self { requests, background })
    }

    /// Where work that can wait belongs.
    pub(crate) fn background(&self) -> &Handle {
        self.background.handle()
    }

    /// Does the work on this thread and those for requests.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.requests.block_on(work)
    }

    /// Ends all threads. Those that are stuck in a computation end with the process: nobody waits
    /// for them.
    pub(crate) fn shut_down(self) {
        self.background.shutdown_timeout(BACKGROUND_GRACE);
        self.requests.shutdown_timeout(REQUESTS_GRACE);
    }
}
