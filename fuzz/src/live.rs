//! The log of live changes and its checkpoints, below their checksums. The first byte chooses: the
//! payload of one frame, a file of frames, or the items of a checkpoint.

use crate::folder::Folder;
use crate::frames::{FRAME_HEAD, frame, frames};
use crate::manifest::{self, RUNTIME};
use std::cell::LazyCell;
use std::sync::Arc;
use std::time::Duration;
use taghouse_bitmap::{seal, unseal};
use taghouse_index::{Changes, Index, LiveOptions, Op, Snapshot, TagChange};
use taghouse_model::{AppId, Name, Value};
use taghouse_rules::{CompareOp, Predicate};
use xxhash_rust::xxh3::xxh3_64;

const CHECKPOINT: &[u8; 8] = b"TAGHOVER";
/// Where the checkpoint stands.
const POSITION: u64 = 9;
const LOG_HEAD: usize = 40;
const GENERATION: u64 = 1;

thread_local! {
    static FOLDER: LazyCell<Folder> = LazyCell::new(|| Folder::new("live"));
}

pub fn read(data: &[u8]) {
    let Some(([kind, changes], content)) = data.split_first_chunk::<2>() else { return };
    FOLDER.with(|folder| {
        folder.clear();
        match kind % 3 {
            0 => folder.write(
                &log_name(1),
                &[&log_head(1)[..], &frame(1, u32::from(*changes), content)].concat(),
            ),
            1 => folder.write(&log_name(1), &[&log_head(1)[..], &frames(content)].concat()),
            _ => {
                let body =
                    [&GENERATION.to_le_bytes()[..], &POSITION.to_le_bytes(), content].concat();
                folder.write(&format!("shop/overlay-{POSITION:020}.bin"), &seal(CHECKPOINT, &body));
                folder.write(&log_name(POSITION + 1), &log_head(POSITION + 1));
            }
        }
        let index = index(folder);
        let app = AppId::new("shop").expect("a name");
        RUNTIME.block_on(async {
            if index.position(&app).await.is_ok()
                && let Ok(Some(snapshot)) = index.snapshot(&app).await
            {
                ask(&snapshot);
            }
            let _ = index.change(&app, changes_of(3)).await;
            let _ = (index.checkpoint(&app).await, index.flush(&app).await);
        });
    });
}

fn ask(snapshot: &Snapshot) {
    let _ = (snapshot.position(), snapshot.users().len());
    for (info, view) in snapshot.segments() {
        let Ok(view) = view else { continue };
        let _ = (
            view.value_of(3),
            view.users(),
            view.values(),
            view.sets().map(|sets| sets.len()),
            view.sum(None),
            view.bounds(None),
        );
        let name = info.name.to_string();
        let compare =
            |literal| Predicate::Compare { name: name.clone(), op: CompareOp::NotEqual, literal };
        for predicate in [
            Predicate::IsSet { name: name.clone() },
            compare(Value::Int(7)),
            compare(Value::text("a")),
        ] {
            if let Ok(query) = snapshot.evaluate(&predicate, &|_| None) {
                let _ = (query.count(), query.bitmap(), query.contains(3));
            }
        }
    }
}

fn index(folder: &Folder) -> Index {
    let long = Duration::from_secs(3_600);
    let options = LiveOptions {
        tick: long,
        file_bytes: 1 << 20,
        checkpoint_changes: u64::MAX,
        flush_every: None,
        ..LiveOptions::default()
    };
    manifest::index(manifest::sound()).with_live(folder.path().to_owned(), options)
}

fn log_name(first: u64) -> String {
    format!("shop/changes-{first:020}.log")
}

fn log_head(first: u64) -> Vec<u8> {
    let mut head = b"TAGHCHNG".to_vec();
    head.extend_from_slice(&1_u64.to_le_bytes());
    head.extend_from_slice(&GENERATION.to_le_bytes());
    head.extend_from_slice(&first.to_le_bytes());
    head.extend_from_slice(&xxh3_64(&head).to_le_bytes());
    head
}

fn changes_of(user: u32) -> Changes {
    let change =
        |tag: &str, op| TagChange { tag: Name::new(tag).expect("a name"), ordinal: user, op };
    let members = ["a", "b"].map(Arc::from).into_iter().collect();
    let points = vec![
        change("n", Op::Set(Value::Int(5))),
        change("t", Op::Set(Value::text("a"))),
        change("t", Op::Unset),
        change("s", Op::Set(Value::Set(members))),
        change("s", Op::Remove("b".into())),
    ];
    Changes { generation: GENERATION, users: vec![user, 70_000], columns: Vec::new(), points }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let folder = Folder::new("live-seeds");
    let app = AppId::new("shop").expect("a name");
    let mut seeds = Vec::new();
    let mut take = |folder: &Folder| {
        for (path, content) in folder.files() {
            if path.contains("changes-") && content.len() > LOG_HEAD + FRAME_HEAD {
                let frame = &content[LOG_HEAD..];
                seeds.push([&[1, 0], frame].concat());
                let len = u32::from_le_bytes(frame[..4].try_into().unwrap_or_default()) as usize;
                seeds.push([&[0, frame[4]], &frame[FRAME_HEAD..FRAME_HEAD + len]].concat());
                assert_eq!(frames(frame), frame, "the form is the one that the index writes");
            } else if path.contains("overlay-") {
                let body = unseal(CHECKPOINT, &content.into()).expect("a checkpoint is sealed");
                seeds.push([&[2, 0], &body[16..]].concat());
            }
        }
    };
    let live = index(&folder);
    RUNTIME.block_on(async {
        live.change(&app, changes_of(4)).await.expect("changes are logged");
        take(&folder);
        live.delete_users(&app, GENERATION, &[2]).await.expect("a user is deleted");
        live.change(&app, changes_of(8)).await.expect("changes are logged");
        take(&folder);
        live.position(&app).await.expect("the log ends somewhere");
        live.checkpoint(&app).await.expect("a checkpoint is written");
        take(&folder);
    });
    seeds
}
