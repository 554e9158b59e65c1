//! Values of every type, from a seed.

use rust_decimal::Decimal;
use std::sync::Arc;
use taghouse_model::{Value, ValueType};

pub(crate) const TYPES: [ValueType; 7] =
    [ValueType::Bool, ValueType::Text, ValueType::Set, ValueType::Int, ValueType::Decimal { scale: 2 }, ValueType::Date, ValueType::Time];

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

/// One of about `values` different values; numbers are on both sides of zero.
pub(crate) fn value(ty: ValueType, values: u64, dice: &mut Dice) -> Value {
    let number = dice.below(values) as i64 - values as i64 / 2;
    match ty {
        ValueType::Bool => Value::Bool(number >= 0),
        ValueType::Text => Value::Text(text(number)),
        ValueType::Set => Value::Set((0..=dice.below(4)).map(|_| text(dice.below(values) as i64)).collect()),
        ValueType::Int => Value::Int(number * 3),
        ValueType::Decimal { scale } => Value::Decimal(Decimal::new(number * 7, u32::from(scale))),
        ValueType::Date => Value::Date(number as i32),
        ValueType::Time => Value::Time(number * 86_400_001),
    }
}

fn text(number: i64) -> Arc<str> {
    let stem = ["a", "ab", "b", "ä", "a%", ""][number.rem_euclid(6) as usize];
    Arc::from(format!("{stem}{}", number / 6))
}
