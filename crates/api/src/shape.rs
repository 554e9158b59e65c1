//! Shapes of what is not JSON, for the description.

use std::borrow::Cow;
use taghouse_wire::shape::one_word;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AnyOfBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type,
};
use utoipa::{PartialSchema, ToSchema};

/// Bytes as they are.
pub(crate) struct RawBytes;

/// Server-sent events: the text, or what a reader of events makes of each.
pub(crate) struct EventStream;

/// A format of an export.
pub(crate) struct ExportFormat;

/// A call of the tracking API.
pub(crate) struct TrackCall;

macro_rules! named {
    ($($shape:ident),+) => {
        $(impl ToSchema for $shape {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($shape))
            }
        })+
    };
}

named!(RawBytes, EventStream, ExportFormat, TrackCall);

impl PartialSchema for RawBytes {
    fn schema() -> RefOr<Schema> {
        let bytes = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
        RefOr::T(bytes.description(Some("Bytes as they are.")).build().into())
    }
}

impl PartialSchema for EventStream {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let event = ["event", "id", "data"]
            .into_iter()
            .fold(ObjectBuilder::new(), |event, field| event.property(field, text().build()));
        let either = AnyOfBuilder::new().item(text().build()).item(event.build());
        let what = "Server-sent events: the text, or what a reader of events makes of each.";
        RefOr::T(either.description(Some(what)).build().into())
    }
}

impl PartialSchema for ExportFormat {
    fn schema() -> RefOr<Schema> {
        one_word("How members are written.", &["csv", "jsonl", "parquet", "roaring", "roaring64"])
    }
}

impl PartialSchema for TrackCall {
    fn schema() -> RefOr<Schema> {
        one_word("A call of the tracking API.", &taghouse_ingest::LiveCall::KINDS)
    }
}
