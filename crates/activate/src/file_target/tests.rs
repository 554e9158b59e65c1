use super::*;
use crate::{Change, Column, Member};
use arrow::array::AsArray;
use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use rust_decimal::Decimal;
use taghouse_bitmap::Bitmap;
use taghouse_model::{AppId, Name, Value, ValueType};

fn order(since: Option<u64>) -> Order {
    let column = |name: &str, value_type| Column { name: name.to_owned(), value_type };
    Order {
        app: AppId::new("shop").unwrap(),
        activation: Name::new("mail").unwrap(),
        crowd: Name::new("vip").unwrap(),
        version: 7,
        number: 12,
        since,
        id: "customer".to_owned(),
        columns: vec![
            column("born", ValueType::Date),
            column("labels", ValueType::Set),
            column("orders", ValueType::Int),
            column("spend", ValueType::Decimal { scale: 2 }),
            column("town", ValueType::Text),
        ],
    }
}

fn members() -> Vec<Member> {
    let set = Value::Set(["a".into(), "b,c".into()].into());
    let spend = Value::Decimal(Decimal::new(125, 1));
    let values = [
        Some(Value::Date(365)),
        Some(set),
        Some(Value::Int(-3)),
        Some(spend),
        Some(Value::text("say \"x\"")),
    ];
    vec![
        Member { ordinal: 4, user_id: "ann".to_owned(), values: values.into() },
        Member { ordinal: 70_000, user_id: "b,ob".to_owned(), values: vec![None; 5] },
    ]
}

async fn written(format: &'static str, since: Option<u64>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let to = FileDestination { path: "{version}/{delivery}".to_owned(), format };
    let mut target = FileTarget::new(Some(folder.path()), &to, order(since)).unwrap();
    assert!(!target.begin().await.unwrap());
    let members = members();
    let gone = [Member { ordinal: 9, user_id: "cid".to_owned(), values: Vec::new() }];
    if since.is_some() {
        let piece = Piece { number: 1, change: Change::Left, members: &gone };
        target.send(piece).await.unwrap();
    }
    for (i, member) in members.iter().enumerate() {
        let members = std::slice::from_ref(member);
        let piece = Piece { number: 2 + i as u64, change: Change::Entered, members };
        assert_eq!(target.send(piece).await.unwrap(), []);
    }
    let path = folder.path().join("shop/7/12");
    assert!(!path.exists(), "nothing is seen before the end");
    target.finish(Totals::default()).await.unwrap();
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    std::fs::read(path).unwrap()
}

#[tokio::test]
async fn texts_have_each_value_as_it_is() {
    let csv = String::from_utf8(written("csv", None).await.clone()).unwrap();
    assert_eq!(
        csv,
        "customer,born,labels,orders,spend,town\n\
         ann,1971-01-01,\"[\"\"a\"\",\"\"b,c\"\"]\",-3,12.5,\"say \"\"x\"\"\"\n\
         \"b,ob\",,,,,\n"
    );
    let lines = String::from_utf8(written("jsonl", Some(11)).await).unwrap();
    assert_eq!(
        lines,
        "{\"change\":\"left\",\"customer\":\"cid\"}\n\
         {\"change\":\"entered\",\"customer\":\"ann\",\"born\":\"1971-01-01\",\"labels\":[\"a\",\"b,c\"],\"orders\":-3,\"spend\":\"12.5\",\"town\":\"say \\\"x\\\"\"}\n\
         {\"change\":\"entered\",\"customer\":\"b,ob\",\"born\":null,\"labels\":null,\"orders\":null,\"spend\":null,\"town\":null}\n"
    );
}

#[tokio::test]
async fn parquet_has_types() {
    let bytes = bytes::Bytes::from(written("parquet", Some(11)).await);
    let batches: Vec<_> = ParquetRecordBatchReader::try_new(bytes, 100)
        .unwrap()
        .map(std::result::Result::unwrap)
        .collect();
    let all = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    assert_eq!(all.num_rows(), 3);
    let column = |name: &str| all.column_by_name(name).unwrap();
    let change: Vec<_> = column("change").as_string::<i32>().iter().flatten().collect();
    assert_eq!(change, ["left", "entered", "entered"]);
    assert_eq!(column("born").as_primitive::<Date32Type>().value(1), 365);
    assert_eq!(column("orders").as_primitive::<Int64Type>().value(1), -3);
    assert_eq!(column("spend").as_primitive::<Decimal128Type>().value(1), 1250);
    let labels = column("labels").as_list::<i32>().value(1);
    assert_eq!(labels.as_string::<i32>().value(1), "b,c");
    assert_eq!(column("town").null_count(), 2);
}

#[tokio::test]
async fn bitmaps_have_the_ordinals_and_empty_files_are_files() {
    let expected: Bitmap = [4, 70_000].into_iter().collect();
    assert_eq!(written("roaring", None).await, expected.serialize_portable());
    assert_eq!(written("roaring64", None).await, expected.serialize_portable64());
    let folder = tempfile::tempdir().unwrap();
    for (format, empty) in
        [("csv", &b"customer,born,labels,orders,spend,town\n"[..]), ("jsonl", b"")]
    {
        let to = FileDestination { path: "none".to_owned(), format };
        let mut target = FileTarget::new(Some(folder.path()), &to, order(None)).unwrap();
        target.begin().await.unwrap();
        target.finish(Totals::default()).await.unwrap();
        assert_eq!(std::fs::read(folder.path().join("shop/none")).unwrap(), empty);
    }
}

#[tokio::test]
async fn what_is_given_up_leaves_nothing_and_what_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let to = FileDestination { path: "a.csv".to_owned(), format: "csv" };
    let mut target = FileTarget::new(Some(folder.path()), &to, order(None)).unwrap();
    target.begin().await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join("shop")).unwrap().count(), 1);
    drop(target);
    assert_eq!(std::fs::read_dir(folder.path().join("shop")).unwrap().count(), 0);

    std::fs::create_dir(folder.path().join("shop/a.csv")).unwrap();
    let mut target = FileTarget::new(Some(folder.path()), &to, order(None)).unwrap();
    target.begin().await.unwrap();
    let error = target.finish(Totals::default()).await.unwrap_err();
    assert_eq!(error.kind(), taghouse_model::ErrorKind::Unavailable);
    assert!(error.to_string().contains("shop/a.csv"), "{error}");
    assert!(matches!(FileTarget::new(None, &to, order(None)), Err(Error::NoFolder)));
}
