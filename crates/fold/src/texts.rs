use crate::partial::Text;
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// Texts, each once, by number. One per worker.
#[derive(Default)]
pub(crate) struct Texts {
    table: HashTable<u32>,
    bytes: String,
    /// Where each text ends.
    ends: Vec<usize>,
}

impl Texts {
    /// The text's number, a new one if it is new.
    pub(crate) fn intern(&mut self, text: &str) -> Text {
        let hash = xxh3_64(text.as_bytes());
        let (bytes, ends) = (&self.bytes, &self.ends);
        if let Some(found) = self.table.find(hash, |id| slice(bytes, ends, *id) == text) {
            return Text(*found);
        }
        let id = self.ends.len() as u32;
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
        let (bytes, ends) = (&self.bytes, &self.ends);
        self.table.insert_unique(hash, id, |id| xxh3_64(slice(bytes, ends, *id).as_bytes()));
        Text(id)
    }

    /// The text of a number that `intern` gave.
    pub(crate) fn get(&self, text: Text) -> &str {
        slice(&self.bytes, &self.ends, text.0)
    }
}

fn slice<'a>(bytes: &'a str, ends: &[usize], id: u32) -> &'a str {
    let id = id as usize;
    let start = if id == 0 { 0 } else { ends[id - 1] };
    &bytes[start..ends[id]]
}
