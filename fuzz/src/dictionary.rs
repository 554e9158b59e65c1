//! The dictionary's files, below their checksums: the first byte chooses which file of a sound
//! folder is replaced by the rest.

use crate::folder::Folder;
use std::cell::LazyCell;
use std::sync::LazyLock;
use taghouse_dictionary::{Dictionary, Error, Options};
use taghouse_model::AppId;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const OPTIONS: Options = Options { seal_ids: 40, seal_bytes: 4_096, most_ids: u32::MAX };
const BLOCK_BYTES: usize = 64 << 10;
const NUMBERS_BYTES: usize = 24;
const TAIL_HEAD: usize = 16;
const FRAME_HEAD: usize = 32;

static APP: LazyLock<AppId> = LazyLock::new(|| AppId::new("shop").expect("a name"));

/// The files of a sound dictionary.
static SOUND: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let folder = Folder::new("sound");
    let dictionary = Dictionary::open_with(folder.path(), OPTIONS).expect("an empty folder opens");
    for from in [0, 45, 90] {
        let ids: Vec<String> = (from..from + 45).map(id_of).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        dictionary.assign(&APP, &ids).expect("ids are given ordinals");
    }
    dictionary.delete(&APP, &[3, 50, 130]).expect("users are deleted");
    let late: Vec<String> = (200..245).map(id_of).collect();
    dictionary
        .assign(&APP, &late.iter().map(String::as_str).collect::<Vec<_>>())
        .expect("ids are given ordinals");
    dictionary.assign(&APP, &["last"]).expect("an id is given an ordinal");
    dictionary.delete(&APP, &[9]).expect("a user is deleted");
    drop(dictionary);
    folder.files().into_iter().filter(|(path, _)| path.contains('/')).collect()
});

fn id_of(number: u32) -> String {
    match number % 3 {
        0 => format!("{number:08x}-1234-4abc-8def-0123456789ab"),
        1 => number.to_string(),
        _ => format!("person.{number}@example.com"),
    }
}

thread_local! {
    static FOLDER: LazyCell<Folder> = LazyCell::new(|| Folder::new("dictionary"));
}

pub fn read(data: &[u8]) {
    let Some((chosen, content)) = data.split_first() else { return };
    let chosen = usize::from(*chosen) % SOUND.len();
    FOLDER.with(|folder| {
        folder.clear();
        folder.write("FORM", b"taghouse dictionary 1\n");
        for (number, (path, sound)) in SOUND.iter().enumerate() {
            let replaced = (number == chosen).then(|| sealed(path, sound, content));
            folder.write(path, replaced.as_ref().unwrap_or(sound));
        }
        if let Ok(dictionary) = Dictionary::open_with(folder.path(), OPTIONS) {
            ask(&dictionary);
        }
    });
}

/// Everything that is asked of a dictionary, and all that rewrites its files.
fn ask(dictionary: &Dictionary) {
    let ids: Vec<String> = (0..250).map(id_of).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).chain(["last", "nobody"]).collect();
    let _ = (dictionary.lookup(&APP, &ids), dictionary.len(&APP), dictionary.generation(&APP));
    let ordinals: Vec<u32> = (0..200).chain([u32::MAX]).collect();
    let _ = (
        dictionary.resolve(&APP, &ordinals),
        dictionary.resolve_sorted(&APP, 0..200).take(300).count(),
    );
    let _ = (
        dictionary.assign(&APP, &["new", "1", "last"]),
        dictionary.delete(&APP, &[1, 7, 100, 5_000]),
    );
    let _ = dictionary.assign(&APP, &ids);
    let _ = dictionary.purge(&APP);
    if let Ok(repack) = dictionary.repack(&APP, (0..150).step_by(2)) {
        let _ = repack.finish(|_| Ok::<(), Error>(()));
    }
    let _ = dictionary.lookup(&APP, &ids);
}

fn kind_of(path: &str) -> Option<u64> {
    let name = path.rsplit('/').next().unwrap_or_default();
    [("ids-", 1), ("run-", 2), ("deleted-", 3)]
        .into_iter()
        .find(|(prefix, _)| name.starts_with(prefix))
        .map(|(_, kind)| kind)
}

/// `content` in the form of a file of this name, so that all its checksums hold.
fn sealed(path: &str, sound: &[u8], content: &[u8]) -> Vec<u8> {
    if path.ends_with("manifest.json") {
        let head = format!("taghouse-dictionary 1 {:016x}\n", xxh3_64(content));
        return [head.as_bytes(), content, b"\n"].concat();
    }
    match kind_of(path) {
        Some(kind) => block_file(kind, content),
        None => [sound.get(..TAIL_HEAD).unwrap_or_default(), &frames(content)].concat(),
    }
}

/// Three numbers of the kind's own, then the body.
fn block_file(kind: u64, content: &[u8]) -> Vec<u8> {
    let (numbers, body) = content.split_at(NUMBERS_BYTES.min(content.len()));
    let mut head = numbers.to_vec();
    head.resize(NUMBERS_BYTES, 0);
    let mut end: Vec<u8> =
        body.chunks(BLOCK_BYTES).flat_map(|block| xxh3_64(block).to_le_bytes()).collect();
    end.extend_from_slice(b"THDICT01");
    end.extend_from_slice(&kind.to_le_bytes());
    end.extend_from_slice(&(body.len() as u64).to_le_bytes());
    end.extend_from_slice(&head);
    end.extend_from_slice(&xxh3_64(&end).to_le_bytes());
    [body, &end].concat()
}

/// The frames of a log, each with its checksums put right.
fn frames(content: &[u8]) -> Vec<u8> {
    let (mut log, mut at) = (content.to_vec(), 0);
    while let Some(frame) = log.get_mut(at..).filter(|frame| frame.len() >= FRAME_HEAD) {
        frame[..4].copy_from_slice(b"THF1");
        let len = u32::from_le_bytes([frame[16], frame[17], frame[18], frame[19]]) as usize;
        let seed = xxh3_64(&frame[..20]);
        frame[20..24].copy_from_slice(&(seed as u32).to_le_bytes());
        let Some(payload) = frame.get(FRAME_HEAD..FRAME_HEAD.saturating_add(len)) else { break };
        let checksum = xxh3_64_with_seed(payload, seed);
        frame[24..32].copy_from_slice(&checksum.to_le_bytes());
        at += FRAME_HEAD + len;
    }
    log
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, (path, sound)) in SOUND.iter().enumerate() {
        let content = if path.ends_with("manifest.json") {
            let json = sound.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default();
            json.strip_suffix(b"\n").unwrap_or(json).to_vec()
        } else if kind_of(path).is_some() {
            let footer = sound.len() - 56;
            let body =
                u64::from_le_bytes(sound[footer + 16..footer + 24].try_into().unwrap_or_default())
                    as usize;
            [&sound[footer + 24..footer + 48], &sound[..body]].concat()
        } else {
            sound[TAIL_HEAD..].to_vec()
        };
        assert_eq!(
            &sealed(path, sound, &content),
            sound,
            "{path}: the form is the one that the dictionary writes"
        );
        seeds.push([&[number as u8], &content[..]].concat());
    }
    seeds
}
