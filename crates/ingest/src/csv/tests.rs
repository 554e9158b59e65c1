use super::record::{BUFFER_BYTES, MAX_RECORD_BYTES};
use super::*;

/// A reader that gives a few bytes at a time, so that every record crosses a refill somewhere.
struct Trickle<'t>(&'t [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.1.min(self.0.len()).min(buffer.len());
        buffer[..length].copy_from_slice(&self.0[..length]);
        self.0 = &self.0[length..];
        Ok(length)
    }
}

/// Each record as its fields, a broken line as `!` and its raw text.
fn records(text: &[u8], step: usize) -> Vec<Vec<String>> {
    records_of(text, step, None)
}

fn records_of(text: &[u8], step: usize, escape: Option<u8>) -> Vec<Vec<String>> {
    let mut reader =
        CsvReader::new(Trickle(text, step), Dialect { delimiter: b',', escape }).unwrap();
    let mut found = Vec::new();
    loop {
        match reader.next().unwrap() {
            Next::End => return found,
            Next::Broken(_) => {
                found.push(vec!["!".to_owned(), String::from_utf8_lossy(reader.raw()).into_owned()])
            }
            Next::Record => found.push(
                (0..reader.field_count())
                    .map(|at| String::from_utf8_lossy(reader.field(at)).into_owned())
                    .collect(),
            ),
        }
    }
}

#[test]
fn records_whatever_the_chunks() {
    let cases: [(&str, &[&[&str]]); 19] = [
        ("a,b\n1,2\n", &[&["a", "b"], &["1", "2"]]),
        ("a,b\r\n1,2\r\n", &[&["a", "b"], &["1", "2"]]),
        ("a,b\n1,2", &[&["a", "b"], &["1", "2"]]),
        ("\u{feff}a,b\n", &[&["a", "b"]]),
        ("a,\n,b\n,\n", &[&["a", ""], &["", "b"], &["", ""]]),
        ("a\n\n\r\nb\n", &[&["a"], &["b"]]),
        ("\"a,\"\"b\"\"\",c\n", &[&["a,\"b\"", "c"]]),
        ("\"line\r\nbreak\",x\r\n\"\",\"\"\r\n", &[&["line\r\nbreak", "x"], &["", ""]]),
        ("a\"b,c\"\n", &[&["a\"b", "c\""]]),
        ("x,\"open\n1,2\n3,4\n", &[&["!", "x,\"open"], &["1", "2"], &["3", "4"]]),
        ("x,\"open\n1,\"2\"\n", &[&["!", "x,\"open"], &["1", "2"]]),
        ("\"a\"b,c\n1,2\n", &[&["!", "\"a\"b,c"], &["1", "2"]]),
        ("1,\"2\"", &[&["1", "2"]]),
        ("1,\"2", &[&["!", "1,\"2"]]),
        ("a,b\r1,2\r", &[&["a", "b"], &["1", "2"]]),
        ("a,b\r1,2\r3,4", &[&["a", "b"], &["1", "2"], &["3", "4"]]),
        (
            "a,b\r1,\r\"2\",\"x\ry\"\r\n3,4\n\r5,6\r\r\n",
            &[&["a", "b"], &["1", ""], &["2", "x\ry"], &["3", "4"], &["5", "6"]],
        ),
        ("\"a\"b,c\r1,2\r", &[&["!", "\"a\"b,c"], &["1", "2"]]),
        ("x,\"open\r1,2\r", &[&["!", "x,\"open"], &["1", "2"]]),
    ];
    for (text, expected) in cases {
        for step in [1, 2, 3, 7, 1000] {
            assert_eq!(records(text.as_bytes(), step), expected, "{text:?} by {step}");
        }
    }
}

#[test]
fn overlong_records_are_broken_and_the_rest_goes_on() {
    let long = "x".repeat(MAX_RECORD_BYTES + BUFFER_BYTES * 3);
    let quoted = format!("a,b\n\"{}\",2\n3,4\n", long.replace("xxxxxxxx", "xxxxxxx\n"));
    for text in [format!("a,b\n{long},2\n3,4\n"), format!("a,b\r{long},2\r3,4\r"), quoted] {
        let found = records(text.as_bytes(), usize::MAX);
        assert_eq!(found[0], ["a", "b"]);
        assert_eq!(found[1][0], "!");
        assert!(found[1][1].len() <= crate::reject::MAX_RAW_BYTES, "{}", found[1][1].len());
        assert_eq!(found.last().unwrap(), &["3", "4"]);
    }
}

#[test]
fn a_file_of_open_quotes_is_read_in_one_pass() {
    let text = "a,\"b\n".repeat(200_000);
    let found = records(text.as_bytes(), usize::MAX);
    assert!(found.len() >= 100_000);
}

proptest::proptest! {
    /// What is written with quotes wherever needed is read back, and csv-core reads the same.
    #[test]
    fn reads_back_and_agrees_with_csv_core(rows in proptest::collection::vec(proptest::collection::vec("[a-c,\"\n\r é]{0,6}", 2..4), 1..6), step in 1_usize..9) {
        let mut text = String::new();
        for row in &rows {
            let quoted: Vec<_> = row.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
            text.push_str(&quoted.join(","));
            text.push_str("\r\n");
        }
        proptest::prop_assert_eq!(&records(text.as_bytes(), step), &rows);
        let mut core = csv_core::Reader::new();
        let (mut input, mut output, mut ends) = (text.as_bytes(), vec![0; 4096], [0; 16]);
        for row in &rows {
            let (result, read, _, fields) = core.read_record(input, &mut output, &mut ends);
            proptest::prop_assert_eq!(result, csv_core::ReadRecordResult::Record);
            input = &input[read..];
            let mut start = 0;
            let found: Vec<_> = ends[..fields].iter().map(|end| { let text = String::from_utf8_lossy(&output[start..*end]).into_owned(); start = *end; text }).collect();
            proptest::prop_assert_eq!(&found, row);
        }
    }
}

#[test]
fn blanks_beside_quotes_and_escapes() {
    let plain: [(&str, &[&[&str]]); 6] = [
        ("\"plain\" ,33\n", &[&["plain", "33"]]),
        ("u5, \"lead, space\",34\n", &[&["u5", "lead, space", "34"]]),
        ("a,\t\"b\"\t\r\nc, d \n", &[&["a", "b"], &["c", " d "]]),
        ("\"a\" b,c\n1,2\n", &[&["!", "\"a\" b,c"], &["1", "2"]]),
        ("a,\"b\" ", &[&["a", "b"]]),
        ("a\\,b\\N\n", &[&["a\\", "b\\N"]]),
    ];
    let escaped: [(&str, &[&[&str]]); 8] = [
        ("\"he said \\\"hi\\\"\",30\n", &[&["he said \"hi\"", "30"]]),
        ("a\\,b,\\N,\\\\\n", &[&["a,b", "\\N", "\\"]]),
        ("a\\tb\\nc,\"x\\ny\"\r\n1,2\r\n", &[&["a\tb\nc", "x\ny"], &["1", "2"]]),
        ("a\\\nb,c\n", &[&["a\nb", "c"]]),
        ("a,b\\,\r\n", &[&["a", "b,"]]),
        ("a,", &[&["a", ""]]),
        ("a,b\\x", &[&["a", "bx"]]),
        ("a,\"b\"\"c\"\n", &[&["a", "b\"c"]]),
    ];
    for step in [1, 2, 3, 7, 1000] {
        for (text, expected) in plain {
            assert_eq!(records(text.as_bytes(), step), expected, "{text:?} by {step}");
        }
        for (text, expected) in escaped {
            assert_eq!(
                records_of(text.as_bytes(), step, Some(b'\\')),
                expected,
                "{text:?} by {step}"
            );
        }
    }
}
