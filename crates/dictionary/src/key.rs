//! How keys are laid out.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `ordinals` | app, user id | ordinal |
//! | `ids` | app, ordinal | user id |
//! | `apps` | app | next ordinal, generation |
//!
//! An app is one byte of length and its bytes (63 at most), an ordinal 4 bytes and a generation 8, both big-endian so that byte
//! order is number order.

use taghouse_model::{AppId, Ordinal};

/// The prefix of all keys of an app, and its key in `apps`.
pub(crate) fn app(app: &AppId) -> Vec<u8> {
    let name = app.as_str().as_bytes();
    let mut key = Vec::with_capacity(1 + name.len());
    // `AppId` holds 63 bytes at most.
    key.push(name.len() as u8);
    key.extend_from_slice(name);
    key
}

/// The app whose key in `apps` this is.
pub(crate) fn app_of(key: &[u8]) -> Option<AppId> {
    let (length, name) = key.split_first()?;
    if usize::from(*length) != name.len() {
        return None;
    }
    AppId::new(std::str::from_utf8(name).ok()?).ok()
}

/// `prefix` followed by `tail`, written over what `key` held: bulk calls reuse one buffer.
pub(crate) fn join(key: &mut Vec<u8>, prefix: &[u8], tail: &[u8]) {
    key.clear();
    key.extend_from_slice(prefix);
    key.extend_from_slice(tail);
}

/// The ordinal in the last four bytes of `bytes`.
pub(crate) fn ordinal_of(bytes: &[u8]) -> Option<Ordinal> {
    bytes.last_chunk().map(|b| Ordinal::from_be_bytes(*b))
}

/// The value of an app in `apps`.
pub(crate) fn app_value(next: Ordinal, generation: u64) -> [u8; 12] {
    let mut value = [0; 12];
    value[..4].copy_from_slice(&next.to_be_bytes());
    value[4..].copy_from_slice(&generation.to_be_bytes());
    value
}

/// The next ordinal and the generation in a value of `apps`.
pub(crate) fn parse_app_value(value: &[u8]) -> Option<(Ordinal, u64)> {
    let value: &[u8; 12] = value.try_into().ok()?;
    Some((Ordinal::from_be_bytes(*value.first_chunk()?), u64::from_be_bytes(*value.last_chunk()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_app_is_a_prefix_of_another() {
        let (short, long) = (AppId::new("a").unwrap(), AppId::new("ab").unwrap());
        let mut key = Vec::new();
        join(&mut key, &app(&short), b"bcd");
        assert!(!key.starts_with(&app(&long)));
        assert_eq!(app_of(&app(&long)), Some(long));
        assert_eq!(app_of(b"\x02a"), None);
    }

    #[test]
    fn app_values_come_back() {
        assert_eq!(parse_app_value(&app_value(7, u64::MAX)), Some((7, u64::MAX)));
        assert_eq!(parse_app_value(b"short"), None);
    }
}
