//! Expressions as JSON, as callers and stored definitions bring them: lossless, and the text form
//! reads as the same.

use serde_json::Value as Json;
use taghouse_rules::{Predicate, Scalar, parse_predicate, parse_scalar};

pub fn read(data: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Json>(data) else { return };
    if let Ok(predicate) = Predicate::from_json(&json) {
        assert_eq!(Predicate::from_json(&predicate.to_json()).ok().as_ref(), Some(&predicate));
        let _ = parse_predicate(&predicate.to_string());
    }
    if let Ok(scalar) = Scalar::from_json(&json) {
        assert_eq!(Scalar::from_json(&scalar.to_json()).ok().as_ref(), Some(&scalar));
        let _ = parse_scalar(&scalar.to_string());
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts = super::expression::seeds();
    let texts = texts.iter().filter_map(|text| std::str::from_utf8(text).ok());
    let jsons = texts.flat_map(|text| {
        let predicate = parse_predicate(text).ok().map(|predicate| predicate.to_json());
        [predicate, parse_scalar(text).ok().map(|scalar| scalar.to_json())]
    });
    jsons.flatten().map(|json| json.to_string().into_bytes()).collect()
}
