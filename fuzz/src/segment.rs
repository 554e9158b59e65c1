//! `Segment::open` and everything that is read of one tag, below its checksums.

use crate::LISTED;
use crate::bitmap::walk;
use rust_decimal::Decimal;
use std::sync::Arc;
use taghouse_bitmap::{Bitmap, seal, unseal};
use taghouse_index::{Segment, SegmentBuilder};
use taghouse_model::{Value, ValueType};

const MAGIC: &[u8; 8] = b"TAGHSEGM";

pub fn read(body: &[u8]) {
    let Ok(segment) = Segment::open("fuzz", seal(MAGIC, body)) else { return };
    let _ = (segment.users(), segment.existence().is_empty(), segment.numbers().is_some());
    for ordinal in [0, 3, 70_000, u32::MAX] {
        let _ = segment.value_of(ordinal);
    }
    if segment.users() < LISTED {
        let _ = segment.values();
    }
    for (_, users) in segment.sets().into_iter().take(5) {
        if let Ok(users) = users.to_bitmap() {
            walk(&users);
        }
    }
    for value in [Value::Bool(true), Value::text("a"), Value::text("b7"), Value::Int(5)] {
        let _ = segment.users_of(&value);
    }
    let within = Bitmap::from_range(2..=80_000);
    let _ = (
        segment.sum(None),
        segment.sum(Some(&within)),
        segment.bounds(None),
        segment.bounds(Some(&within)),
    );
}

pub fn seeds() -> Vec<Vec<u8>> {
    let text = |n: u32| -> Arc<str> { format!("b{}", n % 40).into() };
    let value = |ty: ValueType, n: u32| match ty {
        ValueType::Bool => Value::Bool(n.is_multiple_of(3)),
        ValueType::Text => Value::Text(text(n)),
        ValueType::Set => Value::Set([text(n), text(n * 7)].into_iter().collect()),
        ValueType::Int => Value::Int(i64::from(n) * 11 - 300),
        ValueType::Decimal { scale } => {
            Value::Decimal(Decimal::new(i64::from(n) * 3, u32::from(scale)))
        }
        ValueType::Date => Value::Date(n as i32),
        ValueType::Time => Value::Time(i64::from(n) * 86_400_001),
    };
    let types = [
        ValueType::Bool,
        ValueType::Text,
        ValueType::Set,
        ValueType::Int,
        ValueType::Decimal { scale: 2 },
        ValueType::Date,
        ValueType::Time,
    ];
    let mut seeds = Vec::new();
    for ty in types {
        for users in [0, 5, 300] {
            let mut builder = SegmentBuilder::new(ty);
            for n in 0..users {
                let _ = builder.add(n * 3_001, &value(ty, n));
            }
            seeds.extend(builder.finish());
        }
    }
    // So many values that the segment has rows, each once.
    for ty in [ValueType::Text, ValueType::Set] {
        let mut builder = SegmentBuilder::new(ty);
        for n in 0..16_400_u32 {
            let text: Arc<str> = format!("{n:x}").into();
            let _ = builder.add(
                n,
                &if ty == ValueType::Set {
                    Value::Set([text].into_iter().collect())
                } else {
                    Value::Text(text)
                },
            );
        }
        seeds.extend(builder.finish());
    }
    seeds.into_iter().filter_map(|file| unseal(MAGIC, &file.into()).ok()).map(Into::into).collect()
}
