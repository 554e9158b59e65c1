//! A store that counts what is done with the objects of crowds, can be made to fail after some
//! writes, and to keep writes waiting.

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct Recording {
    within: InMemory,
    operations: AtomicU64,
    /// Writes that still succeed.
    writes_left: AtomicI64,
    /// Writes below this prefix wait.
    gate: watch::Sender<Option<String>>,
    waiting: watch::Sender<u64>,
}

impl Recording {
    pub(crate) fn new() -> Self {
        Self {
            within: InMemory::new(),
            operations: AtomicU64::new(0),
            writes_left: AtomicI64::new(i64::MAX),
            gate: watch::channel(None).0,
            waiting: watch::channel(0).0,
        }
    }

    /// Operations on objects of crowds so far.
    pub(crate) fn operations(&self) -> u64 {
        self.operations.load(Ordering::SeqCst)
    }

    pub(crate) fn fail_after(&self, writes: i64) {
        self.writes_left.store(writes, Ordering::SeqCst);
    }

    /// Writes below `prefix` wait until another gate is set.
    pub(crate) fn shut(&self, prefix: Option<&str>) {
        self.gate.send_replace(prefix.map(str::to_owned));
    }

    /// Waits until somebody waits at the gate.
    pub(crate) async fn reached(&self) {
        self.waiting.subscribe().wait_for(|waiting| *waiting > 0).await.unwrap();
    }

    fn count(&self, location: &Path) {
        if location.as_ref().starts_with("crowds/") {
            self.operations.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl std::fmt::Display for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("recording")
    }
}

#[async_trait]
impl ObjectStore for Recording {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.count(location);
        let shut = |gate: &Option<String>| {
            gate.as_ref().is_some_and(|prefix| location.as_ref().starts_with(prefix))
        };
        let mut gate = self.gate.subscribe();
        if shut(&gate.borrow_and_update()) {
            self.waiting.send_modify(|waiting| *waiting += 1);
            gate.wait_for(|gate| !shut(gate)).await.unwrap();
            self.waiting.send_modify(|waiting| *waiting -= 1);
        }
        if location.as_ref().starts_with("crowds/")
            && self.writes_left.fetch_sub(1, Ordering::SeqCst) <= 0
        {
            return Err(object_store::Error::Generic {
                store: "recording",
                source: "the disk is full".into(),
            });
        }
        self.within.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.count(location);
        self.within.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.count(location);
        self.within.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.operations.fetch_add(1, Ordering::SeqCst);
        self.within.delete_stream(locations.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        prefix.into_iter().for_each(|prefix| self.count(prefix));
        self.within.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        prefix.into_iter().for_each(|prefix| self.count(prefix));
        self.within.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.count(to);
        self.within.copy_opts(from, to, options).await
    }
}
