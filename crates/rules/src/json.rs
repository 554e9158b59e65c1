//! Trees into JSON and back, lossless.

mod condition;
mod happened;

use crate::parse::{MAX_DEPTH, counted};
use crate::{ArithmeticOp, Error, Function, Literal, Predicate, Result, Scalar, suggest};
use condition::predicate;
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json, json};

const ARITHMETIC: [(ArithmeticOp, &str); 4] = [
    (ArithmeticOp::Add, "add"),
    (ArithmeticOp::Subtract, "subtract"),
    (ArithmeticOp::Multiply, "multiply"),
    (ArithmeticOp::Divide, "divide"),
];

impl Scalar {
    /// The JSON form: `{"literal":…}`, `{"name":"x"}`, `{"negate":…}`, `{"add":[a,b]}` (`subtract`,
    /// `multiply`, `divide`), a function by its name with an array,
    /// `{"if":{"condition","then","otherwise"}}`. Serde writes and reads the same.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Literal(literal) => json!({"literal": literal.to_json()}),
            Self::Name(name) => json!({"name": name}),
            Self::Negate(inner) => json!({"negate": inner.to_json()}),
            Self::Binary { op, left, right } => {
                let key =
                    ARITHMETIC.into_iter().find(|(o, _)| o == op).map_or("add", |(_, key)| key);
                json!({key: [left.to_json(), right.to_json()]})
            }
            Self::Call { function, arguments } => {
                json!({function.name(): arguments.iter().map(Self::to_json).collect::<Vec<_>>()})
            }
            Self::If { condition, then, otherwise } => {
                json!({"if": {"condition": condition.to_json(), "then": then.to_json(), "otherwise": otherwise.to_json()}})
            }
        }
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// [`Error::Json`] with a JSON pointer, as [`Predicate::from_json`].
    pub fn from_json(json: &Json) -> Result<Self> {
        let mut at = Path::new();
        scalar(json, &mut at, MAX_DEPTH)
    }
}

impl Literal {
    /// A decimal as `{"decimal":"1.50"}`, the others plain.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Bool(v) => json!(v),
            Self::Int(v) => json!(v),
            Self::Decimal(v) => json!({"decimal": v.to_string()}),
            Self::Text(v) => json!(v),
        }
    }
}

/// Where in the JSON we are: keys and indices from the root.
type Path = Vec<String>;

fn wrong<T>(at: &Path, message: impl Into<String>) -> Result<T> {
    let path = at
        .iter()
        .map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1")))
        .collect::<String>();
    Err(Error::Json {
        path: if path.is_empty() { "/".to_owned() } else { path },
        message: message.into(),
    })
}

fn within<T>(
    at: &mut Path,
    step: impl Into<String>,
    read: impl FnOnce(&mut Path) -> Result<T>,
) -> Result<T> {
    at.push(step.into());
    let read = read(at)?;
    at.pop();
    Ok(read)
}

/// The only key of an object, and what it holds.
fn single<'a>(
    json: &'a Json,
    at: &Path,
    what: &str,
    known: &[&str],
) -> Result<(&'a str, &'a Json)> {
    match json.as_object().map(|o| (o.len(), o.iter().next())) {
        Some((1, Some((key, inner)))) if known.contains(&key.as_str()) => Ok((key, inner)),
        Some((1, Some((key, _)))) => {
            let near = suggest::did_you_mean(key, known.iter().copied());
            wrong(at, format!("`{key}` is not a known {what}{near} (one of {})", known.join(", ")))
        }
        _ => {
            wrong(at, format!("expected a {what}: an object with one key of {}", known.join(", ")))
        }
    }
}

/// The fields of an object: exactly these.
fn fields<'a, const N: usize>(json: &'a Json, at: &Path, keys: [&str; N]) -> Result<[&'a Json; N]> {
    let Some(object) = json.as_object() else {
        return wrong(at, format!("expected an object with {}", keys.join(", ")));
    };
    if let Some(unknown) = object.keys().find(|k| !keys.contains(&k.as_str())) {
        return wrong(
            at,
            format!("unknown key `{unknown}`{}", suggest::did_you_mean(unknown, keys)),
        );
    }
    let mut found = [json; N];
    for (slot, key) in found.iter_mut().zip(keys) {
        match object.get(key) {
            Some(value) => *slot = value,
            None => return wrong(at, format!("`{key}` is missing")),
        }
    }
    Ok(found)
}

fn list<'a>(json: &'a Json, at: &Path) -> Result<&'a [Json]> {
    match json.as_array() {
        Some(list) if !list.is_empty() => Ok(list),
        _ => wrong(at, "expected an array of at least one"),
    }
}

fn name(json: &Json, at: &Path) -> Result<String> {
    match json.as_str().map(taghouse_model::Name::new) {
        Some(Ok(name)) => Ok(name.into()),
        Some(Err(e)) => wrong(at, e.to_string()),
        None => wrong(at, "`name` is not text"),
    }
}

fn literal(json: &Json, at: &Path) -> Result<Literal> {
    match json {
        Json::Bool(v) => Ok(Literal::Bool(*v)),
        Json::String(v) => Ok(Literal::Text(v.clone())),
        Json::Number(n) => match (n.as_i64(), Decimal::from_str_exact(&n.to_string())) {
            (Some(v), _) => Ok(Literal::Int(v)),
            (None, Ok(v)) if n.is_f64() => Ok(Literal::Decimal(v)),
            _ => {
                wrong(at, format!("{n} does not fit; write a decimal as {{\"decimal\":\"1.50\"}}"))
            }
        },
        Json::Object(o) => match decimal_of(o) {
            Some(v) => Ok(Literal::Decimal(v)),
            None => wrong(
                at,
                "expected a literal; a decimal is {\"decimal\":\"1.50\"}, of 28 digits at most",
            ),
        },
        _ => wrong(at, "expected a literal: a number, text, true, false or {\"decimal\":\"1.50\"}"),
    }
}

/// The decimal that `{"decimal":"1.50"}` holds.
pub(crate) fn decimal_of(object: &Map<String, Json>) -> Option<Decimal> {
    if object.len() != 1 {
        return None;
    }
    let text = object.get("decimal")?.as_str()?;
    let plain = text.strip_prefix('-').unwrap_or(text);
    let digits_and_point = plain.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && plain.starts_with(|c: char| c.is_ascii_digit());
    if digits_and_point { Decimal::from_str_exact(text).ok() } else { None }
}

fn scalar(json: &Json, at: &mut Path, depth_left: usize) -> Result<Scalar> {
    if depth_left == 0 {
        return wrong(at, format!("nested more than {MAX_DEPTH} deep"));
    }
    let mut known = vec!["literal", "name", "negate", "if"];
    known.extend(ARITHMETIC.iter().map(|(_, key)| key));
    known.extend(Function::ALL.iter().map(|f| f.name()));
    let (key, inner) = single(json, at, "value", &known)?;
    within(at, key, |at| match key {
        "literal" => Ok(Scalar::Literal(literal(inner, at)?)),
        "name" => Ok(Scalar::Name(name(inner, at)?)),
        "negate" => Ok(Scalar::Negate(Box::new(scalar(inner, at, depth_left - 1)?))),
        "if" => {
            let [condition, then, otherwise] =
                fields(inner, at, ["condition", "then", "otherwise"])?;
            Ok(Scalar::If {
                condition: Box::new(within(at, "condition", |at| {
                    predicate(condition, at, depth_left - 1)
                })?),
                then: Box::new(within(at, "then", |at| scalar(then, at, depth_left - 1))?),
                otherwise: Box::new(within(at, "otherwise", |at| {
                    scalar(otherwise, at, depth_left - 1)
                })?),
            })
        }
        _ => call(key, inner, at, depth_left),
    })
}

fn call(key: &str, json: &Json, at: &mut Path, depth_left: usize) -> Result<Scalar> {
    let mut arguments = Vec::new();
    for (i, argument) in list(json, at)?.iter().enumerate() {
        arguments.push(within(at, i.to_string(), |at| scalar(argument, at, depth_left - 1))?);
    }
    if let Some(function) = Function::ALL.into_iter().find(|f| f.name() == key) {
        let (least, most) = function.arity();
        if !(least..=most).contains(&arguments.len()) {
            return wrong(
                at,
                format!("{}, where `{}` is expected", counted(arguments.len()), function.usage()),
            );
        }
        return Ok(Scalar::Call { function, arguments });
    }
    let op = ARITHMETIC.into_iter().find(|(_, k)| *k == key).map(|(op, _)| op);
    match (op, <[Scalar; 2]>::try_from(arguments)) {
        (Some(op), Ok([left, right])) => {
            Ok(Scalar::Binary { op, left: Box::new(left), right: Box::new(right) })
        }
        _ => wrong(at, "expected an array of two"),
    }
}

impl Serialize for Predicate {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Predicate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::from_json(&Json::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::from_json(&Json::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
