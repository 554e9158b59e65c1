//! The requests and answers of the HTTP API, shared with the command line.
//!
//! ```
//! use taghouse_wire::PageRequest;
//!
//! let json = r#"{"expression": "orders_30d >= 2", "limit": 100.0}"#;
//! let request: PageRequest = serde_json::from_str(json)?;
//! assert_eq!(request.limit, Some(100), "a whole number in any notation");
//! # Ok::<(), serde_json::Error>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod activation;
mod app;
mod audit;
mod backup;
mod change;
mod comparison;
mod count;
mod crowd;
mod definition;
mod effect;
mod feed;
mod flag;
mod group;
mod histogram;
mod identity;
mod import;
mod ingestion;
mod input;
mod judgment;
mod key;
mod limit;
mod live;
mod lookalike;
mod overlap;
mod page;
mod parity;
mod person;
mod privacy;
mod production;
pub mod reading;
mod report;
mod run;
pub mod shape;
mod sink;
mod tag;
mod top;
mod topic;
mod user;
mod user_crowds;
mod value;
mod why;

pub use activation::{
    ActivationBody, ActivationDelivery, ActivationDeliveryList, ActivationList, ActivationReport,
};
pub use app::{AppBody, AppList};
pub use audit::{AuditLine, AuditPage};
pub use backup::{BackupBody, NewBackup};
pub use change::{ChangeBody, ChangesAnswer, ChangesRequest};
pub use comparison::{ComparisonAnswer, ComparisonRequest, ContrastBody, OrderRequest};
pub use count::{
    CountAnswer, CountLine, CountRequest, EstimateAnswer, Refusal, SampleAnswer, SampleRequest,
};
pub use crowd::{
    AnsweredBody, Answering, BlendBody, CrowdBody, CrowdList, CrowdState, DifferenceBody,
    IdCountsBody, MovedBody, PartChangeBody, PublishRequest, RefreshRequest, RolloutBody,
    RolloutRequest, VersionBody, VersionList, WaitingBody,
};
pub use definition::{
    ApplyRequest, DefinitionBody, DefinitionList, FileBody, Plan, PlannedChange, StateSizeBody,
};
pub use effect::{ArmBody, EffectAnswer, EffectRequest};
pub use feed::{CrowdEvent, FeedKind, FeedRecord};
pub use flag::{
    EventStreamBody, EventStreamEndpoint, FlagBody, FlagContext, FlagEvent, FlagFailure, FlagList,
    FlagListMetadata, FlagMetadata, FlagOutcome, FlagRequest,
};
pub use group::{AxisRequest, BucketsRequest, GroupAnswer, GroupBody, GroupRequest, HeadingBody};
pub use histogram::{BinBody, HistogramAnswer, HistogramRequest, QuantileBody};
pub use identity::{IdentityBody, LinkLine, LinkRequest, LinkedIdBody, UnlinkRequest};
pub use import::{ImportMode, ImportReport, ImportRequest};
pub use ingestion::{IngestRequest, Upload};
pub use input::{FileLine, FilePage, RejectedLine, RejectedList, SourceBody, SourceList};
pub use judgment::{JudgmentBody, ProfileBody};
pub use key::{CreatedKey, KeyBody, KeyList, NewKey, RotateRequest};
pub use limit::{LimitBody, LimitList};
pub use live::{LiveBody, SubscribersReport};
pub use lookalike::{AffinityBody, LookalikeAnswer, LookalikeRequest, ReachBody};
pub use overlap::{OverlapAnswer, OverlapItem, OverlapRequest};
pub use page::{PageAnswer, PageRequest};
pub use parity::{ParityExample, ParityReport, ParityRequest, ParityStanding, ParityTag};
pub use person::{
    AttributeLine, CrowdLine, EndLine, EventLine, HandChangeLine, MembershipLine, TagLine,
    UserHead, UserLine,
};
pub use privacy::{
    LiftRequest, NewReceipt, PrivacyReceipt, ReceiptKind, ReceiptList, ReceiptPlace, ReceiptRecord,
    SuppressRequest, SuppressionAnswer, SuppressionBody, SuppressionList,
};
pub use production::ProduceRequest;
pub use report::{
    CompactReport, CrowdReport, IngestReport, LandReport, LiveReport, ProduceReport,
    ProducedTagBody, RefusedFile, TaskResult,
};
pub use run::{RunBody, RunLine, RunList, TaskBody};
pub use sink::{
    DeadLetterBody, DeadLetterPage, DeliveryBody, DeliveryPage, ResendReport, ResendRequest,
    SinkReport, SinkTestReport, WebhookReport,
};
pub use tag::{TagBody, TagList, TagValues, ValueCount};
pub use top::{TopAnswer, TopRequest, TopValue};
pub use topic::{TopicPartition, TopicReport};
pub use user::{CompactRequest, DeleteRequest, ReceiptBody, ReceiptTagBody};
pub use user_crowds::{UnansweredBody, UserCrowdBody, UserCrowdsBody};
pub use value::json;
pub use why::{WhyBody, WhyCrowd, WhyException, WhyKind, WhyPart, WhyTag, WhyVersion};
