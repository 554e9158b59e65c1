//! JSON schemas that cannot be derived from Rust types, for the OpenAPI description.

use serde_json::{Value as Json, json};
use std::borrow::Cow;
use taghouse_model::MAX_USER_ID_BYTES;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema, Type,
};
use utoipa::{PartialSchema, ToSchema};

/// A condition on users in the crowd language: text, or the same as a tree.
pub struct Expression;

/// A user id in a request.
pub struct UserId;

/// A tag's value in an answer.
pub struct TagValue;

/// A tag's value in a request.
pub struct NewValue;

/// A number in a request.
pub struct Edge;

/// The role of a key.
pub struct KeyRole;

/// Where a run stands.
pub struct RunState;

/// Where a task of a run stands.
pub struct TaskState;

macro_rules! named {
    ($($shape:ident),+) => {
        $(impl ToSchema for $shape {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($shape))
            }
        })+
    };
}

named!(Expression, UserId, TagValue, NewValue, Edge, KeyRole, RunState, TaskState);

fn plain(kind: Type, about: &str) -> Object {
    ObjectBuilder::new().schema_type(kind).description(Some(about)).build()
}

fn text(about: &str) -> Object {
    plain(Type::String, about)
}

fn members(about: &str) -> Schema {
    ArrayBuilder::new()
        .items(Object::with_type(Type::String))
        .description(Some(about))
        .build()
        .into()
}

fn one_of(
    about: &str,
    shapes: impl IntoIterator<Item = Schema>,
    examples: impl IntoIterator<Item = Json>,
) -> RefOr<Schema> {
    let shapes = shapes.into_iter().fold(OneOfBuilder::new(), |all, shape| all.item(shape));
    RefOr::T(shapes.description(Some(about)).examples(examples).build().into())
}

/// Text that is one of these words.
pub fn one_word(about: &str, words: &[&str]) -> RefOr<Schema> {
    let word = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words.iter().copied()))
        .description(Some(about));
    RefOr::T(word.build().into())
}

impl PartialSchema for Expression {
    fn schema() -> RefOr<Schema> {
        let tree = ObjectBuilder::new()
            .description(Some("One of and, or, not, compare, in, between, like, is_set, has_any, has_all, not_in, not_between, not_like, holds and crowd, with its parts."))
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .min_properties(Some(1))
            .max_properties(Some(1));
        one_of(
            "A condition on users in the crowd language: text, or the same as a tree. A count answers with both.",
            [
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .description(Some("As text."))
                    .min_length(Some(1))
                    .build()
                    .into(),
                tree.build().into(),
            ],
            [
                json!("country == \"France\" && orders_30d >= 2"),
                json!({"and": [
                    {"compare": {"name": "country", "op": "==", "literal": "France"}},
                    {"compare": {"name": "orders_30d", "op": ">=", "literal": 2}}
                ]}),
            ],
        )
    }
}

impl PartialSchema for UserId {
    fn schema() -> RefOr<Schema> {
        let id = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(MAX_USER_ID_BYTES));
        RefOr::T(id.description(Some("A user id, 512 bytes of UTF-8 at most.")).build().into())
    }
}

impl PartialSchema for TagValue {
    fn schema() -> RefOr<Schema> {
        one_of(
            "A value of a tag, by its type.",
            [
                plain(Type::Boolean, "Of a bool tag.").into(),
                plain(Type::Integer, "Of an int tag.").into(),
                text("Of an enum tag; decimals, dates and instants too, so that no digit is lost.")
                    .into(),
                members("Of a set tag: its members."),
            ],
            [json!(true), json!(12), json!("12.50"), json!(["a", "b"])],
        )
    }
}

impl PartialSchema for NewValue {
    fn schema() -> RefOr<Schema> {
        one_of(
            "A value for a tag, by its type.",
            [
                plain(Type::Boolean, "For a bool tag.").into(),
                plain(Type::Number, "For an int or decimal tag.").into(),
                text("For an enum tag; for a decimal, such as \"12.50\"; for a day or an instant, such as \"2026-07-01\" or \"2026-07-01T10:00\".").into(),
                members("For a set tag: all its members."),
            ],
            [json!(true), json!(12), json!("12.50"), json!("2026-07-01"), json!(["a", "b"])],
        )
    }
}

impl PartialSchema for Edge {
    fn schema() -> RefOr<Schema> {
        one_of(
            "A number, a decimal as text, or a day or an instant.",
            [
                plain(Type::Number, "A number.").into(),
                text("A decimal with all its digits, a day or an instant.").into(),
            ],
            [json!(0), json!("12.50"), json!("2026-07-01")],
        )
    }
}

impl PartialSchema for KeyRole {
    fn schema() -> RefOr<Schema> {
        one_word("What a key may do.", &["admin", "editor", "viewer", "write", "judge"])
    }
}

impl PartialSchema for RunState {
    fn schema() -> RefOr<Schema> {
        one_word(
            "Where a run stands. What is `interrupted` ended with its process.",
            &[
                "running",
                "succeeded",
                "succeeded_with_warnings",
                "failed",
                "cancelled",
                "interrupted",
            ],
        )
    }
}

impl PartialSchema for TaskState {
    fn schema() -> RefOr<Schema> {
        one_word(
            "Where a task stands. What needs a task that failed is `skipped`.",
            &["pending", "running", "succeeded", "failed", "skipped", "cancelled"],
        )
    }
}
