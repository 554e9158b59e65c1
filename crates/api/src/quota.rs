//! The size of uploads that are not ingested yet, and its limits.

use crate::{Problem, Server, UploadLimits};
use axum::http::StatusCode;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_model::{AppId, ErrorKind, TimestampMs};

/// How many bytes are reserved at a time, so that a file of many small pieces does not reserve for
/// each.
const STEP_BYTES: u64 = 1 << 20;

/// All uploads that are not ingested yet.
pub(crate) struct UploadQuota {
    limits: UploadLimits,
    uploads: Mutex<BTreeMap<(AppId, String), OpenUpload>>,
}

#[derive(Default)]
struct OpenUpload {
    bytes: u64,
    files: usize,
    /// Files on their way.
    receiving: usize,
    /// An ingestion has it: it takes no more files and is not swept.
    claimed: bool,
    touched_ms: TimestampMs,
}

/// How much an app has, and how much it may have.
pub(crate) struct OfApp {
    pub(crate) uploads: [u64; 2],
    pub(crate) bytes: [u64; 2],
}

fn full(detail: String) -> Problem {
    Problem::of_status(StatusCode::INSUFFICIENT_STORAGE, detail)
}

fn too_many(detail: String) -> Problem {
    Problem::of_status(StatusCode::TOO_MANY_REQUESTS, detail)
}

/// A size as people write it.
fn size(bytes: u64) -> String {
    [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| bytes >= 1 << shift && bytes.is_multiple_of(1 << shift))
        .map_or_else(
            || format!("{bytes} bytes"),
            |(shift, unit)| format!("{} {unit}", bytes >> shift),
        )
}

impl UploadQuota {
    pub(crate) fn new(limits: UploadLimits) -> Self {
        Self { limits, uploads: Mutex::default() }
    }

    /// What an app has of them.
    pub(crate) fn of_app(&self, app: &AppId) -> OfApp {
        let uploads = self.held();
        let own = || uploads.iter().filter(|((of, _), _)| of == app).map(|(_, held)| held);
        OfApp {
            uploads: [own().count() as u64, self.limits.uploads_per_app as u64],
            bytes: [own().map(|held| held.bytes).sum(), self.limits.bytes_per_app],
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<(AppId, String), OpenUpload>> {
        self.uploads.lock()
    }

    /// A new upload.
    pub(crate) fn begin(
        &self,
        app: &AppId,
        upload: &str,
        now_ms: TimestampMs,
    ) -> Result<(), Problem> {
        let mut uploads = self.held();
        let limit = self.limits.uploads_per_app;
        if uploads.keys().filter(|(of, _)| of == app).count() >= limit {
            return Err(too_many(format!(
                "the app \"{app}\" has {limit} uploads that are not ingested yet, as many as it may (--uploads-per-app): ingest some; one to which nothing is sent for {} h goes by itself",
                self.limits.age.as_secs() / 3600
            )));
        }
        uploads.insert(
            (app.clone(), upload.to_owned()),
            OpenUpload { touched_ms: now_ms, ..OpenUpload::default() },
        );
        Ok(())
    }

    /// One more file of an upload.
    pub(crate) fn receive(
        self: &Arc<Self>,
        app: &AppId,
        upload: &str,
        now_ms: TimestampMs,
    ) -> Result<Receiving, Problem> {
        let key = (app.clone(), upload.to_owned());
        let mut uploads = self.held();
        let held = uploads
            .get_mut(&key)
            .filter(|held| !held.claimed)
            .ok_or_else(|| unknown(app, upload))?;
        if held.files + held.receiving >= self.limits.files {
            return Err(too_many(format!(
                "an upload may have {} files (--upload-files): ingest this one, and send the rest with another",
                self.limits.files
            )));
        }
        held.receiving += 1;
        held.touched_ms = now_ms;
        drop(uploads);
        Ok(Receiving { quota: self.clone(), key, asked: 0, kept: false })
    }

    /// Gives the upload to one ingestion: it takes no more files.
    pub(crate) fn claim(&self, app: &AppId, upload: &str) -> Result<(), Problem> {
        let mut uploads = self.held();
        let held = uploads
            .get_mut(&(app.clone(), upload.to_owned()))
            .filter(|held| !held.claimed)
            .ok_or_else(|| unknown(app, upload))?;
        if held.receiving > 0 {
            let detail = format!(
                "{} files of the upload \"{upload}\" are still on their way: ingest it when they have come",
                held.receiving
            );
            return Err(Problem::new(ErrorKind::Conflict, detail));
        }
        held.claimed = true;
        Ok(())
    }

    /// The upload's files are gone, or nobody will find them.
    pub(crate) fn forget(&self, app: &AppId, upload: &str) {
        self.held().remove(&(app.clone(), upload.to_owned()));
    }

    /// Removes and returns the abandoned uploads: nothing is sent to them, and nobody ingests them.
    fn abandoned(&self, now_ms: TimestampMs) -> Vec<(AppId, String)> {
        let mut uploads = self.held();
        let age = i64::try_from(self.limits.age.as_millis()).unwrap_or(i64::MAX);
        let old = |held: &OpenUpload| {
            held.receiving == 0 && !held.claimed && now_ms.saturating_sub(held.touched_ms) >= age
        };
        let found: Vec<_> =
            uploads.iter().filter(|(_, held)| old(held)).map(|(key, _)| key.clone()).collect();
        for key in &found {
            uploads.remove(key);
        }
        found
    }
}

pub(crate) fn unknown(app: &AppId, upload: &str) -> Problem {
    let detail = format!(
        "there is no upload \"{upload}\" in \"{app}\"; it may have been ingested already, or abandoned for too long"
    );
    Problem::new(ErrorKind::NotFound, detail)
}

/// A file that is being received. Its bytes are released when this is dropped, unless it is kept.
pub(crate) struct Receiving {
    quota: Arc<UploadQuota>,
    key: (AppId, String),
    asked: u64,
    kept: bool,
}

impl Receiving {
    /// Room for the file's first `bytes`.
    pub(crate) fn up_to(&mut self, bytes: u64) -> Result<(), Problem> {
        if bytes <= self.asked {
            return Ok(());
        }
        let mut uploads = self.quota.held();
        let (mut all, mut of_app) = (0, 0);
        for ((app, _), held) in uploads.iter() {
            all += held.bytes;
            of_app += if *app == self.key.0 { held.bytes } else { 0 };
        }
        let limits = &self.quota.limits;
        let room =
            limits.bytes.saturating_sub(all).min(limits.bytes_per_app.saturating_sub(of_app));
        let needed = bytes - self.asked;
        if needed > room {
            let (whose, limit, flag) = if limits.bytes_per_app.saturating_sub(of_app)
                <= limits.bytes.saturating_sub(all)
            {
                (
                    format!("of the app \"{}\"", self.key.0),
                    limits.bytes_per_app,
                    "--upload-bytes-per-app",
                )
            } else {
                ("of all apps".to_owned(), limits.bytes, "--upload-bytes")
            };
            return Err(full(format!(
                "the uploads {whose} that are not ingested yet may hold {} ({flag}): ingest what was sent, then send this file again",
                size(limit)
            )));
        }
        // A step more than needed, where there is one.
        let taken = needed.max(STEP_BYTES.min(room));
        if let Some(held) = uploads.get_mut(&self.key) {
            held.bytes += taken;
        }
        self.asked += taken;
        Ok(())
    }

    /// The file was received, with this many bytes.
    pub(crate) fn keep(mut self, bytes: u64, now_ms: TimestampMs) {
        self.kept = true;
        if let Some(held) = self.quota.held().get_mut(&self.key) {
            held.bytes = held.bytes.saturating_sub(self.asked.saturating_sub(bytes));
            held.files += 1;
            held.touched_ms = now_ms;
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if let Some(held) = self.quota.held().get_mut(&self.key) {
            held.receiving -= 1;
            if !self.kept {
                held.bytes = held.bytes.saturating_sub(self.asked);
            }
        }
    }
}

impl Server {
    /// Removes uploads that were abandoned.
    ///
    /// # Errors
    /// A folder cannot be removed; the others were.
    pub(crate) async fn sweep_uploads(&self) -> std::io::Result<()> {
        let mut outcome = Ok(());
        for (app, upload) in self.quota.abandoned(self.engine.clock.now_ms()) {
            match tokio::fs::remove_dir_all(self.uploads.join(app.as_str()).join(&upload)).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => outcome = Err(error),
                _ => tracing::info!(%app, upload, "an upload that nobody ingested is removed"),
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn quota(limits: UploadLimits) -> (Arc<UploadQuota>, AppId) {
        (Arc::new(UploadQuota::new(limits)), AppId::new("shop").unwrap())
    }

    #[test]
    fn what_a_file_took_is_given_back_unless_it_came() {
        let (quota, app) = quota(UploadLimits {
            bytes: 5_000_000,
            bytes_per_app: 3_000_000,
            ..UploadLimits::default()
        });
        quota.begin(&app, "u", 0).unwrap();
        let mut file = quota.receive(&app, "u", 0).unwrap();
        file.up_to(2_900_000).unwrap();
        let refused = file.up_to(3_000_001).unwrap_err();
        assert_eq!(refused.status, 507);
        assert!(
            refused.detail.contains("3000000 bytes (--upload-bytes-per-app)"),
            "{}",
            refused.detail
        );
        drop(file);
        let mut file = quota.receive(&app, "u", 0).unwrap();
        file.up_to(1_900_000).unwrap();
        file.keep(1_900_000, 0);
        let mut file = quota.receive(&app, "u", 0).unwrap();
        assert!(file.up_to(1_100_001).is_err());
        file.up_to(1_100_000).unwrap();
        assert_eq!(quota.claim(&app, "u").unwrap_err().status, 409, "a file is on its way");
        drop(file);

        let other = AppId::new("other").unwrap();
        quota.begin(&other, "v", 0).unwrap();
        let mut file = quota.receive(&other, "v", 0).unwrap();
        file.up_to(3_000_000).unwrap();
        let third = AppId::new("third").unwrap();
        quota.begin(&third, "w", 0).unwrap();
        let refused = quota.receive(&third, "w", 0).unwrap().up_to(200_000).unwrap_err();
        assert!(refused.detail.contains("of all apps"), "{}", refused.detail);
        quota.forget(&app, "u");
        quota.receive(&third, "w", 0).unwrap().up_to(200_000).unwrap();
    }

    #[test]
    fn only_what_nobody_uses_is_abandoned() {
        let age = Duration::from_secs(10);
        let (quota, app) =
            quota(UploadLimits { uploads_per_app: 3, files: 1, age, ..UploadLimits::default() });
        for upload in ["idle", "sent", "claimed"] {
            quota.begin(&app, upload, 0).unwrap();
        }
        assert_eq!(quota.begin(&app, "more", 0).unwrap_err().status, 429);
        quota.claim(&app, "claimed").unwrap();
        quota.receive(&app, "sent", 9_000).unwrap().keep(1, 9_000);
        assert!(quota.receive(&app, "sent", 9_000).is_err(), "one file is allowed");
        assert_eq!(quota.abandoned(9_999), []);
        assert_eq!(quota.abandoned(10_000), [(app.clone(), "idle".to_owned())]);
        assert_eq!(
            quota.receive(&app, "idle", 10_000).err().map(|problem| problem.status),
            Some(404)
        );
        assert_eq!(quota.abandoned(19_000), [(app, "sent".to_owned())]);
    }
}
