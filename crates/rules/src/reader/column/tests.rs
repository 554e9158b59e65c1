use super::*;

fn reader(ty: ValueType, lists: TextLists) -> ColumnReader {
    ColumnReader::plain(ty, &TimeZone::get("Europe/London").unwrap(), lists)
}

fn json(text: &str) -> Cell<'_> {
    Cell::of_json(text, json_scan::whole(text).unwrap())
}

fn read<'a>(cell: &Cell<'a>, ty: ValueType) -> Result<Parsed<'a>, FaultKind> {
    reader(ty, TextLists::None).read(cell).map_err(|fault| fault.kind)
}

fn set(members: &[&str]) -> Parsed<'static> {
    if members.is_empty() {
        Parsed::None
    } else {
        Parsed::Set(members.iter().map(|member| Arc::from(*member)).collect())
    }
}

#[test]
fn lists_are_sets_of_texts() {
    let cases = [
        ("[1,2]", Ok(set(&["1", "2"]))),
        (r#"["1",2,true]"#, Ok(set(&["1", "2", "true"]))),
        (r#"["1",null]"#, Ok(set(&["1"]))),
        ("[1.50,-0.0,1e3]", Ok(set(&["1.50", "-0.0", "1e3"]))),
        ("[null]", Ok(set(&[]))),
        ("[]", Ok(set(&[]))),
        (r#"[""," ","a"]"#, Ok(set(&["a"]))),
        ("5", Ok(set(&["5"]))),
        ("false", Ok(set(&["false"]))),
        (r#""[VIP] customer""#, Ok(set(&["[VIP] customer"]))),
        (r#""[1,2]""#, Ok(set(&["[1,2]"]))),
        (r#""""#, Ok(set(&[]))),
        ("null", Ok(set(&[]))),
        (r#"[["a"]]"#, Err(FaultKind::BadType)),
        (r#"[{"a":1}]"#, Err(FaultKind::BadType)),
        (r#"{"a":1}"#, Err(FaultKind::BadType)),
    ];
    for (text, expected) in cases {
        assert_eq!(read(&json(text), ValueType::Set), expected, "{text}");
    }
    let many = format!("[{}]", (0..1001).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    assert_eq!(read(&json(&many), ValueType::Set), Err(FaultKind::TooLong));
}

#[test]
fn texts_are_lists_where_there_is_no_other_way_to_write_one() {
    let mut csv = reader(ValueType::Set, TextLists::Json);
    for (text, members) in [
        (r#"["wine",2,null]"#, &["wine", "2"][..]),
        ("wine", &["wine"]),
        ("[VIP] customer", &["[VIP] customer"]),
        ("[1", &["[1"]),
        ("a|b", &["a|b"]),
    ] {
        assert_eq!(csv.read(&Cell::Text(text)), Ok(set(members)), "{text}");
    }
    let column = ColumnMapping {
        separator: Some("|".to_owned()),
        ..ColumnMapping::plain("tags", ValueType::Set)
    };
    let mut split =
        ColumnReader::new(&column, &TimeZone::UTC, TextLists::Json, NotFinite::default());
    for (text, members) in [
        ("a|b|a", &["a", "b"][..]),
        (" a | b||", &["a", "b"]),
        ("[1]|2", &["[1]", "2"]),
        ("|", &[]),
    ] {
        assert_eq!(split.read(&Cell::Text(text)), Ok(set(members)), "{text}");
    }
}

#[test]
fn one_value_is_read_alike_in_all_its_forms() {
    let int = [
        json("12"),
        json("\"12\""),
        json("12.0"),
        Cell::Text(" 12 "),
        Cell::Int(12),
        Cell::Float(12.0),
        Cell::Decimal { units: 1200, scale: 2 },
    ];
    for cell in int {
        assert_eq!(read(&cell, ValueType::Int), Ok(Parsed::Int(12)), "{cell:?}");
        let cents = ValueType::Decimal { scale: 2 };
        assert_eq!(read(&cell, cents), Ok(Parsed::Decimal { units: 1200, scale: 2 }), "{cell:?}");
    }
    let yes = [
        json("true"),
        json("1"),
        json("\"TRUE\""),
        Cell::Text("1"),
        Cell::Int(1),
        Cell::Float(1.0),
        Cell::Bool(true),
        Cell::Text("1.0"),
    ];
    for cell in yes {
        assert_eq!(read(&cell, ValueType::Bool), Ok(Parsed::Bool(true)), "{cell:?}");
    }
    for wrong in
        [Cell::Text("1_0"), Cell::Text("1,0"), Cell::Bool(true), json("[1]"), Cell::Text("0x1")]
    {
        assert_eq!(read(&wrong, ValueType::Int), Err(FaultKind::BadType), "{wrong:?}");
    }
    for wrong in [Cell::Int(2), Cell::Float(0.5), Cell::Text("maybe"), json("[true]")] {
        assert_eq!(read(&wrong, ValueType::Bool), Err(FaultKind::BadType), "{wrong:?}");
    }
}

#[test]
fn blanks_are_no_value_in_any_type() {
    let types = [
        ValueType::Text,
        ValueType::Int,
        ValueType::Decimal { scale: 2 },
        ValueType::Bool,
        ValueType::Date,
        ValueType::Time,
        ValueType::Set,
    ];
    for ty in types {
        for cell in
            [Cell::Absent, Cell::Null, Cell::Text(""), Cell::Text(" \t"), Cell::Float(f64::NAN)]
        {
            assert_eq!(read(&cell, ty), Ok(Parsed::None), "{cell:?} as {ty}");
        }
        assert_eq!(read(&Cell::Float(f64::INFINITY), ty), Err(FaultKind::BadType), "{ty}");
    }
}

#[test]
fn what_is_not_finite_is_no_value_or_refused_as_asked() {
    let column = ColumnMapping::plain("ltv", ValueType::Decimal { scale: 2 });
    let read = |cell: &Cell<'_>, policy| {
        ColumnReader::new(&column, &TimeZone::UTC, TextLists::Json, policy)
            .read(cell)
            .map(|parsed| parsed == Parsed::None)
            .map_err(|f| f.kind)
    };
    let floats =
        [Cell::Float(f64::NAN), Cell::Float(f64::INFINITY), Cell::Float(f64::NEG_INFINITY)];
    let texts = ["NaN", "nan", "inf", "-inf", "+Infinity"];
    for cell in &floats {
        assert_eq!(read(cell, NotFinite::NoValue), Ok(true), "{cell:?}");
        assert_eq!(read(cell, NotFinite::Reject), Err(FaultKind::BadType), "{cell:?}");
    }
    for text in texts {
        assert_eq!(read(&Cell::Text(text), NotFinite::NoValue), Ok(true), "{text}");
        assert_eq!(
            read(&Cell::Text(text), NotFinite::default()),
            Err(FaultKind::BadType),
            "{text}"
        );
    }
}

#[test]
fn digits_beyond_the_scale_are_rounded_where_the_source_says_so() {
    let mut column = ColumnMapping::plain("revenue", ValueType::Decimal { scale: 2 });
    let mut exact =
        ColumnReader::new(&column, &TimeZone::UTC, TextLists::None, NotFinite::default());
    column.round = true;
    let mut rounded =
        ColumnReader::new(&column, &TimeZone::UTC, TextLists::None, NotFinite::default());
    for (cell, units) in [
        (json("59.970000000000006"), 5997),
        (Cell::Float(0.300_000_000_000_000_04), 30),
        (Cell::Text("0.125"), 13),
        (Cell::Text("-0.125"), -13),
        (Cell::Decimal { units: 12_345, scale: 4 }, 123),
    ] {
        assert_eq!(rounded.read(&cell), Ok(Parsed::Decimal { units, scale: 2 }), "{cell:?}");
        assert_eq!(
            exact.read(&cell).map_err(|fault| fault.kind),
            Err(FaultKind::OutOfRange),
            "{cell:?}"
        );
    }
}

#[test]
fn numbers_are_times_where_the_format_says_so() {
    let column = |format: &str, ty| ColumnMapping {
        format: Some(format.to_owned()),
        ..ColumnMapping::plain("at", ty)
    };
    let mut micros = ColumnReader::new(
        &column("epoch_us", ValueType::Time),
        &TimeZone::UTC,
        TextLists::None,
        NotFinite::default(),
    );
    assert_eq!(micros.read(&json("1772359200123456")), Ok(Parsed::Time(1_772_359_200_123)));
    let mut days = ColumnReader::new(
        &column("epoch_ms", ValueType::Date),
        &TimeZone::UTC,
        TextLists::None,
        NotFinite::default(),
    );
    assert_eq!(days.read(&Cell::Int(643_075_200_000)), Ok(Parsed::Day(7443)));
    assert_eq!(days.read(&Cell::Int(777_600_000)), Ok(Parsed::Day(9)), "born in January 1970");
    let wrong = days.read(&Cell::Int(1_772_359_201)).unwrap_err();
    assert!(
        wrong.problem.contains("seems to be seconds since 1970: write `format: epoch_s`"),
        "{}",
        wrong.problem
    );
    let plain = reader(ValueType::Time, TextLists::None).read(&json("1772359200123")).unwrap_err();
    assert!(
        plain.problem.contains("seems to be milliseconds since 1970: write `format: epoch_ms`"),
        "{}",
        plain.problem
    );
}
