//! Which column of a file holds the ids, and whether its first row is a header.

use super::{IdFileOptions, IdRows};
use crate::reject::quoted;

/// What columns of ids are called, without case, blanks, `_` and `-`; the likelier first.
const USUAL_NAMES: [&str; 12] = [
    "userid",
    "taghouseid",
    "externalid",
    "customerid",
    "memberid",
    "accountid",
    "personid",
    "uid",
    "mid",
    "user",
    "customer",
    "id",
];
/// So many columns are named where none is found.
const NAMED_COLUMNS: usize = 20;

/// Where the ids stand.
pub(super) struct Choice {
    /// The column's place.
    pub(super) column: usize,
    /// Its name, if the first row is a header.
    pub(super) header: Option<String>,
}

impl Choice {
    /// Chooses by what the options say, else by the usual names, else by where ids of users stand.
    /// The inner error is what is wrong with the file, and the fix.
    pub(super) fn of<R: IdRows>(
        first: &[Vec<u8>],
        others: &[&[Vec<u8>]],
        options: &IdFileOptions,
        rows: &mut R,
    ) -> Result<Result<Self, String>, R::Error> {
        let names: Vec<String> = first.iter().map(|cell| text(cell)).collect();
        if let Some(column) = &options.column {
            return Ok(Self::named(&names, column.trim(), options.header));
        }
        // Where it stands in rows below, too, it is a value.
        let recurs = |column: usize, usual: &str| {
            let cells = others.iter().filter_map(|row| row.get(column));
            cells.map(|cell| plain(&text(cell))).any(|cell| cell == usual)
        };
        let usual = USUAL_NAMES.iter().find_map(|usual| {
            let column = names.iter().position(|name| plain(name) == *usual)?;
            (options.header == Some(true) || !recurs(column, usual)).then_some(column)
        });
        if let Some(column) = usual.filter(|_| options.header != Some(false)) {
            return Ok(Ok(Self { column, header: names.get(column).cloned() }));
        }
        let column = match names.len() {
            1 => 0,
            count => {
                let all: Vec<&[Vec<u8>]> =
                    std::iter::once(first).chain(others.iter().copied()).collect();
                let mut best = (0, 0);
                for column in 0..count {
                    let cells: Vec<String> = all
                        .iter()
                        .filter_map(|row| row.get(column))
                        .map(|cell| text(cell))
                        .collect();
                    let ids: Vec<&str> = cells.iter().map(String::as_str).collect();
                    let known = rows.known(&ids)?;
                    if known > best.0 {
                        best = (known, column);
                    }
                }
                if best.0 == 0 {
                    return Ok(Err(format!(
                        "no column is called user_id or the like, and none holds ids of users: say which one it is, by its name or its number, 1 to {count}"
                    )));
                }
                best.1
            }
        };
        let header = names.get(column).filter(|_| options.header == Some(true)).cloned();
        Ok(Ok(Self { column, header }))
    }

    /// The column of this name or number. A number in range is one, unless a header is known to hold
    /// it: else the first row of a file without a header could be taken for names.
    fn named(names: &[String], column: &str, header: Option<bool>) -> Result<Self, String> {
        let count = names.len();
        let exact: Vec<usize> = places(names, |name| name == column);
        let like = || places(names, |name| plain(name) == plain(column));
        let found = if exact.is_empty() { like() } else { exact };
        let number = column.parse::<usize>().ok().filter(|number| (1..=count).contains(number));
        match (found.as_slice(), number, header) {
            (_, Some(number), None | Some(false)) => {
                let is_header = |name: &&String| {
                    header.is_none() && USUAL_NAMES.contains(&plain(name).as_str())
                };
                let column = number - 1;
                Ok(Self { column, header: names.get(column).filter(is_header).cloned() })
            }
            ([at], _, None | Some(true)) => {
                Ok(Self { column: *at, header: names.get(*at).cloned() })
            }
            ([first, second, ..], _, None | Some(true)) => Err(format!(
                "columns {} and {} are both called {}: say which one by its number",
                first + 1,
                second + 1,
                quoted(column)
            )),
            ([], Some(number), Some(true)) => {
                Ok(Self { column: number - 1, header: names.get(number - 1).cloned() })
            }
            (_, None, _) => {
                Err(format!("it has no column {}: {}", quoted(column), shown(names, header)))
            }
        }
    }
}

/// What is said of the columns of a file: names where they are names for sure, for the cells of a row
/// are of people.
fn shown(names: &[String], header: Option<bool>) -> String {
    let is_usual = |name: &String| USUAL_NAMES.contains(&plain(name).as_str());
    let count = names.len();
    match header {
        Some(false) => format!("its rows have {count} fields and no header; say its number"),
        None if !names.iter().any(is_usual) => {
            format!(
                "its rows have {count} fields; name one as the first row does, or by its number"
            )
        }
        _ => format!("its first row is {}; name one of these, or a number", listed(names)),
    }
}

fn text(cell: &[u8]) -> String {
    String::from_utf8_lossy(cell).trim().to_owned()
}

/// A name without what people write in different ways.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|letter| !matches!(letter, ' ' | '_' | '-' | '.'));
    letters.flat_map(char::to_lowercase).collect()
}

fn places(names: &[String], is_it: impl Fn(&str) -> bool) -> Vec<usize> {
    let found = names.iter().enumerate().filter(|(_, name)| is_it(name));
    found.map(|(at, _)| at).collect()
}

fn listed(names: &[String]) -> String {
    let more = if names.len() > NAMED_COLUMNS { ", …" } else { "" };
    let some: Vec<String> = names.iter().take(NAMED_COLUMNS).map(|name| quoted(name)).collect();
    format!("{}{more}", some.join(", "))
}
