use crate::error::{Error, Result};
use crate::segment::Segment;
use serde_json::Value as Json;
use std::sync::{Arc, OnceLock};
use taghouse_model::{Name, TimestampMs, ValueType};

/// Metadata of a tag in a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct TagInfo {
    /// Name of the tag.
    pub name: Name,
    /// The type of its values.
    pub value_type: ValueType,
    /// The as-of time of its values.
    pub as_of_ms: TimestampMs,
    /// The number of users who have a value.
    pub users: u64,
    /// The definition it was produced by, as given to `publish`.
    pub definition: Json,
    /// The segment's path in the object store.
    pub object: String,
    /// Live changes up to this position of their log are in the segment.
    pub flushed_through: u64,
}

/// Gives segments by their object's path.
pub(crate) trait Open: Send + Sync {
    /// Opens it, which reads little: its tables.
    fn open(&self, object: &str) -> Result<Segment>;
}

/// A tag in a snapshot. Its segment is opened when first needed, for a query names few of possibly
/// ten thousand tags.
pub(crate) struct Tag {
    pub(crate) info: TagInfo,
    source: Source,
}

enum Source {
    /// The segment stays open.
    Kept { opener: Arc<dyn Open>, segment: Box<OnceLock<Segment>> },
    /// Opened for each use: the opener closes segments that were not used for long.
    Shared(Arc<dyn Open>),
}

impl Tag {
    /// A tag whose segment is open.
    pub(crate) fn of(info: TagInfo, segment: Segment) -> Result<Self> {
        struct Never;
        impl Open for Never {
            fn open(&self, object: &str) -> Result<Segment> {
                Err(Error::Internal(format!("{object} was open already")))
            }
        }
        check(&info, &segment)?;
        Ok(Self {
            info,
            source: Source::Kept {
                opener: Arc::new(Never),
                segment: Box::new(OnceLock::from(segment)),
            },
        })
    }

    /// A tag whose segment is opened once.
    pub(crate) fn kept(info: TagInfo, opener: Arc<dyn Open>) -> Self {
        Self { info, source: Source::Kept { opener, segment: Box::default() } }
    }

    /// A tag whose segment the opener may close between two questions.
    pub(crate) fn shared(info: TagInfo, opener: Arc<dyn Open>) -> Self {
        Self { info, source: Source::Shared(opener) }
    }

    pub(crate) fn segment(&self) -> Result<Segment> {
        let (Source::Kept { opener, .. } | Source::Shared(opener)) = &self.source;
        if let Source::Kept { segment, .. } = &self.source
            && let Some(segment) = segment.get()
        {
            return Ok(segment.clone());
        }
        let opened = opener.open(&self.info.object)?;
        check(&self.info, &opened)?;
        Ok(match &self.source {
            Source::Kept { segment, .. } => segment.get_or_init(|| opened).clone(),
            Source::Shared(_) => opened,
        })
    }
}

/// Whether a segment is what the catalog says.
fn check(info: &TagInfo, segment: &Segment) -> Result<()> {
    if segment.value_type() == info.value_type && segment.users() == info.users {
        return Ok(());
    }
    let found = format!(
        "it holds {} users' {} values, the catalog says {} and {}",
        segment.users(),
        segment.value_type(),
        info.users,
        info.value_type
    );
    Err(Error::corrupt(&info.object, found))
}

impl std::fmt::Debug for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.info.fmt(f)
    }
}
