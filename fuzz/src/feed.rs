//! The change feed, below its checksums. The first byte chooses: the payload of one frame, or a file
//! of frames.

use crate::folder::Folder;
use crate::frames::{FRAME_HEAD, frame, frames};
use crate::manifest::RUNTIME;
use std::cell::LazyCell;
use std::sync::Arc;
use taghouse_feed::{Change, Feeds, Retention, Start};
use taghouse_model::{AppId, Clock, Name, TimestampMs, Value};
use xxhash_rust::xxh3::xxh3_64;

const SEGMENT: &str = "feed/shop/00000000000000000001.feed";
const FILE_HEAD: usize = 32;

struct Standing;

impl Clock for Standing {
    fn now_ms(&self) -> TimestampMs {
        1_700_000_000_000
    }

    fn steady_ms(&self) -> i64 {
        0
    }
}

thread_local! {
    static FOLDER: LazyCell<Folder> = LazyCell::new(|| Folder::new("feed"));
}

fn open(folder: &Folder) -> Feeds {
    Feeds::new(folder.path().join("feed"), Retention::default(), Arc::new(Standing))
}

pub fn read(data: &[u8]) {
    let Some(([form, records], content)) = data.split_first_chunk::<2>() else { return };
    FOLDER.with(|folder| {
        folder.clear();
        let frames =
            if form % 2 == 0 { frame(1, u32::from(*records), content) } else { frames(content) };
        folder.write(SEGMENT, &[&file_head()[..], &frames].concat());
        for _ in 0..2 {
            RUNTIME.block_on(ask(&open(folder)));
        }
    });
}

async fn ask(feeds: &Feeds) {
    let app = AppId::new("shop").expect("an id");
    let Ok(mut reader) = feeds.reader(&app, Start::Earliest).await else { return };
    let mut before = 0;
    while let Ok(records) = reader.read().await {
        if records.is_empty() {
            break;
        }
        for record in records {
            assert!(record.id > before, "ids ascend");
            before = record.id;
        }
    }
    // An end near the largest number cannot be appended to.
    if feeds.extent(&app).await.is_ok_and(|extent| extent.end < u64::MAX / 2) {
        let mut last = feeds.reader(&app, Start::Latest).await.expect("a feed has an end");
        let change = Change::UserDeleted { user: "ann".into() };
        feeds.append(&app, 1, 1, &[change.clone()]).await.expect("a feed can be appended to");
        feeds.flush(&app).await.expect("it is written");
        let records = last.read().await.expect("what is new can be read");
        assert_eq!(records.last().map(|record| &record.change), Some(&change));
    }
    feeds.leave().await;
}

fn file_head() -> Vec<u8> {
    let mut head = b"TAGHFEED".to_vec();
    head.extend_from_slice(&1_u64.to_le_bytes());
    head.extend_from_slice(&1_700_000_000_000_u64.to_le_bytes());
    head.extend_from_slice(&xxh3_64(&head).to_le_bytes());
    head
}

pub fn seeds() -> Vec<Vec<u8>> {
    let folder = Folder::new("feed-seeds");
    let app = AppId::new("shop").expect("an id");
    let (tag, crowd) = (Name::new("orders").expect("a name"), Name::new("new").expect("a name"));
    let values = [
        Some(Value::Int(7)),
        Some(Value::Bool(true)),
        Some(Value::text("a")),
        Some(Value::Date(19_000)),
        Some(Value::Decimal("1.50".parse().expect("a number"))),
        None,
    ];
    let mut changes: Vec<Change> = values
        .into_iter()
        .map(|value| Change::Tag { user: "ann".into(), tag: tag.clone(), value })
        .collect();
    changes.extend([
        Change::TagPublished { tag: tag.clone() },
        Change::Entered { user: "bob".into(), crowd: crowd.clone(), version: 1 },
        Change::Exited { user: "bob".into(), crowd: crowd.clone(), version: 2 },
        Change::CrowdPublished { crowd, version: 3 },
        Change::UserDeleted { user: "ann".into() },
    ]);
    let feeds = open(&folder);
    RUNTIME.block_on(async {
        for turn in 0..3 {
            feeds.append(&app, turn, 5, &changes).await.expect("changes are appended");
            feeds.flush(&app).await.expect("they are written");
        }
        feeds.leave().await;
    });
    let mut seeds = Vec::new();
    for (path, content) in folder.files() {
        if !path.ends_with(".feed") || content.len() <= FILE_HEAD {
            continue;
        }
        let written = &content[FILE_HEAD..];
        assert_eq!(frames(written), written, "the form is the one that the feed writes");
        let len = u32::from_le_bytes([written[0], written[1], written[2], written[3]]) as usize;
        let payload = &written[FRAME_HEAD..FRAME_HEAD + len];
        seeds.push([&[0, changes.len() as u8], payload].concat());
        seeds.push([&[1, 0], written].concat());
    }
    seeds
}
