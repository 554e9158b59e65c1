//! The tables of an app: their names, columns and partitions.

use std::collections::BTreeMap;
use taghouse_model::{Name, ValueType};

/// The type of a column: as [`ValueType`]; `Int` is a 64-bit long, `Decimal` has 38 digits, `Time`
/// is `timestamptz` in microseconds, `Set` is a list of strings.
pub type ColumnType = ValueType;

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, unique in the table whatever the case.
    pub name: String,
    /// What it holds.
    pub value: ColumnType,
    /// Whether it is never null.
    pub required: bool,
}

/// How a table's files are cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partition {
    /// Not at all.
    None,
    /// By UTC day of a `Time` column.
    Day(String),
    /// By each value of a column; such a partition can be overwritten.
    Identity(String),
}

/// What a table should look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableLayout {
    /// Unique in the app.
    pub name: String,
    /// All of them, in their order.
    pub columns: Vec<Column>,
    /// How its files are cut. The partition's column is required.
    pub partition: Partition,
}

/// The table of events.
pub const EVENTS: &str = "events";
/// The table of attributes.
pub const ATTRIBUTES: &str = "attributes";
/// The name in rows of `attributes` that say nothing but that their user exists; their value is
/// null.
pub const NO_ATTRIBUTE: &str = "";
/// The table of rejected rows.
pub const REJECTED_EVENTS: &str = "rejected_events";
/// The table of what was changed by hand, and of who went.
pub const USER_CHANGES: &str = "user_changes";
/// Who entered or left a crowd.
pub const CROWD_CHANGES: &str = "crowd_changes";
/// What [`USER_CHANGES`] calls the deletion of a user.
pub const DELETED: &str = "delete";
/// What [`USER_CHANGES`] calls it when a rule lets a user go.
pub const EXPIRED: &str = "expire";
/// The table of ids that were linked to users, and taken from them again.
pub const IDENTITIES: &str = "identities";
/// What [`IDENTITIES`] calls it when an id becomes a user's.
pub const LINK: &str = "link";
/// What [`IDENTITIES`] calls it when an id is nobody else's again.
pub const UNLINK: &str = "unlink";
/// The column of [`EVENTS`] and [`ATTRIBUTES`] that tells under what the user came.
pub const USER_ID_TYPE: &str = "user_id_type";
/// In [`USER_ID_TYPE`]: under the id of somebody who is not known. Null there is a known user's id.
pub const ANONYMOUS: &str = "anonymous";
/// The table of one row a user and one column a tag.
pub const USERS_WIDE: &str = "users_wide";

/// `events`: the fixed columns `user_id, event, time, message_id, source, received_at, properties`
/// (JSON of what no property names), `source_file` (the file that brought the row, if one did),
/// `user_id_type` (`anonymous`: the user was not known; null else), then one nullable column for each property, by name. Cut by day of `time`.
pub fn events(properties: &BTreeMap<Name, ValueType>) -> TableLayout {
    let mut columns = vec![
        required("user_id", ValueType::Text),
        required("event", ValueType::Text),
        required("time", ValueType::Time),
        required("message_id", ValueType::Text),
        required("source", ValueType::Text),
        required("received_at", ValueType::Time),
        optional("properties", ValueType::Text),
        optional("source_file", ValueType::Text),
        optional(USER_ID_TYPE, ValueType::Text),
    ];
    columns.extend(properties.iter().map(|(name, ty)| optional(name.as_str(), *ty)));
    TableLayout { name: EVENTS.to_owned(), columns, partition: Partition::Day("time".to_owned()) }
}

/// `attributes`: every attribute row as it came, `source_file` and `user_id_type` as in [`events`]; `value` is text,
/// read as the attribute's type by whoever needs it. Where it is null the user has no value from
/// that time on. A row of no name ([`NO_ATTRIBUTE`]) says that the user exists, and nothing else.
pub fn attributes() -> TableLayout {
    TableLayout {
        name: ATTRIBUTES.to_owned(),
        columns: vec![
            required("user_id", ValueType::Text),
            required("name", ValueType::Text),
            optional("value", ValueType::Text),
            required("time", ValueType::Time),
            required("message_id", ValueType::Text),
            required("source", ValueType::Text),
            required("received_at", ValueType::Time),
            optional("source_file", ValueType::Text),
            optional(USER_ID_TYPE, ValueType::Text),
        ],
        partition: Partition::None,
    }
}

/// `identities`: every link of an id to a user, and every end of one, in order of `position` in the
/// log. `event` is `link` or `unlink`; `message_id` is that of the call, if a call brought it. A
/// link of a user that other ids are linked to takes those along. Rows of other tables keep the id
/// under which they came.
pub fn identities() -> TableLayout {
    TableLayout {
        name: IDENTITIES.to_owned(),
        columns: vec![
            required("id", ValueType::Text),
            required("id_type", ValueType::Text),
            required("user_id", ValueType::Text),
            required("event", ValueType::Text),
            required("time", ValueType::Time),
            optional("message_id", ValueType::Text),
            required("position", ValueType::Int),
        ],
        partition: Partition::None,
    }
}

/// `user_changes`: every change by hand as it came. `op` is `set`, `unset`, `add` or `remove` of a
/// tag, `delete` or `expire` of a user, whose `tag` is null then. `value` is text, read as an
/// attribute's of the tag's type. `position` orders them.
pub fn user_changes() -> TableLayout {
    TableLayout {
        name: USER_CHANGES.to_owned(),
        columns: vec![
            required("user_id", ValueType::Text),
            optional("tag", ValueType::Text),
            required("op", ValueType::Text),
            optional("value", ValueType::Text),
            required("time", ValueType::Time),
            required("position", ValueType::Int),
        ],
        partition: Partition::None,
    }
}

/// `crowd_changes`: who entered or left a crowd, and when, as rows that are only added to. `event` is
/// `enter` or `exit` of a user and a crowd; `delete` of a user, who left all crowds (`crowd` is null);
/// `restart` of a crowd (`user_id` is null): who was in it is not known, and those who are enter behind
/// it. `version` is that of the crowd, or of the definition of a live one; `feed_id` the record of the
/// change feed, null where a production computed the crowd.
pub fn crowd_changes() -> TableLayout {
    TableLayout {
        name: CROWD_CHANGES.to_owned(),
        columns: vec![
            optional("user_id", ValueType::Text),
            optional("crowd", ValueType::Text),
            optional("version", ValueType::Int),
            required("event", ValueType::Text),
            required("time", ValueType::Time),
            optional("feed_id", ValueType::Int),
        ],
        partition: Partition::None,
    }
}

/// `rejected_events`: rows that were refused, with the reason (a short class) and the detail (this
/// row's words).
pub fn rejected_events() -> TableLayout {
    TableLayout {
        name: REJECTED_EVENTS.to_owned(),
        columns: vec![
            required("source", ValueType::Text),
            optional("file", ValueType::Text),
            optional("row", ValueType::Int),
            required("reason", ValueType::Text),
            required("detail", ValueType::Text),
            optional("raw", ValueType::Text),
            required("received_at", ValueType::Time),
        ],
        partition: Partition::None,
    }
}

/// The name of a tag's table: `tag_<name>`.
pub fn tag_table(tag: &Name) -> String {
    format!("tag_{tag}")
}

/// `tag_<name>`: one row for each user who has a value, for each as-of time. Cut by `as_of`.
pub fn tag(tag: &Name, value_type: ValueType) -> TableLayout {
    TableLayout {
        name: tag_table(tag),
        columns: vec![
            required("as_of", ValueType::Time),
            required("user_id", ValueType::Text),
            required("value", value_type),
        ],
        partition: Partition::Identity("as_of".to_owned()),
    }
}

/// `users_wide`: one row a user, one nullable column a tag, for each as-of time. Cut by `as_of`.
pub fn users_wide(tags: &BTreeMap<Name, ValueType>) -> TableLayout {
    let mut columns =
        vec![required("as_of", ValueType::Time), required("user_id", ValueType::Text)];
    columns.extend(tags.iter().map(|(name, ty)| optional(name.as_str(), *ty)));
    TableLayout {
        name: USERS_WIDE.to_owned(),
        columns,
        partition: Partition::Identity("as_of".to_owned()),
    }
}

fn required(name: &str, value: ValueType) -> Column {
    Column { name: name.to_owned(), value, required: true }
}

fn optional(name: &str, value: ValueType) -> Column {
    Column { name: name.to_owned(), value, required: false }
}
