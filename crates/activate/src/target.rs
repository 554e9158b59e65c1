//! What a destination does with a crowd, whatever it is.

use crate::Result;
use async_trait::async_trait;
use serde_json::{Map, Value as Json};
use taghouse_model::{AppId, Name, Ordinal, Value, ValueType};

/// One delivery of a crowd. The same again when it goes on after a restart.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Whose crowd it is.
    pub app: AppId,
    /// The activation.
    pub activation: Name,
    /// The crowd.
    pub crowd: Name,
    /// The version of it; 0: the crowd is live.
    pub version: u64,
    /// The delivery's number: never given twice to an activation of one name.
    pub number: u64,
    /// The delivery that the destination holds, from which this one says the difference; `None`: all
    /// members are sent.
    pub since: Option<u64>,
    /// What the column of the user ids is called.
    pub id: String,
    /// The columns that are sent along.
    pub columns: Vec<Column>,
}

/// A column that is sent along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub value_type: ValueType,
}

/// What happened to users of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// They are in the crowd.
    Entered,
    /// They are not in it any more.
    Left,
}

impl Change {
    /// As deliveries say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Entered => "entered",
            Self::Left => "left",
        }
    }
}

/// A user who is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The number, of the present generation.
    pub ordinal: Ordinal,
    /// The id.
    pub user_id: String,
    /// A value for each column of the order; of users who left, none.
    pub values: Vec<Option<Value>>,
}

/// Users who are sent together.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'p> {
    /// From 1 in a delivery, in order; the same when it is sent again.
    pub number: u64,
    /// What happened to them.
    pub change: Change,
    /// Who they are.
    pub members: &'p [Member],
}

/// A user whom the destination did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The id.
    pub user_id: String,
    /// What happened to the user.
    pub change: Change,
    /// Why, as the destination says it.
    pub reason: String,
}

/// How many users a delivery is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Users whom the destination has taken as members.
    pub entered: u64,
    /// Users whom it has taken as members no more.
    pub left: u64,
    /// Users whom it did not take.
    pub failed: u64,
    /// How many members the crowd has after the delivery.
    pub members: u64,
}

/// A destination during one delivery. After an error of the kind `Unavailable` the same is called again;
/// what was taken twice must be as if it was taken once.
#[async_trait]
pub trait Target: Send {
    /// How many users a piece has at most.
    fn piece_size(&self) -> usize;

    /// Whether it can go on in the middle after an error. Else it begins again.
    fn resumes(&self) -> bool;

    /// Whether nobody sees anything of a delivery before it ends.
    fn is_whole(&self) -> bool;

    /// Whether the destination has what this delivery left there, so that a difference makes sense.
    ///
    /// # Errors
    /// It cannot be asked.
    async fn holds(&mut self, delivery: u64) -> Result<bool>;

    /// Begins the delivery, or goes on with it; says whether what was sent of it is there. Else it is sent
    /// again from the start.
    ///
    /// # Errors
    /// It cannot begin; [`Lost`](crate::Error::Lost): it does not hold what this is the difference to.
    async fn begin(&mut self) -> Result<bool>;

    /// Sends a piece; gives whom the destination did not take.
    ///
    /// # Errors
    /// The piece, or some of it, is not there.
    async fn send(&mut self, piece: Piece<'_>) -> Result<Vec<Failed>>;

    /// Ends the delivery: now it counts.
    ///
    /// # Errors
    /// It does not count yet.
    async fn finish(&mut self, totals: Totals) -> Result<()>;
}

impl Order {
    /// A user as a JSON object: the id, then a value for each column, in which decimals, dates and times
    /// are texts, so that no digit is lost.
    pub fn json(&self, member: &Member) -> Map<String, Json> {
        let mut object = Map::new();
        object.insert(self.id.clone(), Json::from(member.user_id.as_str()));
        for (column, value) in self.columns.iter().zip(&member.values) {
            let value = value.as_ref().map_or(Json::Null, taghouse_wire::json);
            object.insert(column.name.clone(), value);
        }
        object
    }
}

/// A value as text: sets as JSON arrays.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Set(_) => taghouse_wire::json(value).to_string(),
        value => value.to_string(),
    }
}
