//! Conditions into JSON and back.

use super::{Path, fields, happened, list, literal, name, scalar, single, within, wrong};
use crate::parse::{MAX_DEPTH, is_true_or_false, may_hold};
use crate::{CompareOp, Length, Literal, Moving, Predicate, Result, Scalar, Test, When};
use serde_json::{Value as Json, json};

const CONDITIONS: [&str; 18] = [
    "and",
    "or",
    "not",
    "compare",
    "in",
    "between",
    "like",
    "is_set",
    "has_any",
    "has_all",
    "not_in",
    "not_between",
    "not_like",
    "holds",
    "crowd",
    "did",
    "sequence",
    "moving",
];

impl Predicate {
    /// The JSON form: `{"and":[…]}`, `{"or":[…]}`, `{"not":…}`,
    /// `{"compare":{"name":"x","op":">=","literal":1}}`, `{"in":{"name","literals"}}`,
    /// `{"between":{"name","low","high"}}`, `{"like":{"name","pattern"}}`, `{"is_set":{"name"}}`,
    /// `{"has_any":{"name","literals"}}`, `has_all`; `not_in`, `not_between`, `not_like` as those
    /// without `not_`; `{"crowd":{"name"}}`;
    /// `{"moving":{"name","anniversary","when","length"}}`,
    /// `{"did":{"events","function","value","op","literal","within","where"}}`,
    /// `{"sequence":{"steps":[{"events","absent","same","times","for","where"}],"within","window"}}`.
    ///
    /// On computed values: `{"compare":{"left":…,"op":">=","right":…}}`, and in all others
    /// `"value":…` instead of the name; `low` and `high` are values then too. `{"holds":…}` is
    /// a value that is true. Values have the form of [`Scalar::to_json`]. Serde writes and reads
    /// the same.
    pub fn to_json(&self) -> Json {
        match self {
            Self::And(operands) => {
                json!({"and": operands.iter().map(Self::to_json).collect::<Vec<_>>()})
            }
            Self::Or(operands) => {
                json!({"or": operands.iter().map(Self::to_json).collect::<Vec<_>>()})
            }
            Self::Not(inner) => json!({"not": inner.to_json()}),
            Self::Differs(inner) => differs(inner),
            Self::Compare { name, op, literal } => {
                json!({"compare": {"name": name, "op": op.symbol(), "literal": literal.to_json()}})
            }
            Self::In { name, literals } => json!({"in": {"name": name, "literals": all(literals)}}),
            Self::Between { name, low, high } => {
                json!({"between": {"name": name, "low": low.to_json(), "high": high.to_json()}})
            }
            Self::Like { name, pattern } => json!({"like": {"name": name, "pattern": pattern}}),
            Self::IsSet { name } => json!({"is_set": {"name": name}}),
            Self::Has { name, all: every, literals } => {
                json!({has_key(*every): {"name": name, "literals": all(literals)}})
            }
            Self::Crowd { name } => json!({"crowd": {"name": name}}),
            Self::Happened(happened) => happened::to_json(happened),
            Self::Moving { name, moving: Moving { anniversary, when, length }, .. } => {
                let (when, length) = (when.words(), length.to_string());
                let fields = json!({"name": name, "anniversary": anniversary, "when": when, "length": length});
                json!({"moving": fields})
            }
            Self::Test { value, test } => {
                let value = value.to_json();
                match test {
                    Test::Holds => json!({"holds": value}),
                    Test::IsSet => json!({"is_set": {"value": value}}),
                    Test::Compare { op, with } => {
                        json!({"compare": {"left": value, "op": op.symbol(), "right": with.to_json()}})
                    }
                    Test::Between { low, high } => {
                        json!({"between": {"value": value, "low": low.to_json(), "high": high.to_json()}})
                    }
                    Test::In { literals } => {
                        json!({"in": {"value": value, "literals": all(literals)}})
                    }
                    Test::Like { pattern } => json!({"like": {"value": value, "pattern": pattern}}),
                    Test::Has { all: every, literals } => {
                        json!({has_key(*every): {"value": value, "literals": all(literals)}})
                    }
                }
            }
        }
    }

    /// Reads the JSON form. Nested `and` in `and` (and `or` in `or`) is flattened, one operand
    /// stands for itself.
    ///
    /// # Errors
    /// [`crate::Error::Json`] with a JSON pointer: another shape, an unknown key, a name that is
    /// none, nesting deeper than 128.
    pub fn from_json(json: &Json) -> Result<Self> {
        let mut at = Path::new();
        predicate(json, &mut at, MAX_DEPTH)
    }
}

fn all(literals: &[Literal]) -> Vec<Json> {
    literals.iter().map(Literal::to_json).collect()
}

fn has_key(all: bool) -> &'static str {
    if all { "has_all" } else { "has_any" }
}

fn differs(inner: &Predicate) -> Json {
    match inner.to_json() {
        Json::Object(object) => {
            object.into_iter().map(|(key, fields)| (format!("not_{key}"), fields)).collect()
        }
        other => other,
    }
}

pub(super) fn predicate(json: &Json, at: &mut Path, depth_left: usize) -> Result<Predicate> {
    if depth_left == 0 {
        return wrong(at, format!("nested more than {MAX_DEPTH} deep"));
    }
    let (key, inner) = single(json, at, "condition", &CONDITIONS)?;
    within(at, key, |at| match key {
        "and" | "or" => operands(inner, at, depth_left, key == "and"),
        "not" => Ok(Predicate::Not(Box::new(predicate(inner, at, depth_left - 1)?))),
        "holds" => {
            let value = scalar(inner, at, depth_left - 1)?;
            if !may_hold(&value, is_true_or_false) {
                return wrong(at, "a number or a text is not a condition: compare it");
            }
            Ok(Predicate::of(value, Test::Holds))
        }
        "crowd" => {
            fields(inner, at, ["name"]).and_then(|[n]| Ok(Predicate::Crowd { name: name(n, at)? }))
        }
        "moving" => moving(inner, at),
        "did" => Ok(Predicate::Happened(Box::new(happened::did(inner, at, depth_left)?))),
        "sequence" => Ok(Predicate::Happened(Box::new(happened::sequence(inner, at, depth_left)?))),
        _ => match key.strip_prefix("not_") {
            Some(key) => Ok(Predicate::Differs(Box::new(asked(key, inner, at, depth_left)?))),
            None => asked(key, inner, at, depth_left),
        },
    })
}

fn moving(json: &Json, at: &mut Path) -> Result<Predicate> {
    let [n, anniversary, when, length] =
        fields(json, at, ["name", "anniversary", "when", "length"])?;
    let name = name(n, at)?;
    let Some(anniversary) = anniversary.as_bool() else {
        return wrong(at, "`anniversary` is not true or false");
    };
    let all = [When::Last, When::Next, When::Older];
    let Some(when) = all.into_iter().find(|known| Some(known.words()) == when.as_str()) else {
        let known = "within last, within next, older than";
        return wrong(at, format!("`when` is {when}, not one of {known}"));
    };
    let Some(length) = length.as_str().and_then(Length::read) else {
        let known = "1d to 3660d, 1h to 8784h or 1m to 1440m";
        return wrong(at, format!("`length` is {length}, not {known}"));
    };
    let moving = Moving { anniversary, when, length };
    Ok(Predicate::Moving { name, moving, instants: false })
}

/// A condition on a name or a value.
fn asked(key: &str, json: &Json, at: &mut Path, depth_left: usize) -> Result<Predicate> {
    // Which of both forms it is, and so what is missing where something is.
    let of_value = json.as_object().is_some_and(|o| {
        o.contains_key("value") || o.contains_key("left") || o.contains_key("right")
    });
    let subject = |json: &Json, field: &str, at: &mut Path| {
        if of_value {
            within(at, field, |at| scalar(json, at, depth_left - 1))
        } else {
            Ok(Scalar::Name(name(json, at)?))
        }
    };
    let operand = |json: &Json, field: &str, at: &mut Path| {
        within(at, field, |at| {
            if of_value {
                scalar(json, at, depth_left - 1)
            } else {
                Ok(Scalar::Literal(literal(json, at)?))
            }
        })
    };
    let whose = if of_value { "value" } else { "name" };
    match key {
        "compare" => {
            let [left, right] = if of_value { ["left", "right"] } else { ["name", "literal"] };
            let [l, op, r] = fields(json, at, [left, "op", right])?;
            let Some(op) = CompareOp::ALL.into_iter().find(|o| Some(o.symbol()) == op.as_str())
            else {
                return wrong(at, format!("`op` is {op}, not one of ==, !=, <, <=, >, >="));
            };
            let value = subject(l, left, at)?;
            Ok(Predicate::of(value, Test::Compare { op, with: Box::new(operand(r, right, at)?) }))
        }
        "in" | "has_any" | "has_all" => {
            let [s, literals] = fields(json, at, [whose, "literals"])?;
            let value = subject(s, whose, at)?;
            let literals = within(at, "literals", |at| {
                list(literals, at)?
                    .iter()
                    .enumerate()
                    .map(|(i, l)| within(at, i.to_string(), |at| literal(l, at)))
                    .collect()
            })?;
            Ok(Predicate::of(
                value,
                if key == "in" {
                    Test::In { literals }
                } else {
                    Test::Has { all: key == "has_all", literals }
                },
            ))
        }
        "between" => {
            let [s, low, high] = fields(json, at, [whose, "low", "high"])?;
            let value = subject(s, whose, at)?;
            let (low, high) =
                (Box::new(operand(low, "low", at)?), Box::new(operand(high, "high", at)?));
            Ok(Predicate::of(value, Test::Between { low, high }))
        }
        "like" => {
            let [s, pattern] = fields(json, at, [whose, "pattern"])?;
            let Some(pattern) = pattern.as_str() else { return wrong(at, "`pattern` is not text") };
            Ok(Predicate::of(subject(s, whose, at)?, Test::Like { pattern: pattern.to_owned() }))
        }
        _ => {
            let [s] = fields(json, at, [whose])?;
            Ok(Predicate::of(subject(s, whose, at)?, Test::IsSet))
        }
    }
}

fn operands(json: &Json, at: &mut Path, depth_left: usize, and: bool) -> Result<Predicate> {
    let mut operands = Vec::new();
    for (i, operand) in list(json, at)?.iter().enumerate() {
        match within(at, i.to_string(), |at| predicate(operand, at, depth_left - 1))? {
            Predicate::And(inner) if and => operands.extend(inner),
            Predicate::Or(inner) if !and => operands.extend(inner),
            other => operands.push(other),
        }
    }
    Ok(match operands.len() {
        1 => operands.swap_remove(0),
        _ if and => Predicate::And(operands),
        _ => Predicate::Or(operands),
    })
}
