//! Listings for people: columns that line up.

/// Prints rows under headers, numbers to the right.
pub(crate) fn render(headers: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headers[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let numeric: Vec<bool> = (0..headers.len())
        .map(|column| !rows.is_empty() && rows.iter().all(|row| is_number(&row[column])))
        .collect();
    let mut out = line(
        &headers.iter().map(|header| (*header).to_owned()).collect::<Vec<_>>(),
        &widths,
        &numeric,
    );
    for row in rows {
        out.push_str(&line(row, &widths, &numeric));
    }
    out
}

fn is_number(cell: &str) -> bool {
    cell.is_empty() || cell.chars().all(|c| c.is_ascii_digit() || ",.+-%–".contains(c))
}

/// 0 to 1 as `12.3%`.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1}%", share * 100.0))
}

fn line(cells: &[String], widths: &[usize], numeric: &[bool]) -> String {
    let mut out = String::new();
    for ((cell, width), numeric) in cells.iter().zip(widths).zip(numeric) {
        let cell = if *numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
        out.push_str(&cell);
        out.push_str("  ");
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_numbers_stand_right() {
        let rows =
            vec![vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "1,000".to_owned()]];
        assert_eq!(render(&["name", "users"], &rows), "name  users\na         1\nlong  1,000\n");
    }

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
