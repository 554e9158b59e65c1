//! Productions of all tags beside changes and deletions. They change nothing of what was changed by
//! hand, and bring nobody back who was deleted: all that the lake holds is older.

use crate::wire::Door;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};

/// What became of productions.
#[derive(Default)]
pub(crate) struct Produced {
    pub(crate) done: u64,
    /// One that the kill met.
    pub(crate) met: u64,
}

/// Productions one after the other until the server goes away. Each that is told to be over must
/// have succeeded.
pub(crate) fn produce_until_killed(door: &Door, stop: &AtomicBool) -> Produced {
    let mut all = Produced::default();
    while !stop.load(Ordering::Relaxed) {
        let run = door.call("POST", "/produce", &json!({ "as_of": "2026-07-01T00:00" }));
        let Some((status, run)) = run else { break };
        all.met = 1;
        assert_eq!(status, 202, "{run}");
        let id = run["id"].as_str().unwrap().to_owned();
        let state = loop {
            let Some((status, run)) =
                door.call("GET", &format!("/runs/{id}?wait_ms=1000"), &json!({}))
            else {
                return all;
            };
            assert_eq!(status, 200, "{run}");
            if !matches!(run["state"].as_str().unwrap(), "pending" | "running") {
                break run;
            }
        };
        assert_eq!(state["state"], "succeeded", "a production must get in beside changes: {state}");
        all.done += 1;
        all.met = 0;
    }
    all
}
