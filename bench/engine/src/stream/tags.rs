//! What is computed: of each event name a count and an exact sum of thirty days.

use std::fmt::Write;
use std::sync::Arc;
use taghouse_rules::{DefinitionFile, Definitions, parse_definitions};

/// Event names, of each of which there are two tags.
pub(crate) const NAMES: u64 = 10;

/// Days of the window.
pub(crate) const DAYS: i64 = 30;

const SHOP: &str = "kind: app\nid: bench\ntime_zone: UTC\n---\nkind: source\nname: live\nformat: segment\nproperties:\n  amount: { column: amount, type: decimal, scale: 2 }\n";

/// The app with its twenty tags.
pub(crate) fn definitions() -> anyhow::Result<Arc<Definitions>> {
    checked(twenty()?)
}

/// The same with a live crowd: who has an event of name 0.
pub(crate) fn with_crowd() -> anyhow::Result<Arc<Definitions>> {
    checked(twenty()? + "---\n{kind: crowd, name: marked, live: true, expression: count_0 >= 1}\n")
}

/// So many live crowds, none like another: counts and sums of windows of a day to half a year, some
/// denied, some of sequences; and `marked`.
pub(crate) fn with_crowds(crowds: u64) -> anyhow::Result<Arc<Definitions>> {
    const WINDOWS: [&str; 6] = ["1d", "7d", "30d", "60d", "90d", "180d"];
    let mut text =
        twenty()? + "---\n{kind: crowd, name: marked, live: true, expression: count_0 >= 1}\n";
    for number in 0..crowds.saturating_sub(1) {
        let (name, other, least) =
            (number % NAMES, (number / NAMES + 3) % NAMES, number / 60 % 50 + 1);
        let window = WINDOWS[(number % 6) as usize];
        let rule = match number % 10 {
            0 => format!(
                "sequence(\"event_{name}\", \"event_{other}\", within {window}) && count_{name} >= {least}"
            ),
            1..4 => format!(
                "did(\"event_{name}\", count >= {least}, within {window}) && !(sum_{other} > {number})"
            ),
            4..7 => format!(
                "count_{name} >= {least} && !did(\"event_{other}\", count >= 2, within {window})"
            ),
            _ => format!("sum_{name} > {number} || count_{other} >= {least}"),
        };
        writeln!(
            text,
            "---\n{{kind: crowd, name: crowd_{number}, live: true, expression: '{rule}'}}"
        )?;
    }
    checked(text)
}

/// The app with one tag: how many events each user had in 180 days.
pub(crate) fn half_year() -> anyhow::Result<Arc<Definitions>> {
    let tag = "---\n{kind: tag, name: events_180d, type: int, mode: stream, aggregate: {function: count, window: 180d}}\n";
    checked(SHOP.to_owned() + tag)
}

/// The definitions of the twenty tags.
fn twenty() -> anyhow::Result<String> {
    let mut text = SHOP.to_owned();
    for name in 0..NAMES {
        write!(
            text,
            "---\n{{kind: tag, name: count_{name}, type: int, mode: stream, aggregate: {{events: [event_{name}], function: count, window: {DAYS}d}}}}\n\
             ---\n{{kind: tag, name: sum_{name}, type: decimal, mode: stream, aggregate: {{events: [event_{name}], function: sum, value: amount, window: {DAYS}d}}}}\n"
        )?;
    }
    Ok(text)
}

fn checked(text: String) -> anyhow::Result<Arc<Definitions>> {
    let file = DefinitionFile { path: "bench.yaml".to_owned(), text };
    let checked = parse_definitions(&[file]).and_then(|parsed| Definitions::check(&parsed));
    Ok(Arc::new(checked.map_err(|errors| anyhow::anyhow!("{errors:?}"))?))
}
