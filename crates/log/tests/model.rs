//! Random histories against a log that is a vector.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use taghouse_log::{EmbeddedLog, EventLog, Options};
use taghouse_model::AppId;

const APPS: u8 = 3;

#[derive(Debug, Clone)]
enum Step {
    Append {
        app: u8,
        count: u16,
        bytes: u16,
    },
    Trim {
        app: u8,
        parts: u8,
    },
    Read {
        app: u8,
        from: u8,
        limit: u16,
    },
    Reopen,
    /// An append whose group is torn before anybody is told of it.
    Tear {
        app: u8,
        count: u16,
        bytes: u16,
        kept: u16,
    },
    Copy,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let append = (0..APPS, 1..40_u16, 0..300_u16);
    let step = prop_oneof![
        8 => append.clone().prop_map(|(app, count, bytes)| Step::Append { app, count, bytes }),
        5 => (0..APPS, any::<u8>()).prop_map(|(app, parts)| Step::Trim { app, parts }),
        5 => (0..APPS, any::<u8>(), 0..200_u16)
            .prop_map(|(app, from, limit)| Step::Read { app, from, limit }),
        2 => Just(Step::Reopen),
        2 => (append, any::<u16>())
            .prop_map(|((app, count, bytes), kept)| Step::Tear { app, count, bytes, kept }),
        1 => Just(Step::Copy),
    ];
    prop::collection::vec(step, 1..120)
}

/// An app's records from the first one on, and how many are trimmed.
#[derive(Debug, Clone, Default)]
struct Naive {
    records: Vec<Vec<u8>>,
    trimmed: usize,
}

impl Naive {
    fn read(&self, from: u64, limit: usize) -> Vec<(u64, Vec<u8>)> {
        let records = self.records.iter().enumerate().skip(self.trimmed.max(from as usize));
        records.take(limit).map(|(n, record)| (n as u64 + 1, record.clone())).collect()
    }
}

struct World {
    home: tempfile::TempDir,
    options: Options,
    log: Option<EmbeddedLog>,
    apps: BTreeMap<u8, Naive>,
    /// Makes each record another.
    made: u64,
}

fn id(app: u8) -> AppId {
    AppId::new(&format!("app{app}")).unwrap()
}

fn last_segment(folder: &Path) -> PathBuf {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == "log")).max().unwrap()
}

impl World {
    fn folder(&self) -> PathBuf {
        self.home.path().join("log")
    }

    fn open(&mut self, options: Options) {
        self.log = None;
        self.log = Some(EmbeddedLog::open_with(&self.folder(), options).unwrap());
    }

    fn log(&self) -> &EmbeddedLog {
        self.log.as_ref().unwrap()
    }

    fn records(&mut self, count: u16, bytes: u16) -> Vec<Vec<u8>> {
        let mut next = || {
            self.made += 1;
            let mut record = self.made.to_be_bytes().repeat(usize::from(bytes) / 8 + 1);
            record.truncate(usize::from(bytes));
            record
        };
        (0..count).map(|_| next()).collect()
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Append { app, count, bytes } => {
                let records = self.records(count, bytes);
                let last = self.log().append(&id(app), records.clone()).await.unwrap();
                let naive = self.apps.entry(app).or_default();
                naive.records.extend(records);
                assert_eq!(last, naive.records.len() as u64);
            }
            Step::Trim { app, parts } => {
                let naive = self.apps.entry(app).or_default();
                let through = naive.records.len() * usize::from(parts) / 255;
                naive.trimmed = naive.trimmed.max(through);
                self.log().trim(&id(app), through as u64).await.unwrap();
            }
            Step::Read { app, from, limit } => {
                let naive = self.apps.entry(app).or_default().clone();
                let from = (naive.records.len() * usize::from(from) / 250) as u64;
                let found = self.log().read(&id(app), from, limit.into()).await.unwrap();
                assert!(found == naive.read(from, limit.into()), "app {app} from {from}");
            }
            Step::Reopen => self.open(self.options),
            Step::Tear { app, count, bytes, kept } => self.tear(app, count, bytes, kept).await,
            Step::Copy => {
                let (frozen, copy) = (self.log().freeze().await.unwrap(), self.home.path());
                let copy = copy.join(format!("copy-{}", self.made));
                let _ = std::fs::remove_dir_all(&copy);
                frozen.write(&copy).unwrap();
                self.compare(&EmbeddedLog::open(&copy).unwrap()).await;
            }
        }
    }

    async fn tear(&mut self, app: u8, count: u16, bytes: u16, kept: u16) {
        // Nothing else may write meanwhile.
        self.open(Options { dead_bytes: u64::MAX, segment_bytes: 1 << 30, ..self.options });
        let path = last_segment(&self.folder());
        let before = std::fs::metadata(&path).unwrap().len();
        let records = self.records(count, bytes);
        self.log().append(&id(app), records).await.unwrap();
        self.log = None;
        assert_eq!(last_segment(&self.folder()), path);
        let content = std::fs::read(&path).unwrap();
        let group = content.len() as u64 - before;
        let kept = before + group * u64::from(kept) / 65_536;
        std::fs::write(&path, &content[..kept as usize]).unwrap();
        // Of a group that was not acknowledged it would not know.
        std::fs::remove_file(self.folder().with_extension("mark")).unwrap();
        self.open(self.options);
    }

    async fn compare(&self, log: &EmbeddedLog) {
        for (app, naive) in &self.apps {
            assert_eq!(log.end(&id(*app)).await.unwrap(), naive.records.len() as u64);
            let (mut found, mut from) = (Vec::new(), 0);
            loop {
                let records = log.read(&id(*app), from, 7).await.unwrap();
                let Some((last, _)) = records.last() else { break };
                from = *last;
                found.extend(records);
            }
            assert!(found == naive.read(0, usize::MAX), "app {app}");
        }
    }
}

fn check(steps: &[Step], options: Options) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut world = World { home, options, log: None, apps: BTreeMap::new(), made: 0 };
    world.open(options);
    runtime.block_on(async {
        for step in steps {
            world.step(step).await;
        }
        world.compare(world.log()).await;
        world.open(options);
        world.compare(world.log()).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn it_is_as_a_vector_would_be(
        steps in steps(),
        segment_bytes in 500_u64..40_000,
        frame_bytes in 1_usize..3_000,
        dead_bytes in 1_000_u64..60_000,
    ) {
        check(&steps, Options { segment_bytes, frame_bytes, dead_bytes });
    }
}
