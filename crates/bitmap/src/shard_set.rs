use crate::view::{BufferPool, PooledView};
use croaring::{Bitmap as Roaring, BitmapView};
use std::rc::Rc;

/// The shard being evaluated.
pub(crate) struct Scope<'a> {
    pub(crate) number: u32,
    /// The users that exist: what `Full` means.
    pub(crate) users: &'a Roaring,
    pub(crate) users_len: u32,
    pub(crate) pool: &'a BufferPool,
}

/// The result of an operation in one shard.
pub(crate) enum ShardSet<'a> {
    /// The empty set.
    Empty,
    /// All users that exist.
    Full,
    /// A shard of an owned bitmap.
    Borrowed(&'a Roaring),
    /// A stored shard, read in place.
    View(BitmapView<'a>),
    /// A computed shard in a buffer of the pool.
    Pooled(PooledView<'a>),
    /// The result of an operation, free to be changed in place.
    Owned(Roaring),
    /// A set that is kept because it is needed again.
    Shared(Rc<ShardSet<'a>>),
}

impl<'a> Scope<'a> {
    /// A set as a result, empty and full recognised. Cardinalities are stored for each container,
    /// so this costs at most 16 additions.
    pub(crate) fn owned(&self, set: Roaring) -> ShardSet<'a> {
        match set.cardinality() {
            0 => ShardSet::Empty,
            n if n == u64::from(self.users_len) => ShardSet::Full,
            _ => ShardSet::Owned(set),
        }
    }
}

impl ShardSet<'_> {
    /// The set, if it is one and neither empty nor full.
    pub(crate) fn set(&self) -> Option<&Roaring> {
        match self {
            Self::Empty | Self::Full => None,
            Self::Borrowed(set) => Some(set),
            Self::View(view) => Some(view),
            Self::Pooled(view) => Some(view),
            Self::Owned(set) => Some(set),
            Self::Shared(part) => part.set(),
        }
    }

    pub(crate) fn len(&self, scope: &Scope<'_>) -> u64 {
        match self {
            Self::Full => u64::from(scope.users_len),
            other => other.set().map_or(0, Roaring::cardinality),
        }
    }

    /// An owned copy; `None` for the empty set.
    pub(crate) fn into_set(self, scope: &Scope<'_>) -> Option<Roaring> {
        match self {
            Self::Empty => None,
            Self::Full => Some(scope.users.clone()),
            Self::Owned(set) => Some(set),
            other => other.set().cloned(),
        }
    }
}

/// The intersection, in place where one of them may be changed.
pub(crate) fn intersect<'a>(scope: &Scope<'a>, a: ShardSet<'a>, b: ShardSet<'a>) -> ShardSet<'a> {
    match (a, b) {
        (ShardSet::Empty, _) | (_, ShardSet::Empty) => ShardSet::Empty,
        (ShardSet::Full, other) | (other, ShardSet::Full) => other,
        (ShardSet::Owned(mut set), other) | (other, ShardSet::Owned(mut set)) => {
            if let Some(other) = other.set() {
                set.and_inplace(other);
            }
            scope.owned(set)
        }
        (a, b) => match (a.set(), b.set()) {
            (Some(a), Some(b)) => scope.owned(a.and(b)),
            _ => ShardSet::Empty,
        },
    }
}

/// The difference: users in `a` and not in `b`.
pub(crate) fn subtract<'a>(scope: &Scope<'a>, a: ShardSet<'a>, b: &ShardSet<'a>) -> ShardSet<'a> {
    match (a, b) {
        (ShardSet::Empty, _) | (_, ShardSet::Full) => ShardSet::Empty,
        (a, ShardSet::Empty) => a,
        (ShardSet::Owned(mut set), b) => {
            if let Some(b) = b.set() {
                set.andnot_inplace(b);
            }
            scope.owned(set)
        }
        (a, b) => {
            let a = a.set().unwrap_or(scope.users);
            b.set().map_or(ShardSet::Empty, |b| scope.owned(a.andnot(b)))
        }
    }
}

/// The union.
pub(crate) fn unite<'a>(scope: &Scope<'a>, mut parts: Vec<ShardSet<'a>>) -> ShardSet<'a> {
    if parts.iter().any(|part| matches!(part, ShardSet::Full)) {
        return ShardSet::Full;
    }
    parts.retain(|part| !matches!(part, ShardSet::Empty));
    if parts.len() < 2 {
        return parts.pop().unwrap_or(ShardSet::Empty);
    }
    let sets: Vec<&Roaring> = parts.iter().filter_map(ShardSet::set).collect();
    match sets[..] {
        [a, b] => scope.owned(a.or(b)),
        _ => scope.owned(Roaring::fast_or(&sets)),
    }
}
