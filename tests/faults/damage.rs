//! Every kind of file of a data folder, cut short or flipped while the server is stopped: the same
//! answers, or an error that names it.

use crate::driver::{House, eventually};
use crate::shop::{Shop, fill, text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    CutInHalf,
    CutByOneByte,
    FlippedInTheMiddle,
}

const DAMAGES: [Damage; 3] = [Damage::CutInHalf, Damage::CutByOneByte, Damage::FlippedInTheMiddle];

impl Damage {
    fn of(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::CutInHalf => bytes[..bytes.len() / 2].to_vec(),
            Self::CutByOneByte => bytes[..bytes.len() - 1].to_vec(),
            Self::FlippedInTheMiddle => {
                // Of a file that was made larger than it is yet, what is written.
                let written =
                    bytes.iter().rposition(|byte| *byte != 0).map_or(bytes.len(), |last| last + 1);
                let mut flipped = bytes.to_vec();
                flipped[written / 2] ^= 0x10;
                flipped
            }
        }
    }
}

/// A data folder's files; it can be put back in place, for it may not be copied elsewhere.
struct Backup(BTreeMap<PathBuf, Vec<u8>>);

impl Backup {
    fn of(data: &Path) -> Self {
        let mut files = BTreeMap::new();
        let mut open = vec![data.to_owned()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    files.insert(
                        path.strip_prefix(data).unwrap().to_owned(),
                        std::fs::read(&path).unwrap(),
                    );
                }
            }
        }
        Self(files)
    }

    fn put_back(&self, data: &Path) {
        std::fs::remove_dir_all(data).unwrap();
        for folder in ["lake", "log", "live", "dictionary", "objects", "uploads"] {
            std::fs::create_dir_all(data.join(folder)).unwrap();
        }
        for (path, bytes) in &self.0 {
            std::fs::create_dir_all(data.join(path).parent().unwrap()).unwrap();
            std::fs::write(data.join(path), bytes).unwrap();
        }
    }

    /// One file of each kind, the newest; all with `TAGHOUSE_DAMAGE=all`.
    fn sample(&self) -> Vec<&PathBuf> {
        let damageable = self.0.iter().filter(|(_, bytes)| bytes.len() > 1).map(|(path, _)| path);
        if std::env::var("TAGHOUSE_DAMAGE").is_ok_and(|what| what == "all") {
            return damageable.collect();
        }
        damageable
            .map(|path| (kind(path), path))
            .collect::<BTreeMap<_, _>>()
            .into_values()
            .collect()
    }
}

/// The path without what differs from one file of a kind to the next.
fn kind(path: &Path) -> String {
    let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
    let name = parts.last().unwrap();
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let of_table =
        |part: &str| if part.starts_with("tag_") { "tag".to_owned() } else { part.to_owned() };
    let letters = |name: &str| name.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    match parts.as_slice() {
        ["lake", _, table, place, ..] if name.starts_with("snap-") => {
            format!("{}/{place}/snap", of_table(table))
        }
        ["lake", _, table, place, ..] => format!("{}/{place}/{ending}", of_table(table)),
        ["objects", what, ..] => format!("{what}/{ending}"),
        _ => letters(path.to_str().unwrap()),
    }
}

/// Whether an error says which file it is about. SQLite's files are one, and so are those of the
/// log's store and of the message ids'.
fn names(said: &str, file: &Path) -> bool {
    let path = file.to_str().unwrap();
    let store = ["catalog.db", "log/", "ids/"].into_iter().find(|store| path.starts_with(store));
    said.contains(file.file_name().unwrap().to_str().unwrap())
        || store.is_some_and(|store| said.contains(store.trim_end_matches('/')))
}

/// Asks, lets an event in, produces, and asks again. What is refused must name the file.
struct Trial<'a> {
    what: String,
    file: &'a Path,
    before: &'a [String],
    after: &'a [String],
    problems: Vec<String>,
}

impl Trial<'_> {
    fn run(&mut self, house: &House, known: &Shop) {
        let server = match house.try_serve() {
            Ok(server) => server,
            Err(complaint) => return self.refused("start", &complaint),
        };
        let shop = known.with(server);
        self.compare("before", &shop.answers(), &[self.before]);
        let event = shop.event("late", "");
        if event.status != 200 {
            return self.refused("an event", &text(&event));
        }
        let arrived = || {
            let run = match shop.produce() {
                Ok(run) if run["state"] == "succeeded" => None,
                Ok(run) => Some(run.to_string()),
                Err(answer) => Some(text(&answer)),
            };
            let answers = shop.answers();
            (run.is_some() || answers == self.after).then_some((run, answers))
        };
        let (failure, answers) = late(arrived).unwrap_or_else(|| (None, shop.answers()));
        match failure {
            Some(failure) => {
                self.refused("a production", &failure);
                self.compare("after a failed production", &answers, &[self.before, self.after]);
            }
            None => self.compare("after", &answers, &[self.after]),
        }
    }

    fn refused(&mut self, what: &str, said: &str) {
        if !names(said, self.file) {
            self.problems.push(format!(
                "{}: the refusal of {what} does not name the file: {said}",
                self.what
            ));
        }
    }

    fn compare(&mut self, when: &str, answers: &[String], right: &[&[String]]) {
        for (number, answer) in answers.iter().enumerate() {
            let same = right.iter().any(|right| right[number] == *answer);
            let refused = !answer.starts_with("200 ") && names(answer, self.file);
            if !same && !refused {
                self.problems.push(format!(
                    "{} {when}: {answer}\n instead of {}",
                    self.what, right[0][number]
                ));
            }
        }
    }
}

/// What comes about within some seconds.
fn late<T>(mut check: impl FnMut() -> Option<T>) -> Option<T> {
    (0..20).find_map(|_| {
        let found = check();
        if found.is_none() {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        found
    })
}

#[test]
fn a_damaged_file_never_gives_another_answer_without_a_word() {
    let house = House::new();
    fill(&house);
    let mut shop = Shop::open(&house);
    for user in ["ann", "bob", "u3"] {
        assert_eq!(shop.event(user, "").status, 200);
    }
    assert!(shop.produce().is_ok_and(|run| run["state"] == "succeeded"));
    eventually("live calls in the answers", || {
        shop.produce().ok()?;
        (shop.users("favourite == \"live\"").len() == 2).then_some(())
    });
    assert_eq!((shop.change("Bonn").status, shop.change("Köln").status), (200, 200));
    shop.server.kill();
    let backup = Backup::of(&house.data());

    shop = shop.with(house.serve());
    let before = shop.answers();
    assert_eq!(shop.event("late", "").status, 200);
    let after = eventually("a late event in the answers", || {
        shop.produce().ok()?;
        let after = shop.answers();
        (after != before && shop.users("favourite == \"live\"").len() == 3).then_some(after)
    });
    shop.server.kill();

    let files = backup.sample();
    assert!(files.len() >= 25, "{files:?}");
    let mut problems = Vec::new();
    for (number, file) in files.into_iter().enumerate() {
        // The many kinds of the lake's files have one reader: they take turns.
        let few = file.starts_with("lake").then(|| DAMAGES[number % DAMAGES.len()]);
        for damage in few.map_or(DAMAGES.to_vec(), |damage| vec![damage]) {
            backup.put_back(&house.data());
            std::fs::write(house.data().join(file), damage.of(&backup.0[file])).unwrap();
            let what = format!("{} {damage:?}", file.display());
            let mut trial =
                Trial { what, file, before: &before, after: &after, problems: Vec::new() };
            trial.run(&house, &shop);
            problems.extend(trial.problems);
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}
