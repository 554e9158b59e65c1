//! The two languages: definitions (YAML) and expressions (text and JSON). Parse, check, print,
//! evaluate one row.
//!
//! ```
//! use taghouse_model::Value;
//! use taghouse_rules::{DefinitionFile, Definitions, parse_definitions};
//!
//! let file = DefinitionFile {
//!     path: "shop.yaml".into(),
//!     text: "\
//! kind: app
//! id: shop
//! ---
//! kind: source
//! name: customers
//! format: csv
//! user_id: id
//! attributes: { age: { column: age, type: int } }
//! ---
//! kind: tag
//! name: age
//! type: int
//! attribute: age
//! "
//!     .into(),
//! };
//! let documents = parse_definitions(&[file]).unwrap();
//! let definitions = Definitions::check(&documents).unwrap();
//!
//! let (_, adults) = definitions.check_expression("age >= 18").unwrap();
//! assert!(adults.matches(&|_| Some(Value::Int(21))));
//! assert!(!adults.matches(&|_| None));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod activation;
mod check;
mod coerce;
mod compiled;
mod compute;
mod crowd;
mod crowd_link;
mod crowd_policy;
mod crowd_split;
mod definition;
mod definitions;
mod document;
mod error;
mod evaluate;
mod happened;
mod identities;
mod journey;
mod json;
mod kafka_topic;
mod lexer;
mod like;
mod lineage;
mod marks;
mod moving;
mod parse;
mod parsed_predicate;
mod predicate;
mod print;
mod rational;
mod raw;
pub mod reader;
mod scalar;
mod schema;
mod setting;
mod suggest;
mod syntax_error;
mod webhook;
mod window;

pub use activation::{
    ActivationDefinition, Destination, FileDestination, PostgresqlDestination, RedisDestination,
    SendMode,
};
pub use check::{CheckError, Names, parse_and_check_predicate};
pub use coerce::coerce;
pub use compiled::{Condition, Place, Row};
pub use compute::{Computed, Misfit, fit};
pub use crowd::{
    CrowdCondition, CrowdDefinition, CrowdLookalike, CrowdSample, CrowdSize, CrowdSource, CrowdTop,
    IMPORTED_TEXT, IdList, MAX_COLUMN_CHARS, MAX_LISTED_IDS, Percent, TopEnd,
};
pub use crowd_link::CrowdLink;
pub use crowd_policy::{
    CrowdChecks, CrowdPolicy, KEPT_VERSIONS, LEAST_REFRESH_MS, MAX_KEPT_VERSIONS, MAX_OVERRIDES,
    RolloutPlan, Share,
};
pub use crowd_split::{Arm, CrowdSplit};
pub use definition::*;
pub use definitions::{FileGlob, RESERVED_PROPERTIES, duration};
pub use document::{DefinitionError, DefinitionFile, Document, DocumentKind, parse_definitions};
pub use error::{Error, Result};
pub use happened::{ANONYMOUS_TAG, Did, Happened, Measure, WrittenSequence, WrittenStep};
pub use identities::{ANONYMOUS_ID, IdType, IdentityRules, USER_ID};
pub use journey::{
    EventFilter, EventTag, Sequence, SequenceValue, Session, SessionFunction, StateMachine,
    StateValue, Step, StepKind, Transition, Trigger,
};
pub use kafka_topic::{KafkaTopic, RECORD_KEY, StartAt};
pub use like::{like, like_prefix};
pub use lineage::{Forbidden, Labelled, Lineage};
pub use marks::{AccessPolicy, Marks, Use};
pub use moving::{Length, Moving, When};
pub use parse::{MAX_DEPTH, MAX_EXPRESSION_BYTES, parse_predicate, parse_scalar};
pub use parsed_predicate::ParsedPredicate;
pub use predicate::{CompareOp, Literal, Predicate, Test};
pub use rational::Rational;
pub use scalar::{ArithmeticOp, Function, Scalar};
pub use schema::json_schema;
pub use setting::{SettingOf, SettingPart, UnreadSetting};
pub use suggest::did_you_mean;
pub use syntax_error::SyntaxError;
pub use webhook::Webhook;
pub use window::Window;
