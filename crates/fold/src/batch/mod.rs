//! The columnar door: all aggregate tags of a worker's users in one pass over batches, as of one
//! time.

mod attributes;
mod fold;
mod plan;
mod values;

pub use attributes::{AttributeBatch, AttributePlan, BatchAttributes};
pub use fold::BatchFold;
pub use plan::BatchPlan;
pub(crate) use values::ValuesBuilder;
pub use values::{Skipped, TagValues};
