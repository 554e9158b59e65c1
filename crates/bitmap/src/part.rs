use crate::view::{Held, Pool};
use croaring::{Bitmap as Roaring, BitmapView};
use std::rc::Rc;

/// The shard being evaluated.
pub(crate) struct Scope<'a> {
    pub(crate) number: u32,
    /// The users that exist: what `Full` means.
    pub(crate) users: &'a Roaring,
    pub(crate) users_len: u32,
    pub(crate) pool: &'a Pool,
}

/// What a node comes to in one shard.
pub(crate) enum Part<'a> {
    /// The empty set.
    Empty,
    /// All users that exist.
    Full,
    /// A shard of an owned bitmap.
    Borrowed(&'a Roaring),
    /// A stored shard where it lies.
    View(BitmapView<'a>),
    /// A computed shard in a buffer of the pool.
    Held(Held<'a>),
    /// The result of an operation, free to be changed in place.
    Owned(Roaring),
    /// A result that is kept, for it is asked for again; a set.
    Shared(Rc<Part<'a>>),
}

impl<'a> Scope<'a> {
    /// A result, with the short cuts seen. Cardinalities are stored a container, so that this costs
    /// at most 16 additions.
    pub(crate) fn owned(&self, set: Roaring) -> Part<'a> {
        match set.cardinality() {
            0 => Part::Empty,
            n if n == u64::from(self.users_len) => Part::Full,
            _ => Part::Owned(set),
        }
    }
}

impl Part<'_> {
    /// The set, if it is one and neither empty nor full.
    pub(crate) fn set(&self) -> Option<&Roaring> {
        match self {
            Self::Empty | Self::Full => None,
            Self::Borrowed(set) => Some(set),
            Self::View(view) => Some(view),
            Self::Held(held) => Some(held),
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

    /// An owned copy; `None` for nobody.
    pub(crate) fn into_set(self, scope: &Scope<'_>) -> Option<Roaring> {
        match self {
            Self::Empty => None,
            Self::Full => Some(scope.users.clone()),
            Self::Owned(set) => Some(set),
            other => other.set().cloned(),
        }
    }
}

/// Those in both. In place where one of them may be changed.
pub(crate) fn intersect<'a>(scope: &Scope<'a>, a: Part<'a>, b: Part<'a>) -> Part<'a> {
    match (a, b) {
        (Part::Empty, _) | (_, Part::Empty) => Part::Empty,
        (Part::Full, other) | (other, Part::Full) => other,
        (Part::Owned(mut set), other) | (other, Part::Owned(mut set)) => {
            if let Some(other) = other.set() {
                set.and_inplace(other);
            }
            scope.owned(set)
        }
        (a, b) => match (a.set(), b.set()) {
            (Some(a), Some(b)) => scope.owned(a.and(b)),
            _ => Part::Empty,
        },
    }
}

/// Those in `a` and not in `b`.
pub(crate) fn subtract<'a>(scope: &Scope<'a>, a: Part<'a>, b: &Part<'a>) -> Part<'a> {
    match (a, b) {
        (Part::Empty, _) | (_, Part::Full) => Part::Empty,
        (a, Part::Empty) => a,
        (Part::Owned(mut set), b) => {
            if let Some(b) = b.set() {
                set.andnot_inplace(b);
            }
            scope.owned(set)
        }
        (a, b) => {
            let a = a.set().unwrap_or(scope.users);
            b.set().map_or(Part::Empty, |b| scope.owned(a.andnot(b)))
        }
    }
}

/// Those in any.
pub(crate) fn unite<'a>(scope: &Scope<'a>, mut parts: Vec<Part<'a>>) -> Part<'a> {
    if parts.iter().any(|part| matches!(part, Part::Full)) {
        return Part::Full;
    }
    parts.retain(|part| !matches!(part, Part::Empty));
    if parts.len() < 2 {
        return parts.pop().unwrap_or(Part::Empty);
    }
    let sets: Vec<&Roaring> = parts.iter().filter_map(Part::set).collect();
    match sets[..] {
        [a, b] => scope.owned(a.or(b)),
        _ => scope.owned(Roaring::fast_or(&sets)),
    }
}
