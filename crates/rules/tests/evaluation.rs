//! What conditions and computed values say of one row, above all where values are missing.
#![allow(clippy::unwrap_used, clippy::panic)]

use jiff::tz::TimeZone;
use proptest::prelude::*;
use rust_decimal::Decimal;
use taghouse_model::{Value, ValueType};
use taghouse_rules::{
    Literal, Predicate, Scalar, coerce, like, like_prefix, parse_predicate, parse_scalar,
};

fn london() -> TimeZone {
    TimeZone::get("Europe/London").unwrap()
}

fn type_of(name: &str) -> Option<ValueType> {
    Some(match name {
        "country" | "no_country" => ValueType::Text,
        "countries" | "no_countries" => ValueType::Set,
        "orders" | "no_orders" => ValueType::Int,
        "spend" | "no_spend" => ValueType::Decimal { scale: 2 },
        "vip" | "no_vip" => ValueType::Bool,
        "signup" | "no_signup" => ValueType::Date,
        "seen" | "no_seen" => ValueType::Time,
        "big" => ValueType::Int,
        "long" => ValueType::Decimal { scale: 12 },
        _ => return None,
    })
}

/// The row that all cases ask; everything called `no_…` is missing.
fn value_of(name: &str) -> Option<Value> {
    Some(match name {
        "country" => Value::text("DE"),
        "countries" => Value::Set(["DE".into(), "FR".into()].into()),
        "orders" => Value::Int(3),
        "spend" => Value::Decimal(Decimal::new(1050, 2)),
        "vip" => Value::Bool(true),
        "signup" => Value::Date(15_309),          // 2011-12-01
        "seen" => Value::Time(1_309_474_800_000), // 2011-06-30T23:00Z, midnight of July in London
        "big" => Value::Int(i64::MAX),
        "long" => Value::Decimal("1234567890123456.123456789012".parse().unwrap()),
        "crowd:friends" => Value::Bool(true),
        _ => return None,
    })
}

#[test]
fn truth() {
    let cases = [
        ("orders == 3", true),
        ("orders != 3", false),
        ("orders < 3", false),
        ("orders <= 3", true),
        ("orders > 2.5", true),
        ("orders >= 3.0", true),
        ("orders == 3.00", true),
        ("orders < 3.0000000001", true),
        ("orders between 3 and 3", true),
        ("orders between 2.9 and 2.99", false),
        ("orders between 4 and 2", false),
        ("orders in (1, 3.0)", true),
        ("LESS(orders, 4) && BETWEEN(orders, 1, 3) && in(orders, 3) && Like(country, 'D_')", true),
        ("spend == 10.5", true),
        ("spend > 10.499", true),
        ("spend < 11", true),
        ("spend in (10.500)", true),
        ("country == 'DE'", true),
        ("country == 'de'", false),
        ("country != 'FR'", true),
        ("country in ('FR', 'DE')", true),
        ("country like '%E'", true),
        ("countries == 'FR'", true),
        ("countries == 'AT'", false),
        ("countries != 'FR'", false),
        ("countries != 'AT'", true),
        ("countries in ('AT', 'DE')", true),
        ("countries like 'F%'", true),
        ("countries like 'A%'", false),
        ("vip == true", true),
        ("vip == 1", true),
        ("vip != 0", true),
        ("signup == '2011-12-01'", true),
        ("signup between '2011-11-01' and '2011-11-30'", false),
        ("seen == '2011-07-01'", true),
        ("seen >= '2011-07-01T00:00'", true),
        ("seen < '2011-07-01T00:00:00.001'", true),
        ("seen == '2011-06-30T23:00Z'", true),
        ("seen == '2011-07-01 01:00:00+01:00'", false),
        ("seen == '2011-07-01 00:00:00+01:00'", true),
        ("crowd('friends')", true),
        ("crowd('unknown_users')", false),
        ("!crowd('unknown_users')", true),
        ("orders is set", true),
        // Missing values: every condition is false, and so its negation is true.
        ("no_orders == 3", false),
        ("no_orders != 3", false),
        ("no_orders < 1", false),
        ("no_orders >= 1", false),
        ("!(no_orders >= 1)", true),
        ("!(no_orders != 3)", true),
        ("no_orders between 0 and 9", false),
        ("no_orders in (0)", false),
        ("no_orders is set", false),
        ("!(no_orders is set)", true),
        ("no_country like '%'", false),
        ("no_country != 'DE'", false),
        ("no_countries != 'DE'", false),
        ("no_vip == false", false),
        ("no_vip != true", false),
        ("no_spend <= 0", false),
        ("no_signup < '2100-01-01'", false),
        ("no_seen < '2100-01-01'", false),
        ("no_orders not in (5)", false),
        ("!(no_orders not in (5))", true),
        ("no_orders not between 5 and 6", false),
        ("no_country not like 'D%'", false),
        ("no_countries has any ('DE')", false),
        ("no_countries not in ('DE')", false),
        ("no_orders is not set", true),
        ("orders is not set", false),
        ("no_orders > no_spend", false),
        ("no_orders <= orders", false),
        ("orders != no_orders", false),
        ("!(orders != no_orders)", true),
        ("orders / 0 > 1", false),
        ("orders / 0 <= 1", false),
        ("orders / 0 is set", false),
        ("orders + 1 not in (7, 4)", false),
        ("no_orders + 1 not in (7, 4)", false),
        ("no_vip", false),
        ("!no_vip", true),
        ("coalesce(no_vip, true)", true),
        // Whole expressions on both sides.
        ("spend > orders", true),
        ("orders < spend && !(spend <= orders)", true),
        ("orders == 3.00 + 0", true),
        ("3 < spend", true),
        ("11 <= spend", false),
        ("spend / orders > 3.4999999999999999999999", true),
        ("spend / orders == 3.5", true),
        ("spend / orders * 3 == spend", true),
        ("1 / 3 * 3 == 1", true),
        ("orders * 2 between spend - 5 and spend", true),
        ("orders + 1 in (4, 5)", true),
        ("orders + 1 not in (4, 5)", false),
        ("orders + 0.5 not in (4, 5)", true),
        ("coalesce(no_orders, 0) > 0", false),
        ("coalesce(no_orders, 0) >= 0", true),
        ("coalesce(orders, 0) > 2", true),
        ("0 == coalesce(no_orders, 0)", true),
        ("coalesce(no_orders, orders) == 3", true),
        ("lower(country) == 'de'", true),
        ("lower(country) in ('de', 'at')", true),
        ("lower(country) like 'd%'", true),
        ("lower(no_country) == 'de'", false),
        ("lower(country) not like 'd%'", false),
        ("greatest(signup, '2012-01-01') > '2011-12-31'", true),
        ("signup < coalesce(no_signup, '2011-12-02')", true),
        ("big * big > big", true),
        ("big * big / big == big", true),
        ("-orders < -2", true),
        ("(orders + 1) * 2 == 8", true),
        ("(orders) == 3", true),
        ("vip", true),
        ("not vip", false),
        ("vip && orders > 2", true),
        ("vip and not (orders > 5 or no_vip)", true),
        ("if(orders > 2, vip, false)", true),
        ("if(vip, 1, 2) == 1", true),
        ("true", true),
        ("orders not in (3)", false),
        ("orders not in (4, 5)", true),
        ("orders not between 4 and 5", true),
        ("country not like 'D%'", false),
        ("country NOT IN ('FR')", true),
        ("countries not in ('AT')", true),
        ("countries not in ('AT', 'FR')", false),
        ("countries has any ('AT', 'FR')", true),
        ("countries has any ('AT')", false),
        ("countries has all ('DE', 'FR')", true),
        ("countries has all ('DE', 'AT')", false),
        ("not countries has all ('DE', 'AT')", true),
        ("countries == country", true),
        ("country == countries", true),
        ("countries != country", false),
        ("coalesce(no_countries, countries) has any ('FR')", true),
        ("orders == 3 && no_orders == 3", false),
        ("orders == 3 || no_orders == 3", true),
        ("!(orders == 3 && no_orders == 3)", true),
        ("no_orders < 1 || !(no_orders < 1)", true),
        // `and` binds closer than `or`, `not` closest.
        ("orders == 3 || orders == 4 && orders == 5", true),
        ("(orders == 3 || orders == 4) && orders == 5", false),
        ("not orders == 4 and orders == 3", true),
        ("NOT (orders == 3 OR orders == 4)", false),
    ];
    for (text, expected) in cases {
        let tree = parse_predicate(text).unwrap();
        let checked = tree.check(&type_of, &|_| true, &london()).unwrap();
        assert_eq!(checked.matches(&value_of), expected, "{text}");
        let printed = parse_predicate(&tree.to_string())
            .unwrap()
            .check(&type_of, &|_| true, &london())
            .unwrap();
        assert_eq!(printed, checked, "{text} printed as {tree}");
    }
}

#[test]
fn values() {
    let cases = [
        ("orders + 1", "int", "4"),
        ("orders - 1 - 1", "int", "1"),
        ("orders - (1 - 1)", "int", "3"),
        ("orders * orders", "int", "9"),
        ("-orders + 10 * 2", "int", "17"),
        ("orders / 2", "decimal(4)", "1.5"),
        ("1 / 3", "decimal(4)", "0.3333"),
        ("2 / 3", "decimal(4)", "0.6667"),
        ("-2 / 3", "decimal(4)", "-0.6667"),
        ("orders / 0", "decimal(4)", "-"),
        ("spend / orders", "decimal(4)", "3.5"),
        // Rounded once: thirds come together again.
        ("orders / 9 * 3", "decimal(4)", "1"),
        ("1 / 3 + 1 / 3 + 1 / 3", "decimal(4)", "1"),
        ("round(89.00 / 6 * 3, 0)", "int", "45"),
        ("round(-89.00 / 6 * 3, 0)", "int", "-45"),
        ("0.00005 * 1", "decimal(5)", "0.00005"),
        ("10.00 / 3 * 1.0000000001", "decimal(12)", "3.333333333667"),
        ("spend * orders", "decimal(2)", "31.50"),
        ("spend * spend", "decimal(4)", "110.25"),
        ("spend + 0.001", "decimal(3)", "10.501"),
        ("round(spend, 0)", "int", "11"),
        ("round(-spend, 0)", "int", "-11"),
        ("round(spend / 4, 1)", "decimal(1)", "2.6"),
        ("round(orders, 2)", "int", "3"),
        ("abs(-spend)", "decimal(2)", "10.50"),
        ("big + 1", "int", "-"),
        ("-big - 2", "int", "-"),
        ("abs(-big)", "int", "9223372036854775807"),
        ("big * big", "int", "-"),
        ("big * 1.0", "decimal(1)", "9223372036854775807.0"),
        // Of 64 bits on the way, of 28 digits in the end: no value rather than a rounded one.
        ("big * big / big", "decimal(4)", "9223372036854775807"),
        ("long * long", "decimal(12)", "-"),
        ("long + 0.1", "decimal(12)", "1234567890123456.223456789012"),
        ("no_orders + 1", "int", "-"),
        ("coalesce(no_orders, 0)", "int", "0"),
        ("coalesce(no_orders, no_orders)", "int", "-"),
        ("coalesce(no_orders, orders, 7) + 1", "int", "4"),
        ("coalesce(orders, 1.25)", "decimal(2)", "3"),
        ("coalesce(no_orders, 0) / orders", "decimal(4)", "0"),
        ("least(no_orders, orders, 5)", "int", "3"),
        ("greatest(orders, spend, 4)", "decimal(2)", "10.50"),
        ("greatest(country, 'AT')", "enum", "DE"),
        ("least(no_orders)", "int", "-"),
        ("least(signup, '2011-11-05')", "date", "2011-11-05"),
        ("coalesce(no_seen, '2011-07-01')", "date(millisecond)", "2011-06-30T23:00:00Z"),
        ("if(no_orders > 1, 1, 2)", "int", "2"),
        ("if(orders > 1, orders, spend)", "decimal(2)", "3"),
        ("if(orders > 1, no_orders, 2)", "int", "-"),
        ("lower(country)", "enum", "de"),
        ("upper(trim(' a '))", "enum", "A"),
        ("lower(no_country)", "enum", "-"),
        ("countries", "set", "[\"DE\", \"FR\"]"),
        ("coalesce(no_vip, false)", "bool", "false"),
        ("seen", "date(millisecond)", "2011-06-30T23:00:00Z"),
    ];
    for (text, ty, expected) in cases {
        let (checked, found) = parse_scalar(text).unwrap().check(&type_of, &london()).unwrap();
        assert_eq!(found.to_string(), ty, "{text}");
        let value = checked.value(found, &value_of);
        assert!(
            value.as_ref().is_none_or(|value| value.is_of(found)),
            "{text}: a value that is not of {found}"
        );
        let shown = value.map_or("-".to_owned(), |v| v.to_string());
        let alike = |a: &str, b: &str| {
            a == b
                || matches!((a.parse::<Decimal>(), b.parse::<Decimal>()), (Ok(a), Ok(b)) if a == b)
        };
        assert!(alike(&shown, expected), "{text} is {shown}, not {expected}");
    }
}

#[test]
fn scalars_that_do_not_fit() {
    let cases = [
        ("country + 1", "`+` needs a number, and this is of type `enum`"),
        ("1 + country", "`+` needs a number, and this is of type `enum`"),
        ("-country", "`-` needs a number, and this is of type `enum`"),
        ("signup - signup", "`-` needs a number, and this is of type `date`"),
        (
            "coalesce(country, 1)",
            "`coalesce` needs values of one type, and this is of type `int`, not `enum`",
        ),
        (
            "coalesce(orders, 'x')",
            "`coalesce` needs values of one type, and this is text in quotes, not `int`",
        ),
        ("coalesce(signup, 'x')", "\"x\" is not a day; write it like \"2011-12-01\""),
        (
            "coalesce(signup, seen)",
            "`coalesce` needs values of one type, and this is of type `date, precision: millisecond`, not `date`",
        ),
        (
            "greatest(vip, true)",
            "`greatest` needs numbers, dates or texts, and this is of type `bool`",
        ),
        ("round(spend, orders)", "`round` needs the number of digits as a literal from 0 to 12"),
        ("round(spend, 13)", "`round` needs the number of digits as a literal from 0 to 12"),
        ("lower(orders)", "`lower` needs text, and this is of type `int`"),
        ("abs(country)", "`abs` needs a number, and this is of type `enum`"),
        ("if(country > 1, 1, 2)", "`country` is of type `enum`, and `>` needs a number or a date"),
        (
            "if(orders > 1, 1, 'a')",
            "`if` needs values of one type, and this is text in quotes, not `int`",
        ),
        ("if(crowd('x'), 1, 2)", "there is no crowd `x`"),
        ("nobody", "unknown name `nobody`"),
    ];
    for (text, expected) in cases {
        assert_eq!(
            parse_scalar(text).unwrap().check(&type_of, &london()).unwrap_err().message,
            expected,
            "{text}"
        );
    }
}

#[test]
fn literals_become_values() {
    let zone = london();
    let text = |t: &str| Literal::Text(t.to_owned());
    let decimal = |t: &str| Decimal::from_str_exact(t).unwrap();
    let cases = [
        (Literal::Int(1), ValueType::Bool, Ok(Value::Bool(true))),
        (Literal::Int(2), ValueType::Bool, Err("true or false is expected")),
        (Literal::Int(2), ValueType::Decimal { scale: 0 }, Ok(Value::Decimal(Decimal::TWO))),
        (Literal::Decimal(decimal("2.5")), ValueType::Int, Ok(Value::Decimal(decimal("2.5")))),
        (text("a"), ValueType::Set, Ok(Value::text("a"))),
        (text("1970-01-01"), ValueType::Date, Ok(Value::Date(0))),
        (text("1969-12-31"), ValueType::Date, Ok(Value::Date(-1))),
        (text("2012-02-29"), ValueType::Date, Ok(Value::Date(15_399))),
        (text("2011-02-29"), ValueType::Date, Err("no")),
        // British summer time all year round in 1970.
        (text("1970-01-01"), ValueType::Time, Ok(Value::Time(-3_600_000))),
        (text("1970-01-01T00:00Z"), ValueType::Time, Ok(Value::Time(0))),
        (text("1970-01-01T00:00:01.5Z"), ValueType::Time, Ok(Value::Time(1_500))),
        (text("2011-03-27T01:30"), ValueType::Time, Ok(Value::Time(1_301_189_400_000))), /* in the gap: as far after it */
        (text("1970-01-01T00"), ValueType::Time, Err("not a time")),
        (text("1970-01-01T00:00[Europe/Paris]"), ValueType::Time, Err("not a time")),
        (text("19700101"), ValueType::Time, Err("not a time")),
        (Literal::Int(0), ValueType::Time, Err("where a time")),
        (text(&"x".repeat(1025)), ValueType::Text, Err("more than a value's 1024")),
    ];
    for (literal, ty, expected) in cases {
        match (coerce(&literal, ty, &zone), expected) {
            (Ok(value), Ok(expected)) => assert_eq!(value, expected, "{literal} as {ty}"),
            (Err(e), Err(part)) => assert!(e.contains(part), "{literal} as {ty}: {e}"),
            (found, expected) => panic!("{literal} as {ty} is {found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn patterns() {
    let cases = [
        ("", "", true),
        ("", "a", false),
        ("%", "", true),
        ("a%", "abc", true),
        ("%c", "abc", true),
        ("a%c", "abcabc", true),
        ("a%b%c", "a--b--b--c", true),
        ("a%b%c", "a--c--c", false),
        ("_", "ß", true),
        ("_", "", false),
        ("__", "ß", false),
        ("a\\%", "a%", true),
        ("a\\%", "ab", false),
        ("a\\_", "a_", true),
        ("a\\", "a\\", true),
        ("a\\\\%", "a\\b", true),
        ("%%%", "x", true),
        ("C%", "c1", false),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(like(pattern, text), expected, "{text:?} like {pattern:?}");
    }
    for (pattern, prefix) in
        [("abc", "abc"), ("a%c", "a"), ("a\\%b_c", "a%b"), ("%", ""), ("_a", ""), ("a\\", "a\\")]
    {
        assert_eq!(like_prefix(pattern), prefix, "{pattern}");
    }
}

/// The definition of `like`, and nothing else.
fn naive_like(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|n| naive_like(rest, &text[n..])),
        ['_', rest @ ..] => !text.is_empty() && naive_like(rest, &text[1..]),
        ['\\', c, rest @ ..] | [c, rest @ ..] => {
            text.first() == Some(c) && naive_like(rest, &text[1..])
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn like_is_its_definition(pattern in "[ab%_\\\\]{0,8}", text in "[ab%\\\\]{0,8}") {
        let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
        prop_assert_eq!(like(&pattern, &text), naive_like(&p, &t));
        if like(&pattern, &text) {
            prop_assert!(text.starts_with(&like_prefix(&pattern)));
        }
    }

    /// Arithmetic is exact, or it is no value.
    #[test]
    fn sums_and_products_are_exact(a in -10_i64.pow(15)..10_i64.pow(15), b in -10_i64.pow(15)..10_i64.pow(15), s in 0_u32..7, t in 0_u32..7, op in 0..3) {
        let row = |name: &str| Some(Value::Decimal(if name == "a" { Decimal::new(a, s) } else { Decimal::new(b, t) }));
        let types = |name: &str| Some(ValueType::Decimal { scale: if name == "a" { s as u8 } else { t as u8 } });
        let text = ["a + b", "a - b", "a * b"][op as usize];
        let (scalar, ty) = parse_scalar(text).unwrap().check(&types, &TimeZone::UTC).unwrap();
        let scale = if op == 2 { s + t } else { s.max(t) };
        prop_assert_eq!(ty, ValueType::Decimal { scale: scale as u8 });
        let (x, y) = (i128::from(a), i128::from(b));
        let (up, vp) = (10_i128.pow(scale - s), 10_i128.pow(scale - t));
        let expected = match op { 0 => x * up + y * vp, 1 => x * up - y * vp, _ => x * y };
        let fits = expected.abs() < 10_i128.pow(28);
        match scalar.value(ty, &row) {
            Some(Value::Decimal(found)) => {
                prop_assert_eq!((found.scale(), found.mantissa()), (scale, expected), "{} of {} and {}", text, a, b);
            }
            other => prop_assert!(!fits, "{:?} of {} and {}", other, a, b),
        }
    }

    /// A condition and its negation are never both true or both false, whatever the values.
    #[test]
    fn negation_is_the_complement(n in prop::option::of(any::<i64>()), units in any::<i64>(), scale in 0_u32..12) {
        let literal = Literal::Decimal(Decimal::new(units, scale));
        for op in ["==", "!=", "<", "<=", ">", ">="] {
            let check = |text: &str| parse_predicate(text).unwrap().check(&|_| Some(ValueType::Int), &|_| false, &TimeZone::UTC).unwrap();
            let row = |_: &str| n.map(Value::Int);
            let holds = check(&format!("x {op} {literal}")).matches(&row);
            prop_assert_eq!(check(&format!("!(x {op} {literal})")).matches(&row), !holds);
            prop_assert!(n.is_some() || !holds);
            // Against the same comparison in whole units.
            if let Some(n) = n {
                let (x, y) = (i128::from(n) * 10_i128.pow(scale), i128::from(units));
                let expected = match op { "==" => x == y, "!=" => x != y, "<" => x < y, "<=" => x <= y, ">" => x > y, _ => x >= y };
                prop_assert_eq!(holds, expected, "{} {} {}", n, op, literal);
            }
        }
    }
}

#[test]
fn names_and_crowds() {
    let tree = parse_predicate("b == 1 && !(a in (1)) && crowd('c') || a is set").unwrap();
    assert_eq!(tree.names().into_iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(tree.crowds().into_iter().collect::<Vec<_>>(), ["c"]);
    let scalar: Scalar = parse_scalar("if(z > 1 && crowd('c'), x, coalesce(y, -x))").unwrap();
    assert_eq!(scalar.names().into_iter().collect::<Vec<_>>(), ["x", "y", "z"]);
    assert_eq!(scalar.crowds().into_iter().collect::<Vec<_>>(), ["c"]);
}

/// What bitmaps hold is said in their form, whichever way it is written; what they do not is left
/// as it is.
#[test]
fn plain_conditions_are_found_in_others() {
    let cases = [
        ("3 < orders", "orders > 3"),
        ("orders > 1 + 1", "orders > 2.0"),
        ("(orders) >= (5)", "orders >= 5"),
        ("orders between 6 / 3 and 2 * 2", "orders between 2.0 and 4.0"),
        ("vip", "vip == true"),
        ("coalesce(orders, 0) > 0", "orders > 0"),
        ("coalesce(orders, 0) < 5", "orders < 5 || !(orders is set)"),
        ("5 > coalesce(orders, 0)", "orders < 5 || !(orders is set)"),
        ("vip || coalesce(orders, 0) < 5", "vip == true || orders < 5 || !(orders is set)"),
    ];
    let check =
        |text: &str| parse_predicate(text).unwrap().check(&type_of, &|_| true, &london()).unwrap();
    for (text, plain) in cases {
        assert_eq!(check(text), check(plain), "{text}");
        assert!(!check(text).is_computed(), "{text}");
    }
    for text in
        ["orders > spend", "orders / 2 > 1", "coalesce(orders, spend) > 1", "orders > 1 / 3"]
    {
        assert!(check(text).is_computed(), "{text}");
    }
}

#[test]
fn long_lists_are_searched_as_short_ones_are() {
    let texts: Vec<String> = (0..10_000).map(|i| format!("\"{i:05}\"")).rev().collect();
    let numbers: Vec<String> = (0..10_000)
        .map(|i| if i % 2 == 0 { (2 * i).to_string() } else { format!("{}.50", 2 * i) })
        .rev()
        .collect();
    let check = |text: &str| -> Predicate<Value> {
        let ty = |name: &str| {
            Some(if name == "n" {
                ValueType::Decimal { scale: 2 }
            } else if name == "t" {
                ValueType::Text
            } else {
                ValueType::Set
            })
        };
        parse_predicate(text).unwrap().check(&ty, &|_| true, &london()).unwrap()
    };
    let (text, number) = (texts.join(","), numbers.join(","));
    let set = |members: &[&str]| Value::Set(members.iter().map(|m| (*m).into()).collect());
    let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
    let cases = [
        (format!("t in ({text})"), Value::text("07531"), Value::text("7531")),
        (format!("s in ({text})"), set(&["x", "00000"]), set(&["x", "y"])),
        (format!("s has any ({text})"), set(&["x", "09999"]), set(&["x", "y"])),
        (format!("lower(t) in ({text})"), Value::text("07531"), Value::text("7531")),
        (format!("n in ({number})"), decimal("4"), decimal("4.5")),
        (format!("n + 1 in ({number})"), decimal("5.5"), decimal("4.5")),
    ];
    for (text, inside, outside) in cases {
        let checked = check(&text);
        let shown = &text[..20];
        assert!(checked.matches(&|_| Some(inside.clone())), "{shown}: {inside}");
        assert!(!checked.matches(&|_| Some(outside.clone())), "{shown}: {outside}");
    }
}
