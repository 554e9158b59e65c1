//! What the HTTP API says and the command line reads: the shapes of requests and answers, and nothing of how they come about.

mod report;

pub use report::{CompactReport, CrowdReport, IngestReport, LandReport, ProduceReport, ProducedTagBody, RefusedFile, TaskResult};
