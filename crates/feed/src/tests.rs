use crate::frame::{FeedFrames, put_frames, records};
use crate::{Change, Error, Feeds, Lag, Record, Retention, Start};
use proptest::prelude::*;
use rust_decimal::Decimal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use taghouse_journal::{FrameReader, TornEnd};
use taghouse_model::{AppId, Clock, Name, Value};

struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn clock() -> Arc<HandClock> {
    Arc::new(HandClock(AtomicI64::new(1_000_000)))
}

fn app() -> AppId {
    AppId::new("shop").unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn orders(user: &str, value: i64) -> Change {
    Change::Tag { user: user.into(), tag: name("orders"), value: Some(Value::Int(value)) }
}

const KEPT: Retention = Retention { age_ms: 8_000, bytes: 1 << 20 };

fn feeds(folder: &Path, clock: &Arc<HandClock>) -> Feeds {
    Feeds::new(folder.to_owned(), KEPT, clock.clone())
}

async fn append(feeds: &Feeds, changes: &[Change]) {
    feeds.append(&app(), 7, 9, changes).await.unwrap();
    feeds.flush(&app()).await.unwrap();
}

/// All that is on disk behind `start`.
async fn read(feeds: &Feeds, start: Start) -> Result<Vec<Record>, Error> {
    let mut reader = feeds.reader(&app(), start).await?;
    let mut all = Vec::new();
    loop {
        let some = reader.read().await?;
        if some.is_empty() {
            return Ok(all);
        }
        all.extend(some);
    }
}

fn ids(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.id).collect()
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("shop")).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "feed")).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_reader_goes_on_behind_what_it_has_seen_also_after_a_restart() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let first = feeds(folder.path(), &clock);
    let mut follower = first.reader(&app(), Start::Latest).await.unwrap();
    assert!(follower.read().await.unwrap().is_empty());
    append(&first, &[orders("ann", 1), orders("bob", 2)]).await;
    append(&first, &[orders("ann", 3)]).await;
    assert!(follower.wait().await);
    assert_eq!(ids(&follower.read().await.unwrap()), [1, 2]);
    assert_eq!(ids(&follower.read().await.unwrap()), [3]);
    assert_eq!(follower.after(), 3);

    let again = feeds(folder.path(), &clock);
    append(&again, &[orders("ann", 4)]).await;
    let seen = read(&again, Start::After(1)).await.unwrap();
    assert_eq!(ids(&seen), [2, 3, 4]);
    let expected = Record { id: 4, at_ms: 7, position: 9, change: orders("ann", 4) };
    assert_eq!(seen[2], expected);
    assert!(read(&again, Start::After(4)).await.unwrap().is_empty());
    assert!(matches!(read(&again, Start::After(5)).await, Err(Error::Gone { after: 5, .. })));
    assert!(matches!(read(&again, Start::After(u64::MAX)).await, Err(Error::Gone { .. })));
}

#[tokio::test]
async fn old_segments_go_and_who_needs_them_is_told() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let feeds = feeds(folder.path(), &clock);
    let mut slow = feeds.reader(&app(), Start::Earliest).await.unwrap();
    for number in 1..=4 {
        append(&feeds, &[orders("ann", number)]).await;
        clock.0.fetch_add(3_000, Ordering::Relaxed);
    }
    assert_eq!(segments(folder.path()).len(), 4, "each has an eighth of the time");
    assert_eq!(ids(&slow.read().await.unwrap()), [1]);
    feeds.trim().await.unwrap();
    // Made at 0, 3, 6 and 9 s, and it is 12 s: the first ended when the second was made.
    let extent = feeds.extent(&app()).await.unwrap();
    assert_eq!((extent.first, extent.end), (2, 4), "{extent:?}");
    assert_eq!(segments(folder.path()).len(), 4, "an empty one follows the last");
    let Err(Error::Gone { after: 0, kept }) = read(&feeds, Start::After(0)).await else {
        panic!("the first is gone")
    };
    assert_eq!(kept, "those from 2 to 4");
    assert_eq!(ids(&slow.read().await.unwrap()), [2]);
    clock.0.fetch_add(9_000, Ordering::Relaxed);
    feeds.hold(&app(), "slow", 3).await.unwrap();
    // One that is further does not take from the other what it needs.
    feeds.hold(&app(), "fast", 4).await.unwrap();
    feeds.trim().await.unwrap();
    assert_eq!(feeds.extent(&app()).await.unwrap().first, 4, "somebody still needs the fourth");
    feeds.release(&app(), "slow").await.unwrap();
    clock.0.fetch_add(9_000, Ordering::Relaxed);
    feeds.trim().await.unwrap();
    let extent = feeds.extent(&app()).await.unwrap();
    assert_eq!((extent.first, extent.end), (5, 4), "the last one was closed for its age");
    assert!(matches!(slow.read().await, Err(Error::Gone { after: 2, .. })));
    append(&feeds, &[orders("ann", 5)]).await;
    assert_eq!(ids(&read(&feeds, Start::After(4)).await.unwrap()), [5]);
}

#[tokio::test]
async fn bytes_are_bounded() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let feeds = feeds(folder.path(), &clock);
    let many: Vec<Change> = (0..1000).map(|number| orders(&"u".repeat(100), number)).collect();
    for _ in 0..20 {
        append(&feeds, &many).await;
        feeds.trim().await.unwrap();
    }
    let extent = feeds.extent(&app()).await.unwrap();
    assert!(extent.bytes <= KEPT.bytes && extent.first > 1, "{extent:?}");
    let kept = read(&feeds, Start::Earliest).await.unwrap();
    assert_eq!(ids(&kept), (extent.first..=20_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_torn_end_was_never_seen_and_its_ids_are_given_again() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    append(&feeds(folder.path(), &clock), &[orders("ann", 1)]).await;
    let file = segments(folder.path()).remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    let mut frame = Vec::new();
    put_frames(&mut frame, 2, 7, 9, &[orders("ann", 2)]);
    bytes.extend_from_slice(&frame[..frame.len() - 3]);
    std::fs::write(&file, bytes).unwrap();
    let again = feeds(folder.path(), &clock);
    append(&again, &[orders("ann", 5)]).await;
    let seen = read(&again, Start::Earliest).await.unwrap();
    assert_eq!(ids(&seen), [1, 2]);
    assert_eq!(seen[1].change, orders("ann", 5));
}

#[tokio::test]
async fn after_a_loss_no_id_is_given_twice() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let first = feeds(folder.path(), &clock);
    append(&first, &[orders("ann", 1)]).await;
    let whole = std::fs::read(&segments(folder.path())[0]).unwrap();
    append(&first, &[orders("ann", 2), orders("ann", 3)]).await;
    std::fs::write(&segments(folder.path())[0], whole).unwrap();
    let again = feeds(folder.path(), &clock);
    append(&again, &[orders("ann", 4)]).await;
    assert!(matches!(read(&again, Start::After(1)).await, Err(Error::Gone { after: 1, .. })));
    assert_eq!(ids(&read(&again, Start::After(3)).await.unwrap()), [4]);
}

#[tokio::test]
async fn a_damaged_byte_is_noticed_and_the_feed_goes_on() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    append(&feeds(folder.path(), &clock), &[orders("ann", 1)]).await;
    let file = segments(folder.path()).remove(0);
    let whole = std::fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut wrong = whole.clone();
        wrong[at] ^= 1;
        segments(folder.path()).iter().for_each(|file| std::fs::remove_file(file).unwrap());
        std::fs::write(&file, wrong).unwrap();
        let feeds = feeds(folder.path(), &clock);
        append(&feeds, &[orders("ann", 2)]).await;
        let end = feeds.extent(&app()).await.unwrap().end;
        assert!(end >= 2, "byte {at}");
        assert!(read(&feeds, Start::After(0)).await.is_err(), "byte {at}");
        assert_eq!(ids(&read(&feeds, Start::After(end - 1)).await.unwrap()), [end], "byte {at}");
    }
}

#[tokio::test]
async fn what_cannot_be_written_waits_and_is_written_later() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    // A file where the folder should be.
    std::fs::write(folder.path().join("shop"), "").unwrap();
    let feeds = feeds(folder.path(), &clock);
    let refused = feeds.append(&app(), 7, 9, &[orders("ann", 1)]).await;
    if refused.is_ok() {
        assert!(feeds.flush(&app()).await.is_err());
    }
    std::fs::remove_file(folder.path().join("shop")).unwrap();
    if refused.is_err() {
        feeds.append(&app(), 7, 9, &[orders("ann", 1)]).await.unwrap();
    }
    feeds.flush(&app()).await.unwrap();
    assert_eq!(ids(&read(&feeds, Start::Earliest).await.unwrap()), [1]);
}

#[tokio::test]
async fn subscribers_are_counted_and_end_with_the_process() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let feeds = feeds(folder.path(), &clock);
    let mut reader = feeds.subscribe(&app(), Start::Latest).await.unwrap();
    let other = feeds.reader(&app(), Start::Latest).await.unwrap();
    assert_eq!(feeds.lag(&app()).await.unwrap().subscribers, 1, "and no reader of ours");
    feeds.end_readers();
    assert!(!reader.wait().await && reader.is_ending());
    drop((reader, other));
    assert_eq!(feeds.lag(&app()).await.unwrap(), Lag::default());
}

#[tokio::test]
async fn the_slowest_subscriber_says_how_far_behind_they_are() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let feeds = feeds(folder.path(), &clock);
    let mut quick = feeds.subscribe(&app(), Start::Earliest).await.unwrap();
    let mut slow = feeds.subscribe(&app(), Start::Earliest).await.unwrap();
    let lag = async || {
        let Lag { subscribers, records, age_ms } = feeds.lag(&app()).await.unwrap();
        (subscribers, records, age_ms)
    };
    assert_eq!(lag().await, (2, 0, 0), "there is no record");
    for number in 1..=3 {
        let now_ms = clock.now_ms();
        feeds.append(&app(), now_ms, 1, &[orders("ann", number)]).await.unwrap();
        feeds.flush(&app()).await.unwrap();
        clock.0.fetch_add(1_000, Ordering::Relaxed);
    }
    assert_eq!(lag().await, (2, 3, 3_000), "nobody has read");
    while !quick.read().await.unwrap().is_empty() {}
    assert_eq!(lag().await, (2, 3, 3_000), "the slow one has not");
    slow.read().await.unwrap();
    assert_eq!(lag().await, (2, 3, 3_000), "what is handed over is not taken");
    slow.read().await.unwrap();
    assert_eq!(lag().await, (2, 2, 2_000));
    drop(slow);
    assert_eq!(lag().await, (1, 0, 0));
    let now_ms = clock.now_ms();
    feeds.append(&app(), now_ms, 1, &[orders("ann", 4)]).await.unwrap();
    feeds.flush(&app()).await.unwrap();
    clock.0.fetch_add(500, Ordering::Relaxed);
    assert_eq!(lag().await, (1, 1, 500), "who had read all is behind again");
}

fn values() -> impl Strategy<Value = Option<Value>> {
    let text = "\\PC{0,8}".prop_map(|text: String| -> Arc<str> { text.into() });
    prop_oneof![
        Just(None),
        any::<bool>().prop_map(|v| Some(Value::Bool(v))),
        any::<i64>().prop_map(|v| Some(Value::Int(v))),
        (any::<i64>(), 0_u32..28).prop_map(|(v, s)| Some(Value::Decimal(Decimal::new(v, s)))),
        text.clone().prop_map(|v| Some(Value::Text(v))),
        prop::collection::btree_set(text, 0..5).prop_map(|v| Some(Value::Set(v))),
        any::<i32>().prop_map(|v| Some(Value::Date(v))),
        any::<i64>().prop_map(|v| Some(Value::Time(v))),
    ]
}

fn changes() -> impl Strategy<Value = Change> {
    let user = "\\PC{1,20}".prop_map(|text: String| -> Arc<str> { text.into() });
    let named = "[a-z_][a-z0-9_]{0,20}".prop_map(|text| name(&text));
    (0..6_u8, user, named, any::<u64>(), values()).prop_map(|(kind, user, name, version, value)| {
        match kind {
            0 => Change::Tag { user, tag: name, value },
            1 => Change::TagPublished { tag: name },
            2 => Change::Entered { user, crowd: name, version },
            3 => Change::Exited { user, crowd: name, version },
            4 => Change::CrowdPublished { crowd: name, version },
            _ => Change::UserDeleted { user },
        }
    })
}

proptest! {
    #[test]
    fn records_come_back_from_their_frames(changes in prop::collection::vec(changes(), 1..50), first in 1..u64::MAX / 2) {
        let mut bytes = Vec::new();
        let next = put_frames(&mut bytes, first, -5, 42, &changes);
        prop_assert_eq!(next, first + changes.len() as u64);
        let path = Path::new("feed");
        let mut frames = FrameReader::new(path, &bytes, 0, TornEnd::Never, FeedFrames { next: first });
        let mut back = Vec::new();
        while let Some(frame) = frames.next().unwrap() {
            back.extend(records(frame.fields, frame.payload).unwrap());
        }
        prop_assert!(back.iter().all(|record| record.at_ms == -5 && record.position == 42));
        prop_assert_eq!(ids(&back), (first..next).collect::<Vec<_>>());
        prop_assert_eq!(back.into_iter().map(|record| record.change).collect::<Vec<_>>(), changes);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0..9_u32) {
        let _ = records(crate::frame::Fields { first: 1, records: count }, &bytes);
    }
}

fn user(number: usize) -> Change {
    orders(&format!("u{number}"), 1)
}

#[tokio::test]
async fn a_copy_holds_what_was_appended_and_a_restored_feed_leaps() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let (own, copy) = (folder.path().join("own"), folder.path().join("copy"));
    let of_own = feeds(&own, &clock);
    of_own.copy_to(&folder.path().join("nothing")).await.unwrap();
    append(&of_own, &[user(1), user(2)]).await;
    // It waits to be written, and is in the copy all the same.
    of_own.append(&app(), 7, 9, &[user(3)]).await.unwrap();
    of_own.copy_to(&copy).await.unwrap();
    append(&of_own, &[user(4)]).await;
    crate::note_restored(&copy, 0, 10).unwrap();

    for restart in 0..3 {
        let restored = feeds(&copy, &clock);
        assert_eq!(ids(&read(&restored, Start::Earliest).await.unwrap())[..3], [1, 2, 3]);
        append(&restored, &[user(5 + restart)]).await;
        let behind = ids(&read(&restored, Start::After(3)).await.unwrap());
        // A second more than a minute, at 1,000 ids a ms.
        let first = 3 + (60_000 + 10) * 1_000 + 1;
        let expected: Vec<u64> = (0..=restart as u64).map(|number| first + number).collect();
        assert_eq!(behind, expected, "no gap, over restarts");
        assert_eq!(ids(&read(&restored, Start::After(2)).await.unwrap())[0], 3);
        for other in [4, first - 2] {
            let refused = read(&restored, Start::After(other)).await;
            assert!(matches!(refused, Err(Error::Gone { .. })), "{other}: {refused:?}");
        }
        // Its place is reported as that before the first record.
        let reader = restored.reader(&app(), Start::After(3)).await.unwrap();
        assert_eq!(reader.after(), first - 1);
        assert!(restored.reader(&app(), Start::After(first - 1)).await.is_ok());
    }

    // An app that is new in the restored folder, and a reader who comes before its first record.
    let restored = feeds(&copy, &clock);
    let other = AppId::new("new").unwrap();
    let mut early = restored.reader(&other, Start::After(0)).await.unwrap();
    restored.append(&other, 7, 9, &[user(1)]).await.unwrap();
    restored.flush(&other).await.unwrap();
    assert_eq!(early.read().await.unwrap().len(), 1);

    // Restored once more: behind all that there was.
    let again = folder.path().join("again");
    restored.copy_to(&again).await.unwrap();
    crate::note_restored(&again, 10, 11).unwrap();
    let restored = feeds(&again, &clock);
    append(&restored, &[user(9)]).await;
    let all = ids(&read(&restored, Start::Earliest).await.unwrap());
    assert_eq!(all.len(), 7);
    assert_eq!(ids(&read(&restored, Start::After(all[5])).await.unwrap()), [all[6]]);
    assert!(all[6] > all[5] + 60_000_000);
}
