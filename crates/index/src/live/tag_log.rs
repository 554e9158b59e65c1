use crate::MAX_VALUES;
use crate::error::{Error, Result};
use crate::number;
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use taghouse_model::{MAX_TEXT_BYTES, Name, Value, ValueType};

/// What a text takes in memory beside its bytes: two places in tables, and the counts of its
/// owners.
const TEXT_OVERHEAD: u64 = 64;

/// What the log knows of a tag: its type, and the texts that its live values stand for.
pub(crate) struct TagLog {
    pub(crate) name: Name,
    pub(crate) value_type: ValueType,
    texts: RwLock<Texts>,
    /// What the texts of all tags of the app take.
    text_bytes: Arc<AtomicU64>,
}

#[derive(Default)]
struct Texts {
    codes: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    /// What they take, as far as it counts for the app.
    bytes: u64,
}

/// What a text of so many bytes takes.
pub(crate) fn text_bytes(text: &str) -> u64 {
    text.len() as u64 + TEXT_OVERHEAD
}

impl Drop for TagLog {
    fn drop(&mut self) {
        self.retire();
    }
}

impl TagLog {
    /// A tag without texts; those that come count in `text_bytes`.
    pub(crate) fn new(name: Name, value_type: ValueType, text_bytes: Arc<AtomicU64>) -> Self {
        Self { name, value_type, texts: RwLock::default(), text_bytes }
    }

    /// Whether it has texts that count.
    pub(crate) fn counts(&self) -> bool {
        self.texts.read().bytes > 0
    }

    /// Its texts count no more: another takes its place, and those who still read it are on their
    /// way out.
    pub(crate) fn retire(&self) {
        let mut texts = self.texts.write();
        self.text_bytes.fetch_sub(std::mem::take(&mut texts.bytes), Ordering::Relaxed);
    }

    /// The code of a text, a new one for a text not met before.
    ///
    /// # Errors
    /// `Value` for a text too long, or one text too many.
    pub(crate) fn code(&self, text: &Arc<str>) -> Result<i64> {
        if let Some(code) = self.texts.read().codes.get(text.as_ref()) {
            return Ok(i64::from(*code));
        }
        if text.len() > MAX_TEXT_BYTES {
            return Err(
                self.refuse(format!("a text has {} bytes, more than {MAX_TEXT_BYTES}", text.len()))
            );
        }
        let mut texts = self.texts.write();
        if let Some(code) = texts.codes.get(text.as_ref()) {
            return Ok(i64::from(*code));
        }
        if texts.texts.len() >= MAX_VALUES {
            return Err(self
                .refuse(format!("its live changes have more than {MAX_VALUES} different values")));
        }
        let code = texts.texts.len() as u32;
        texts.codes.insert(text.clone(), code);
        texts.texts.push(text.clone());
        texts.bytes += text_bytes(text);
        self.text_bytes.fetch_add(text_bytes(text), Ordering::Relaxed);
        Ok(i64::from(code))
    }

    /// The code of a text, if it was met before.
    pub(crate) fn known_code(&self, text: &str) -> Option<i64> {
        self.texts.read().codes.get(text).map(|code| i64::from(*code))
    }

    /// The text of a code.
    pub(crate) fn text(&self, code: i64) -> Option<Arc<str>> {
        self.texts.read().texts.get(usize::try_from(code).ok()?).cloned()
    }

    /// The value that an entry of a tag of one value stands for; of a set, the member.
    pub(crate) fn value_of(&self, value: i64) -> Option<Value> {
        match self.value_type {
            ValueType::Bool => Some(Value::Bool(value == 1)),
            ValueType::Text | ValueType::Set => self.text(value).map(Value::Text),
            _ => number::value_of_units(i128::from(value), self.value_type),
        }
    }

    pub(crate) fn has_texts(&self) -> bool {
        matches!(self.value_type, ValueType::Text | ValueType::Set)
    }

    pub(crate) fn refuse(&self, problem: String) -> Error {
        Error::Change { tag: self.name.to_string(), value_type: self.value_type, problem }
    }
}
