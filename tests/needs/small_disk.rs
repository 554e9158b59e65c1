//! A file system of its own in memory, so small that a test can fill it.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "a module of several test binaries")]
#![allow(
    clippy::explicit_write,
    reason = "the harness swallows what macros print where a test passes"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Mounted until it is dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it over a folder, which takes root. `None`: whoever runs the tests said to skip them.
    pub fn over(folder: &Path, test: &str, size: &str) -> Option<Self> {
        let skips = |named: String| named.split(',').any(|name| name.trim() == "full-disk");
        if std::env::var("TAGHOUSE_SKIP").is_ok_and(skips) {
            writeln!(std::io::stderr(), "SKIPPED {test}: TAGHOUSE_SKIP names full-disk").unwrap();
            return None;
        }
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder)
            .status();
        let mounted = mounted.is_ok_and(|status| status.success());
        assert!(
            mounted,
            "no tmpfs can be mounted here: run as root, or set TAGHOUSE_SKIP=full-disk"
        );
        Some(Self(folder.to_owned()))
    }

    /// Gives it crate.
    pub fn grow(&self, size: &str) {
        assert!(
            Command::new("mount")
                .args(["-o", &format!("remount,size={size}")])
                .arg(&self.0)
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}
