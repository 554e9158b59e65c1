//! How many files this process may open, and how many of them are for connections.

use anyhow::{Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections at most, where files are no limit: each costs memory too.
const MOST_CONNECTIONS: u64 = 10_000;
/// Files that must be left beside the connections that are asked for.
const LEAST_FILES: u64 = 100;

/// Raises the soft limit of open files to the hard one, and gives it.
pub(crate) fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current else { return u64::MAX };
    if limit.maximum == Some(current) {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(%error, current, "the limit of open files could not be raised");
            current
        }
    }
}

/// How many connections are held at one time: as many as asked for, or half of what files there may
/// be. The rest is for tables, segments, logs and landings.
pub(crate) fn connections(asked: Option<u64>, limit: u64) -> Result<usize> {
    let connections = match asked {
        None => (limit / 2).min(MOST_CONNECTIONS),
        Some(asked) => {
            ensure!(
                asked.saturating_add(LEAST_FILES) <= limit,
                "--max-connections {asked} leaves fewer than {LEAST_FILES} of the {limit} files that this process may open: ask for {} at most, or raise the limit (`ulimit -Hn`, or LimitNOFILE of systemd)",
                limit.saturating_sub(LEAST_FILES)
            );
            asked
        }
    };
    Ok(usize::try_from(connections)?.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_files() {
        let cases = [
            (None, 256, Some(128)),
            (None, 1024, Some(512)),
            (None, u64::MAX, Some(10_000)),
            (Some(900), 1024, Some(900)),
            (Some(1000), 1024, None),
        ];
        for (asked, limit, expected) in cases {
            assert_eq!(connections(asked, limit).ok(), expected, "{asked:?} of {limit}");
        }
        assert!(
            connections(Some(1000), 1024).unwrap_err().to_string().contains("ask for 924 at most")
        );
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise_limit();
        let now = getrlimit(Resource::Nofile);
        assert_eq!((now.current, now.current.unwrap_or(u64::MAX)), (now.maximum, raised));
    }
}
