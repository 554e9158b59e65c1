//! Numbers with a decimal comma: `1.234,56` is 1234.56.

/// What is wrong with a text that should be such a number.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoCommaNumber;

/// The number with a point. `None`: the text is not a valid number of any form, or has one already;
/// others say what to make of it.
///
/// # Errors
/// The text is a number, but not one with a decimal comma whose thousands, if they are parted, are
/// parted by one sign everywhere.
pub(crate) fn with_point(text: &str) -> Result<Option<String>, NoCommaNumber> {
    let text = text.trim();
    let (sign, unsigned) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (if text.starts_with('-') { "-" } else { "" }, rest),
        None => ("", text),
    };
    let parts = |c: char| matches!(c, '.' | ' ' | '\u{a0}' | '\u{202f}' | '\'' | '\u{2019}');
    let looks = unsigned.chars().all(|c| c.is_ascii_digit() || c == ',' || parts(c))
        && unsigned.chars().any(|c| c.is_ascii_digit());
    if !looks || unsigned.chars().all(|c| c.is_ascii_digit()) {
        return Ok(None);
    }
    let (whole, fraction) = unsigned.split_once(',').unwrap_or((unsigned, ""));
    if !fraction.chars().all(|c| c.is_ascii_digit()) {
        return Err(NoCommaNumber);
    }
    let mut digits = String::with_capacity(text.len());
    digits.push_str(sign);
    match whole.chars().find(|c| parts(*c)) {
        None if whole.is_empty() => digits.push('0'),
        None => digits.push_str(whole),
        Some(separator) => {
            for (at, group) in whole.split(separator).enumerate() {
                let fits = group.chars().all(|c| c.is_ascii_digit())
                    && if at == 0 { (1..=3).contains(&group.len()) } else { group.len() == 3 };
                if !fits {
                    return Err(NoCommaNumber);
                }
                digits.push_str(group);
            }
        }
    }
    if !fraction.is_empty() {
        digits.push('.');
        digits.push_str(fraction);
    }
    Ok(Some(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("1234,56", Ok(Some("1234.56"))),
            ("1.000,00", Ok(Some("1000.00"))),
            ("-1.234.567,8", Ok(Some("-1234567.8"))),
            ("+7,5", Ok(Some("7.5"))),
            ("1 234,5", Ok(Some("1234.5"))),
            ("1\u{202f}234", Ok(Some("1234"))),
            ("1'234,5", Ok(Some("1234.5"))),
            (",5", Ok(Some("0.5"))),
            ("5,", Ok(Some("5"))),
            (" 7,5 ", Ok(Some("7.5"))),
            ("1.234", Ok(Some("1234"))),
            ("42", Ok(None)),
            ("-42", Ok(None)),
            ("", Ok(None)),
            ("NA", Ok(None)),
            ("1,5e3", Ok(None)),
            ("1234.56", Err(NoCommaNumber)),
            ("1,234,567", Err(NoCommaNumber)),
            ("1,234.56", Err(NoCommaNumber)),
            ("1.23,4", Err(NoCommaNumber)),
            ("1.234 567,8", Err(NoCommaNumber)),
            ("1234.567,8", Err(NoCommaNumber)),
        ] {
            assert_eq!(
                with_point(text),
                expected.map(|number: Option<&str>| number.map(str::to_owned)),
                "{text:?}"
            );
        }
    }
}
