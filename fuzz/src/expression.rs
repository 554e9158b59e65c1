//! Expressions as text, of tags and of crowds: what is read is printed, and reads as the same.

use taghouse_rules::{parse_predicate, parse_scalar};

pub fn read(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(predicate) = parse_predicate(text) {
        assert_eq!(parse_predicate(&predicate.to_string()).ok().as_ref(), Some(&predicate));
        let _ = (predicate.names(), predicate.crowds());
    }
    if let Ok(scalar) = parse_scalar(text) {
        assert_eq!(parse_scalar(&scalar.to_string()).ok().as_ref(), Some(&scalar));
        let _ = scalar.names();
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "city == \"Berlin\" and not (spend_30d >= 50.25 or crowd:others)",
        "tags in (\"a\", 'b', 3) && x between -5 and 7",
        "name like 'a%\\_b' or name is set",
        "is_new == true and day < \"2026-06-01\" and !(n != 1)",
        "if(a > 1, coalesce(b, 2) / 3, abs(-c) * 1.5)",
        "`odd name` == 1",
        "((((a))))",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
