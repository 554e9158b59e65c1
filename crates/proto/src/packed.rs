//! Yes and no, a bit each: bit `n` is bit `n % 8`, counted from the lowest, of byte `n / 8`.

/// The bytes of some answers in a row. What is left of the last byte is 0.
pub fn pack(answers: impl IntoIterator<Item = bool>) -> Vec<u8> {
    let answers = answers.into_iter();
    let mut bytes = Vec::with_capacity(answers.size_hint().0.div_ceil(8));
    for (place, answer) in answers.enumerate() {
        if place % 8 == 0 {
            bytes.push(0);
        }
        if let Some(last) = bytes.last_mut() {
            *last |= u8::from(answer) << (place % 8);
        }
    }
    bytes
}

/// The answer at a place; no where there is none.
pub fn is_set(bytes: &[u8], place: usize) -> bool {
    bytes.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_were_packed() {
        for count in [0_usize, 1, 7, 8, 9, 64, 100] {
            let answers: Vec<bool> = (0..count).map(|place| place % 3 == 1).collect();
            let bytes = pack(answers.iter().copied());
            assert_eq!(bytes.len(), count.div_ceil(8));
            let read: Vec<bool> = (0..count).map(|place| is_set(&bytes, place)).collect();
            assert_eq!(read, answers);
            assert!(!is_set(&bytes, bytes.len() * 8), "nothing is behind the end");
        }
    }
}
