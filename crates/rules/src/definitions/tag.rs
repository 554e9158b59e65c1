use super::aggregate::how_to_write;
use super::journey::JourneyReader;
use super::marks::marks;
use super::{
    Errors, Inputs, aggregate, condition_without_crowds, kept, name_of, read, refuse_circles,
    source,
};
use crate::check::{Naming, Scope, check_scalar, described, listed};
use crate::coerce::coerce;
use crate::parse::is_value;
use crate::raw::tag::{RawCohort, RawMode, RawPrecision, RawTag, RawTagType, RawValue};
use crate::{
    ANONYMOUS_TAG, CohortRule, Document, DocumentKind, Error, Expression, Literal, Predicate,
    TagDefinition, TagKind, TagMode, parse_scalar, suggest,
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use taghouse_model::{Name, Value, ValueType};

/// Columns of the wide table, so that no tag can be called so.
const RESERVED_TAGS: [&str; 2] = ["user_id", "as_of"];

/// The declared types of all tags, whatever else is wrong with them.
pub(super) fn types(documents: &[Document]) -> BTreeMap<Name, ValueType> {
    let tags = read::<RawTag>(documents, DocumentKind::Tag, &mut Errors::new());
    tags.iter()
        .filter_map(|(document, raw)| {
            Some((Name::new(&document.name).ok()?, value_type(raw).unwrap_or(lenient(raw))))
        })
        .collect()
}

pub(super) fn check(
    documents: &[Document],
    inputs: &Inputs<'_>,
    errors: &mut Errors,
) -> BTreeMap<Name, TagDefinition> {
    let types = types(documents);
    let mut tags = Vec::new();
    for (document, raw) in read::<RawTag>(documents, DocumentKind::Tag, errors) {
        let name = name_of(document, errors);
        let found = TagReader { document, raw: &raw, inputs, types: &types, errors }.kind();
        if let (Some(name), Some((value_type, kind))) = (name, found) {
            let mode = match raw.mode {
                None | Some(RawMode::Batch) => TagMode::Batch,
                Some(RawMode::Stream) => TagMode::Stream,
                Some(RawMode::Both) => TagMode::Both,
            };
            let marks = marks(document, raw.category.as_ref(), &raw.labels, errors);
            let description = raw.description;
            tags.push(TagDefinition { name, description, value_type, mode, kind, marks });
        }
    }
    let tags = kept(tags);
    for document in documents.iter().filter(|document| document.kind == DocumentKind::Tag) {
        if let Some(tag) = tags.get(document.name.as_str())
            && let Some(problem) = unfit_for_stream(tag, &tags)
        {
            errors.push(document.error("/mode", problem));
        }
    }
    let needs = tags.iter().map(|(name, tag)| (name.clone(), tag.kind.tags())).collect();
    refuse_circles(documents, DocumentKind::Tag, &needs, &|_| "", errors);
    tags
}

/// Why the stream cannot keep the tag current, if it is to.
fn unfit_for_stream(tag: &TagDefinition, tags: &BTreeMap<Name, TagDefinition>) -> Option<String> {
    if !tag.mode.is_live() {
        return None;
    }
    if matches!(tag.kind, TagKind::Sql { .. }) {
        return Some(
            "an `sql` tag is computed by productions only: leave `mode` out, or write it as an aggregate"
                .to_owned(),
        );
    }
    let inputs = tag.kind.tags();
    let batch = inputs.iter().find(|input| tags.get(*input).is_some_and(|i| !i.mode.is_live()))?;
    Some(format!(
        "it is computed from `{batch}`, which productions keep: give that `mode: stream` or `mode: both` too"
    ))
}

/// The type that a tag is meant to have, where its scale is wrong.
fn lenient(raw: &RawTag) -> ValueType {
    match raw.ty {
        RawTagType::Bool => ValueType::Bool,
        RawTagType::Enum => ValueType::Text,
        RawTagType::Set => ValueType::Set,
        RawTagType::Int => ValueType::Int,
        RawTagType::Decimal => ValueType::Decimal { scale: 2 },
        RawTagType::Date if raw.precision == Some(RawPrecision::Millisecond) => ValueType::Time,
        RawTagType::Date => ValueType::Date,
    }
}

/// The tag's type, or which key is wrong and why.
fn value_type(raw: &RawTag) -> Result<ValueType, (&'static str, String)> {
    if raw.scale.is_some() && raw.ty != RawTagType::Decimal {
        return Err(("/scale", "`scale` is for `type: decimal` only".to_owned()));
    }
    if raw.precision.is_some() && raw.ty != RawTagType::Date {
        return Err(("/precision", "`precision` is for `type: date` only".to_owned()));
    }
    match raw.ty {
        RawTagType::Decimal => {
            Ok(ValueType::Decimal { scale: source::scale(raw.scale).map_err(|e| ("/scale", e))? })
        }
        _ => Ok(lenient(raw)),
    }
}

/// One tag as it is read; what is wrong goes into `errors`.
struct TagReader<'a> {
    document: &'a Document,
    raw: &'a RawTag,
    inputs: &'a Inputs<'a>,
    types: &'a BTreeMap<Name, ValueType>,
    errors: &'a mut Errors,
}

impl TagReader<'_> {
    fn error(&mut self, pointer: &str, message: impl Into<String>) {
        self.errors.push(self.document.error(pointer, message));
    }

    fn kind(mut self) -> Option<(ValueType, TagKind)> {
        let raw = self.raw;
        if RESERVED_TAGS.iter().any(|r| r.eq_ignore_ascii_case(&raw.name)) {
            self.error(
                "/name",
                format!("`{}` is a column of the wide table: give the tag another name", raw.name),
            );
        }
        if raw.name.starts_with(ANONYMOUS_TAG) {
            let message = format!(
                "names that begin with {ANONYMOUS_TAG} are kept for conditions of crowds: give the tag another name"
            );
            self.error("/name", message);
        }
        let ty = match value_type(raw) {
            Ok(ty) => ty,
            Err((pointer, e)) => {
                self.error(pointer, e);
                return None;
            }
        };
        let given = [
            ("aggregate", raw.aggregate.is_some()),
            ("session", raw.session.is_some()),
            ("state", raw.state.is_some()),
            ("sequence", raw.sequence.is_some()),
            ("attribute", raw.attribute.is_some()),
            ("cohort", raw.cohort.is_some()),
            ("expression", raw.expression.is_some()),
            ("sql", raw.sql.is_some()),
        ];
        let given: Vec<&str> =
            given.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect();
        if let [first, .., last] = given.as_slice() {
            self.error(
                &format!("/{last}"),
                format!("a tag is computed in one way: it has `{first}` and `{last}`"),
            );
            return None;
        }
        let kind = match raw {
            RawTag { aggregate: Some(a), .. } => {
                aggregate::check(self.document, a, ty, self.inputs, self.errors)
                    .map(TagKind::Aggregate)
            }
            RawTag { session: Some(_), .. }
            | RawTag { state: Some(_), .. }
            | RawTag { sequence: Some(_), .. } => self.in_order(ty),
            RawTag { attribute: Some(attribute), .. } => self.attribute(attribute, ty),
            RawTag { cohort: Some(cohort), .. } => self.cohort(cohort, ty),
            RawTag { expression: Some(text), .. } => {
                self.expression(text, ty).map(TagKind::Expression)
            }
            RawTag { sql: Some(query), .. } if query.trim().is_empty() => {
                self.error("/sql", "`sql` is empty: write a SELECT that gives user_id and value");
                None
            }
            RawTag { sql: Some(query), .. } => Some(TagKind::Sql { query: query.clone() }),
            _ => {
                self.error(
                    "",
                    "a tag needs one of `aggregate`, `session`, `state`, `sequence`, `attribute`, `cohort`, `expression` and `sql`",
                );
                None
            }
        };
        Some((ty, kind?))
    }

    /// A tag over the order of events.
    fn in_order(&mut self, ty: ValueType) -> Option<TagKind> {
        let Self { document, raw, inputs, .. } = *self;
        let mut reader = JourneyReader { document, ty, inputs, errors: self.errors };
        match raw {
            RawTag { session: Some(raw), .. } => reader.session(raw).map(TagKind::Session),
            RawTag { state: Some(raw), .. } => reader.state(raw).map(TagKind::State),
            RawTag { sequence: Some(raw), .. } => reader.sequence(raw).map(TagKind::Sequence),
            _ => None,
        }
    }

    fn attribute(&mut self, attribute: &str, ty: ValueType) -> Option<TagKind> {
        let Some((name, found)) = self.inputs.attributes.get_key_value(attribute) else {
            let all = || self.inputs.attributes.keys().map(Name::as_str);
            let fix = match (suggest::nearest(attribute, all()), listed(all())) {
                (Some(near), _) => format!("; did you mean `{near}`?"),
                (None, Some(list)) => format!("; known attributes: {list}"),
                (None, None) => "; no source has `attributes`".to_owned(),
            };
            self.error("/attribute", format!("no source has an attribute `{attribute}`{fix}"));
            return None;
        };
        match (*found, ty) {
            (ValueType::Decimal { .. }, ValueType::Decimal { .. }) => {
                Some(TagKind::Attribute { attribute: name.clone() })
            }
            (found, ty) if found == ty => Some(TagKind::Attribute { attribute: name.clone() }),
            (found, _) => {
                self.error(
                    "/type",
                    format!(
                        "attribute `{name}` is of type {}: write `{}`",
                        described(found, Naming::Properties),
                        how_to_write(found)
                    ),
                );
                None
            }
        }
    }

    fn cohort(&mut self, raw: &RawCohort, ty: ValueType) -> Option<TagKind> {
        if raw.rules.is_empty() {
            self.error("/cohort/rules", "a cohort needs at least one rule");
        }
        let before = self.errors.len();
        let mut rules = Vec::new();
        for (i, rule) in raw.rules.iter().enumerate() {
            let pointer = format!("/cohort/rules/{i}");
            let when = self.condition(&format!("{pointer}/when"), &rule.when);
            let value = self.value(&format!("{pointer}/value"), &rule.value, ty);
            rules.extend(when.zip(value).map(|(when, value)| CohortRule { when, value }));
        }
        let otherwise =
            raw.otherwise.as_ref().and_then(|value| self.value("/cohort/otherwise", value, ty));
        (self.errors.len() == before && !rules.is_empty())
            .then_some(TagKind::Cohort { rules, otherwise })
    }

    fn condition(&mut self, pointer: &str, text: &str) -> Option<Predicate<Value>> {
        let (types, inputs) = (self.types, self.inputs);
        in_scope(types, inputs, |scope| {
            condition_without_crowds(self.document, pointer, text, scope, self.errors)
        })
    }

    /// A cohort's value as one of the tag's type.
    fn value(&mut self, pointer: &str, raw: &RawValue, ty: ValueType) -> Option<Value> {
        match fitting(raw, ty, self.inputs.zone) {
            Ok(value) => Some(value),
            Err(e) => {
                self.error(pointer, e);
                None
            }
        }
    }

    fn expression(&mut self, text: &str, ty: ValueType) -> Option<Expression> {
        // A bool tag may be a condition, or a value such as `coalesce(vip, false)`.
        if ty == ValueType::Bool && !is_value(text).unwrap_or(false) {
            return self.condition("/expression", text).map(Expression::Condition);
        }
        // A crowd in an `if` is refused here as unknown; say why.
        if parse_scalar(text).is_ok_and(|scalar| !scalar.crowds().is_empty()) {
            self.error("/expression", "`crowd(…)` has its place in crowds only: write the condition itself, or a tag for it");
            return None;
        }
        let checked = match in_scope(self.types, self.inputs, |scope| check_scalar(text, scope)) {
            Ok(checked) => checked,
            Err(e) => {
                self.expression_error(&e);
                return None;
            }
        };
        match (checked.ty, ty) {
            // A decimal is rounded to the tag's scale when it is computed.
            (ValueType::Decimal { .. } | ValueType::Int, ValueType::Decimal { .. }) => {
                Some(Expression::Scalar(checked.scalar))
            }
            (ValueType::Decimal { .. }, ValueType::Int) => {
                self.error(
                    "/type",
                    "the expression gives a decimal: write `type: decimal` and a `scale`, or round(…, 0) in the expression",
                );
                None
            }
            (found, ty) if found == ty => Some(Expression::Scalar(checked.scalar)),
            (found, _) => {
                self.error(
                    "/type",
                    format!(
                        "the expression gives {}: write `{}`",
                        described(found, Naming::Tags),
                        how_to_write(found)
                    ),
                );
                None
            }
        }
    }

    fn expression_error(&mut self, error: &Error) {
        self.errors.push(self.document.expression_error("/expression", error));
    }
}

/// Does something in the scope of all tags.
fn in_scope<T>(
    types: &BTreeMap<Name, ValueType>,
    inputs: &Inputs<'_>,
    with: impl FnOnce(Scope<'_>) -> T,
) -> T {
    let known: Vec<&str> = types.keys().map(Name::as_str).collect();
    with(Scope {
        naming: Naming::Tags,
        types: &|name| types.get(name).copied(),
        crowds: &|name| inputs.crowds.contains(name),
        crowds_fit: false,
        zone: inputs.zone,
        known: Some(&known),
        pending: None,
    })
}

fn fitting(raw: &RawValue, ty: ValueType, zone: &jiff::tz::TimeZone) -> Result<Value, String> {
    let literal = match raw {
        RawValue::Bool(v) => Literal::Bool(*v),
        RawValue::Int(v) => Literal::Int(*v),
        RawValue::Number(v) => Literal::Decimal(
            Decimal::from_str_exact(&v.to_string())
                .map_err(|_| format!("{v} is too long for a decimal"))?,
        ),
        RawValue::Decimal(v) => Literal::Decimal(
            Decimal::from_str_exact(&v.decimal)
                .map_err(|_| format!("\"{}\" is not a decimal", v.decimal))?,
        ),
        RawValue::Text(v) => Literal::Text(v.clone()),
        RawValue::Texts(all) if ty == ValueType::Set && !all.is_empty() => {
            let members =
                all.iter().map(|text| match coerce(&Literal::Text(text.clone()), ty, zone)? {
                    Value::Text(member) => Ok(member),
                    other => Err(format!("{other} is not a member of a set")),
                });
            return members.collect::<Result<_, String>>().map(Value::Set);
        }
        RawValue::Texts(_) => {
            return Err(format!("a list is not of type {}", described(ty, Naming::Tags)));
        }
    };
    match (coerce(&literal, ty, zone)?, ty) {
        (Value::Text(member), ValueType::Set) => Ok(Value::Set([member].into())),
        (Value::Decimal(v), ValueType::Decimal { scale })
            if v.normalize().scale() > u32::from(scale) =>
        {
            Err(format!(
                "{v} has more digits after the point than the tag's {scale}: write `scale: {}`",
                v.normalize().scale()
            ))
        }
        (Value::Decimal(v), ValueType::Decimal { .. }) => Ok(Value::Decimal(v.normalize())),
        (Value::Decimal(v), ValueType::Int) => {
            Err(format!("{v} is a decimal number, where a whole one is expected"))
        }
        (value, _) => Ok(value),
    }
}
