use super::*;
use taghouse_rules::{DefinitionFile, Definitions, parse_definitions};

/// The proposal for a file of this name and content, without its comments; it must be a definition
/// as it stands.
fn proposed(name: &str, content: &[u8]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    let yaml = inspect(&path, None).unwrap();
    let text = format!("kind: app\nid: shop\n---\n{yaml}");
    let file = DefinitionFile { path: "p.yaml".to_owned(), text };
    if let Err(errors) =
        parse_definitions(&[file]).map(|documents| Definitions::check(&documents).unwrap())
    {
        panic!("{errors:?}: {yaml}");
    }
    yaml.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn a_csv_of_events() {
    let text = "id,customer,what,at,price,quantity,born,paid,code\n1,ann,buy,2026-03-01T10:00:00Z,9.95,1,1988-03-14,true,007\n2,ann,view,2026-03-01T11:00:00Z,10,2,,false,010\n";
    assert_eq!(
        proposed("web-orders 2026.csv", text.as_bytes()),
        [
            "kind: source",
            "name: web_orders_2026",
            "format: csv",
            "user_id: \"customer\"",
            "event: { column: \"what\" }",
            "time: \"at\"",
            "message_id: \"id\"",
            "properties:",
            "  price: { column: \"price\", type: decimal, scale: 2 }",
            "  quantity: { column: \"quantity\", type: int }",
            "  born: { column: \"born\", type: date }",
            "  paid: { column: \"paid\", type: bool }",
            "  code: \"code\"",
        ]
    );
}

#[test]
fn a_csv_of_a_spreadsheet() {
    let text = "Kunde;Datum;Betrag;Größe;\r\n4711;01.03.2026 10:00;1.234,56;M;\r\n4711;02.03.2026 10:00;7,5;L;\r\n";
    let expected = [
        "kind: source",
        "name: orders",
        "format: csv",
        "delimiter: \";\"",
        "decimal: \",\"",
        "user_id: \"Kunde\"",
        "event: orders",
        "time: { column: \"Datum\", format: \"%d.%m.%Y %H:%M\" }",
        "properties:",
        "  betrag: { column: \"Betrag\", type: decimal, scale: 2 }",
        "  groesse: \"Größe\"",
    ];
    assert_eq!(proposed("orders.csv", text.as_bytes()), expected);
    let mut bytes: Vec<u8> = Vec::new();
    text.encode_utf16().for_each(|unit| bytes.extend(unit.to_le_bytes()));
    let mut of_utf16 = expected.map(str::to_owned).to_vec();
    of_utf16.insert(4, "encoding: utf-16le".to_owned());
    assert_eq!(proposed("orders.csv", &bytes), of_utf16);
    let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    assert_eq!(proposed("orders.csv", &latin)[4], "encoding: windows-1252");
}

#[test]
fn attributes_and_lines_of_json() {
    let people = "user,city,age\nu1,Oslo,31\nu2,Rome,42\n";
    assert_eq!(
        proposed("people.csv", people.as_bytes())[3..],
        [
            "user_id: \"user\"",
            "attributes:",
            "  city: \"city\"",
            "  age: { column: \"age\", type: int }"
        ]
    );
    let lines = "{\"user\":{\"id\":7},\"event\":\"view\",\"ts\":1772359200000,\"tags\":[\"a\"],\"page\":{\"path\":\"/x\"}}\n";
    assert_eq!(
        proposed("clicks.jsonl", lines.as_bytes())[2..],
        [
            "format: jsonl",
            "user_id: \"user.id\"",
            "event: { column: \"event\" }",
            "time: { column: \"ts\", format: \"epoch_ms\" }",
            "properties:",
            "  tags: { column: \"tags\", type: set }",
            "  page_path: \"page.path\"",
        ]
    );
}

#[test]
fn files_of_which_nothing_can_be_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    for (content, expected) in [("", "is empty"), ("a,b\n", "has no rows"), ("{}\n", "has no rows")]
    {
        std::fs::write(&path, content).unwrap();
        let outcome = inspect(&path, None);
        assert!(
            outcome.as_ref().is_err_and(|e| e.to_string().contains(expected)) || content == "{}\n",
            "{content:?}: {outcome:?}"
        );
    }
    assert!(inspect(folder.path(), None).unwrap_err().to_string().contains("is a folder"));
}
