//! A local cache of remote objects: the parts that were read, in sparse files.

use crate::error::{Error, Result};
use crate::segment::Segment;
use crate::store::{Objects, path};
use crate::tag::Open;
use object_store::ObjectStoreExt;
use object_store::path::Path as ObjectPath;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::{self, File};
use std::future::Future;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use taghouse_bitmap::Fetch;
use tokio::runtime::Handle;

/// A bounded cache of segments. Each open segment has a file of the object's full length, in which
/// only what was fetched takes room. When all of them take more than the limit, those not used for
/// longest are closed; a question that still reads one keeps it to its end.
///
/// The files have no names, so nothing of them stays when the process ends, however it ends.
pub(crate) struct Cache {
    objects: Objects,
    runtime: Handle,
    folder: PathBuf,
    limit_bytes: u64,
    open: Mutex<Opened>,
}

#[derive(Default)]
struct Opened {
    segments: HashMap<String, Used>,
    /// Counts uses, to find the least recently used file.
    clock: u64,
}

struct Used {
    segment: Segment,
    copy: Arc<Copy>,
    last: u64,
}

/// The file of an object.
struct Copy {
    objects: Objects,
    runtime: Handle,
    location: ObjectPath,
    file: File,
    fetched_bytes: AtomicU64,
}

impl Cache {
    /// Files go into `folder`. Requests to the store run on `runtime`.
    pub(crate) fn new(
        objects: Objects,
        runtime: Handle,
        folder: PathBuf,
        limit_bytes: u64,
    ) -> Self {
        Self { objects, runtime, folder, limit_bytes, open: Mutex::default() }
    }

    fn copy(&self, object: &str) -> Result<Arc<Copy>> {
        let failed = |detail: String| Error::Store { object: object.to_owned(), detail };
        let location = path(object)?;
        let store = self.objects.0.clone();
        let at = location.clone();
        let size = match wait(&self.runtime, async move { store.head(&at).await }) {
            Ok(Ok(meta)) => meta.size,
            Ok(Err(object_store::Error::NotFound { .. })) => {
                return Err(Error::corrupt(object, "it is missing"));
            }
            Ok(Err(e)) => return Err(failed(e.to_string())),
            Err(e) => return Err(failed(e)),
        };
        let file = self
            .nameless(size)
            .map_err(|e| failed(format!("a file in {}: {e}", self.folder.display())))?;
        let (objects, runtime) = (self.objects.clone(), self.runtime.clone());
        Ok(Arc::new(Copy { objects, runtime, location, file, fetched_bytes: AtomicU64::new(0) }))
    }

    /// An empty sparse file of `size` bytes, which vanishes when closed.
    fn nameless(&self, size: u64) -> std::io::Result<File> {
        fs::create_dir_all(&self.folder)?;
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = self.folder.join(format!(
            "{}-{}.part",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        ));
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(&name)?;
        fs::remove_file(&name)?;
        file.set_len(size)?;
        Ok(file)
    }
}

impl Open for Cache {
    fn open(&self, object: &str) -> Result<Segment> {
        let mut open = self.open.lock();
        open.clock += 1;
        let now = open.clock;
        let segment = if let Some(used) = open.segments.get_mut(object) {
            used.last = now;
            used.segment.clone()
        } else {
            drop(open);
            let copy = self.copy(object)?;
            let bytes = taghouse_bitmap::map(&copy.file)
                .map_err(|e| Error::Store { object: object.to_owned(), detail: e.to_string() })?;
            let segment = Segment::open_lazily(object, bytes, Some(copy.clone()))?;
            open = self.open.lock();
            open.segments
                .insert(object.to_owned(), Used { segment: segment.clone(), copy, last: now });
            segment
        };
        open.shrink(self.limit_bytes, object);
        Ok(segment)
    }
}

impl Opened {
    /// Closes the least recently used files until the rest fits, except `keep`.
    fn shrink(&mut self, limit_bytes: u64, keep: &str) {
        let mut total: u64 = self
            .segments
            .values()
            .map(|used| used.copy.fetched_bytes.load(Ordering::Relaxed))
            .sum();
        while total > limit_bytes {
            let oldest = self
                .segments
                .iter()
                .filter(|(object, _)| *object != keep)
                .min_by_key(|(_, used)| used.last);
            let Some(object) = oldest.map(|(object, _)| object.clone()) else { return };
            if let Some(used) = self.segments.remove(&object) {
                total -= used.copy.fetched_bytes.load(Ordering::Relaxed);
            }
        }
    }
}

impl Fetch for Copy {
    fn fetch(&self, range: Range<u64>) -> std::result::Result<(), String> {
        let (store, location, wanted) =
            (self.objects.0.clone(), self.location.clone(), range.clone());
        let bytes = wait(&self.runtime, async move { store.get_range(&location, wanted).await })?
            .map_err(|e| e.to_string())?;
        if bytes.len() as u64 != range.end - range.start {
            return Err(format!(
                "{} bytes came instead of {}",
                bytes.len(),
                range.end - range.start
            ));
        }
        self.file
            .write_all_at(&bytes, range.start)
            .map_err(|e| format!("writing the cache: {e}"))?;
        self.fetched_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// Runs a request on the runtime's threads and waits for it on this one, which is not a thread that
/// others wait for.
fn wait<T: Send + 'static>(
    runtime: &Handle,
    request: impl Future<Output = T> + Send + 'static,
) -> std::result::Result<T, String> {
    let (answer, answered) = mpsc::channel();
    runtime.spawn(async move { answer.send(request.await) });
    answered.recv().map_err(|_| "the request was broken off".to_owned())
}
