use super::*;
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

/// Keeps what it is given; users are those whose ids begin with `u`.
#[derive(Default)]
struct Kept(Vec<(u64, std::result::Result<String, String>)>);

impl IdRows for Kept {
    type Error = Error;

    fn known(&mut self, ids: &[&str]) -> std::result::Result<usize, Error> {
        Ok(ids.iter().filter(|id| id.starts_with('u')).collect::<BTreeSet<_>>().len())
    }

    fn row(
        &mut self,
        number: u64,
        id: std::result::Result<&str, &str>,
    ) -> std::result::Result<(), Error> {
        self.0.push((number, id.map(str::to_owned).map_err(str::to_owned)));
        Ok(())
    }
}

fn read(
    name: &str,
    bytes: &[u8],
    options: &IdFileOptions,
) -> std::result::Result<(IdFile, Kept), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let on: Stopped = Arc::new(|| false);
    let mut rows = Kept::default();
    match read_ids(&path, options, &on, &mut rows) {
        Ok(file) => Ok((file, rows)),
        Err(error) => {
            Err(error.to_string().replace(&folder.path().display().to_string(), "FOLDER"))
        }
    }
}

fn column(column: &str) -> IdFileOptions {
    IdFileOptions { column: Some(column.to_owned()), header: None }
}

/// The ids of a file that is right.
fn ids(name: &str, bytes: &[u8], options: &IdFileOptions) -> Vec<String> {
    let (_, rows) = read(name, bytes, options).unwrap();
    rows.0.into_iter().map(|(_, id)| id.unwrap()).collect()
}

fn utf16(text: &str, mark: bool) -> Vec<u8> {
    let text = if mark { format!("\u{feff}{text}") } else { text.to_owned() };
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn files_of_every_form_give_the_same_ids() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"user_id\nu1\nu2\n").unwrap();
    let forms: Vec<(&str, Vec<u8>)> = vec![
        ("plain.csv", b"user_id\nu1\nu2\n".to_vec()),
        ("no header.csv", b"u1\nu2".to_vec()),
        ("crlf.csv", b"User ID\r\nu1\r\n\r\nu2\r\n".to_vec()),
        ("mark.csv", b"\xef\xbb\xbfuser_id,name\nu1,Ann\nu2,\"Smith, Bo\"\n".to_vec()),
        ("semicolon.csv", b"name;USER-ID\nAnn;u1\nBo; u2 \n".to_vec()),
        ("tab.txt", b"name\tuid\nAnn\tu1\nBo\tu2\n".to_vec()),
        ("found.csv", b"Ann,u1\nBo,u2\n".to_vec()),
        ("utf-16.csv", utf16("user_id;name\r\nu1;Zo\u{eb}\r\nu2;Bo\r\n", true)),
        ("utf-16 without a mark.csv", utf16("user_id;name\r\nu1;Ann\r\nu2;Bo\r\n", false)),
        ("windows.csv", b"user_id,name\nu1,Zo\xeb\nu2,Bo\n".to_vec()),
        ("packed.csv.gz", packed.finish().unwrap()),
    ];
    for (name, bytes) in forms {
        assert_eq!(ids(name, &bytes, &IdFileOptions::default()), ["u1", "u2"], "{name}");
    }
}

#[test]
fn the_column_is_named_or_numbered() {
    let text = b"mail,number,user_id\na@x,1,u1\nb@x,2,u2\n";
    assert_eq!(ids("a.csv", text, &column("mail")), ["a@x", "b@x"]);
    assert_eq!(ids("a.csv", text, &column("Mail ")), ["a@x", "b@x"]);
    assert_eq!(ids("a.csv", text, &column("2")), ["number", "1", "2"], "no usual name: an id");
    assert_eq!(ids("a.csv", text, &column("3")), ["u1", "u2"]);
    let second = IdFileOptions { column: Some("2".to_owned()), header: Some(true) };
    assert_eq!(ids("a.csv", text, &second), ["1", "2"]);

    let wrong = |text: &[u8], options: &IdFileOptions| read("a.csv", text, options).err().unwrap();
    assert_eq!(
        wrong(text, &column("email")),
        "FOLDER/a.csv: it has no column \"email\": its first row is \"mail\", \"number\", \"user_id\"; name one of these, or a number"
    );
    assert!(wrong(text, &column("4")).contains("no column \"4\""));
    assert_eq!(
        wrong(b"a,b\nx,y\n", &IdFileOptions::default()),
        "FOLDER/a.csv: no column is called user_id or the like, and none holds ids of users: say which one it is, by its name or its number, 1 to 2"
    );
    let of_people = wrong(b"ann,Ann,ann@x.com\n", &column("email"));
    assert!(
        of_people
            .ends_with("its rows have 3 fields; name one as the first row does, or by its number"),
        "{of_people}"
    );
    assert!(wrong(b"id,id\nx,y\n", &column("id")).contains("columns 1 and 2 are both called"));
}

#[test]
fn a_number_is_no_name_and_a_value_no_header() {
    assert_eq!(ids("a.csv", b"1\n2\n3\n", &column("1")), ["1", "2", "3"]);
    assert_eq!(ids("a.csv", b"2,ann\n3,bob\n", &column("2")), ["ann", "bob"]);
    let with_header = IdFileOptions { column: Some("7".to_owned()), header: Some(true) };
    assert_eq!(ids("a.csv", b"6,7\nx,u1\n", &with_header), ["u1"]);
    let roles = b"u1,customer\nu2,user\nu3,customer\n";
    assert_eq!(ids("a.csv", roles, &IdFileOptions::default()), ["u1", "u2", "u3"]);
    let no_header = IdFileOptions { column: None, header: Some(false) };
    assert_eq!(ids("a.csv", b"id\nu1\n", &no_header), ["id", "u1"]);
}

#[test]
fn what_is_too_wide_is_refused() {
    let wide = format!("{}\n", ",".repeat(20_000));
    let error = read("a.csv", wide.as_bytes(), &IdFileOptions::default()).err().unwrap();
    assert!(error.contains("row 1 has 20001 fields, more than 16384"), "{error}");
}

#[test]
fn each_row_is_told_of() {
    let long = "x".repeat(600);
    let text = format!("user_id,name\nu1,Ann\n,Bo\nu2\nu3,\"Cy\n{long},Di\nu4,Ed\n");
    let (file, rows) = read("a.csv", text.as_bytes(), &IdFileOptions::default()).unwrap();
    assert_eq!(file, IdFile { column: 1, header: Some("user_id".to_owned()) });
    let told: Vec<(u64, String)> =
        rows.0.into_iter().map(|(number, id)| (number, id.unwrap_or_else(|why| why))).collect();
    let told: Vec<(u64, &str)> =
        told.iter().map(|(number, text)| (*number, text.as_str())).collect();
    assert_eq!(
        told,
        [
            (2, "u1"),
            (3, "the user id is empty"),
            (4, "it has 1 fields, the first row 2"),
            (5, "a quote is not closed"),
            (6, "the user id has 600 bytes, more than 512"),
            (7, "u4"),
        ]
    );
}

#[test]
fn other_files_are_refused() {
    for (bytes, problem) in [
        (&b""[..], "it has no rows"),
        (b"\n\n", "it has no rows"),
        (b"PAR1\x15\x04", "it is Parquet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "it is a workbook of an old Excel"),
        (b"PK\x03\x04 and no workbook", "it cannot be read as .xlsx"),
    ] {
        let error = read("a", bytes, &IdFileOptions::default()).err().unwrap();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn workbooks_are_read_by_cells() {
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    sheet.write(0, 0, "Name").unwrap();
    sheet.write(0, 1, "Member ID").unwrap();
    sheet.write(1, 1, "u1").unwrap();
    sheet.write(2, 1, 4_711).unwrap();
    // Row 4 is empty.
    sheet.write(4, 0, "somebody without an id").unwrap();
    sheet.write(5, 1, 1_234_567_890_123_456_789_f64).unwrap();
    sheet.write(6, 1, "  u2 ").unwrap();
    let bytes = book.save_to_buffer().unwrap();
    let (file, rows) = read("a.xlsx", &bytes, &IdFileOptions::default()).unwrap();
    assert_eq!(file, IdFile { column: 2, header: Some("Member ID".to_owned()) });
    let good = |id: &str| Ok(id.to_owned());
    let (numbers, found): (Vec<u64>, Vec<_>) = rows.0.into_iter().unzip();
    assert_eq!(numbers, [2, 3, 5, 6, 7], "as the spreadsheet numbers them");
    assert_eq!(found[..2], [good("u1"), good("4711")]);
    assert_eq!(found[2], Err("the user id is empty".to_owned()));
    assert!(found[3].as_ref().unwrap_err().contains("more than 15 digits"), "{:?}", found[3]);
    assert_eq!(found[4], good("u2"));
}

#[test]
fn a_stopped_run_reads_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "u1\n".repeat(10)).unwrap();
    let off: Stopped = Arc::new(|| true);
    let error = read_ids(&path, &IdFileOptions::default(), &off, &mut Kept::default());
    assert!(error.unwrap_err().to_string().contains("stopped"));
}

#[test]
fn rows_of_one_problem_are_one_line() {
    let mut rows = ProblemRows::default();
    for (number, problem) in [(2, "a \"b\""), (3, "a \"b\""), (5, "a \"b\""), (6, "c")] {
        rows.add(number, problem).unwrap();
    }
    let packed = rows.finish().unwrap().unwrap();
    let text: Vec<u8> = UnpackedRows::new(packed).flat_map(Result::unwrap).collect();
    assert_eq!(
        String::from_utf8(text).unwrap(),
        "first_row,last_row,problem\n2,3,\"a \"\"b\"\"\"\n5,5,\"a \"\"b\"\"\"\n6,6,\"c\"\n"
    );
    assert_eq!(ProblemRows::default().finish().unwrap(), None);
}
