//! A run: live changes of one tag in the order of their users, and what questions read of it. A run
//! never changes, so all of that is made once, however many overlays and questions share it.

use super::entry::{Entry, Op, merge, normalise};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use taghouse_bitmap::Bitmap;
use taghouse_model::Ordinal;

/// The users of each value are kept of a run with so many different values at most.
const MANY_VALUES: usize = 256;
/// So many values at most are handed on one by one; more are united first.
const FEW_VALUES: usize = 4;
/// So many entries are gone through sooner than bitmaps of several values are united.
const SHORT: usize = 16 << 10;
/// Of so many conditions the users are remembered.
const REMEMBERED: usize = 64;

/// Changes in the order of their users, of each user (and member of a set) the last.
pub(super) struct ChangeRun {
    entries: Vec<Entry>,
    /// The least position of an entry.
    first: u64,
    touched: OnceLock<Arc<Bitmap>>,
    /// `None` for too many values.
    grouped: OnceLock<Option<Grouped>>,
    members: OnceLock<UsersByMember>,
    asked: Mutex<HashMap<Fitting, Arc<Bitmap>>>,
}

/// The users of each op and value.
type Grouped = HashMap<(u8, i64), Arc<Bitmap>>;

/// The users of each op and member of a set, however many members there are: ascending, one group
/// after the other.
struct UsersByMember {
    places: HashMap<(u8, i64), Range<usize>>,
    users: Vec<Ordinal>,
}

/// Live values of a tag of one value that satisfy a condition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Fitting {
    /// All of them.
    Any,
    /// From and to, both included, ascending and apart from one another.
    Ranges(Vec<(i64, i64)>),
    /// These, ascending.
    Values(Vec<i64>),
}

impl Fitting {
    fn takes(&self, value: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Ranges(ranges) => {
                let after = ranges.partition_point(|(low, _)| *low <= value);
                after.checked_sub(1).is_some_and(|at| value <= ranges[at].1)
            }
            Self::Values(values) => values.binary_search(&value).is_ok(),
        }
    }
}

impl ChangeRun {
    /// Of entries in the order of their positions.
    pub(super) fn of(entries: Vec<Entry>) -> Arc<Self> {
        Self::new(normalise(entries))
    }

    fn new(entries: Vec<Entry>) -> Arc<Self> {
        let first = entries.iter().map(Entry::position).min().unwrap_or(u64::MAX);
        Arc::new(Self {
            entries,
            first,
            touched: OnceLock::new(),
            grouped: OnceLock::new(),
            members: OnceLock::new(),
            asked: Mutex::default(),
        })
    }

    pub(super) fn merged(&self, newer: &Self) -> Arc<Self> {
        Self::new(self.merged_with(&newer.entries))
    }

    pub(super) fn merged_with(&self, newer: &[Entry]) -> Vec<Entry> {
        merge(&self.entries, newer)
    }

    pub(super) fn filtered(self: &Arc<Self>, keep: impl Fn(&Entry) -> bool) -> Arc<Self> {
        if self.entries.iter().all(&keep) {
            self.clone()
        } else {
            Self::new(self.entries.iter().copied().filter(keep).collect())
        }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Makes what questions will read, of a set or of a tag of one value.
    pub(super) fn prepare(&self, is_set: bool) {
        if is_set {
            self.members();
        } else {
            self.touched();
            self.grouped();
        }
    }

    pub(super) fn touched(&self) -> &Arc<Bitmap> {
        self.touched.get_or_init(|| Arc::new(self.users(|_| true)))
    }

    /// The entries of one user.
    pub(super) fn of_user(&self, ordinal: Ordinal) -> &[Entry] {
        let start = self.entries.partition_point(|entry| entry.ordinal < ordinal);
        let rest = &self.entries[start..];
        &rest[..rest.iter().take_while(|entry| entry.ordinal == ordinal).count()]
    }

    /// Of a tag of one value: the users who got one that fits; bitmaps of which no two hold the
    /// same user.
    pub(super) fn fitting(&self, fitting: &Fitting) -> Vec<Arc<Bitmap>> {
        if let (Fitting::Values(values), Some(grouped)) = (fitting, self.grouped())
            && values.len() <= FEW_VALUES
        {
            return values
                .iter()
                .filter_map(|value| grouped.get(&(Op::Set as u8, *value)))
                .cloned()
                .collect();
        }
        if let Some(known) = self.asked.lock().get(fitting) {
            return vec![known.clone()];
        }
        let found = Arc::new(self.find(fitting));
        let mut asked = self.asked.lock();
        if asked.len() >= REMEMBERED {
            asked.clear();
        }
        asked.insert(fitting.clone(), found.clone());
        vec![found]
    }

    fn find(&self, fitting: &Fitting) -> Bitmap {
        match self.grouped() {
            Some(grouped) if self.entries.len() > SHORT => {
                let fit = grouped
                    .iter()
                    .filter(|((op, value), _)| *op == Op::Set as u8 && fitting.takes(*value));
                Bitmap::union(fit.map(|(_, users)| users.as_ref()))
            }
            _ => self.users(|entry| entry.op() == Op::Set && fitting.takes(entry.value)),
        }
    }

    /// Of a set: the users of the entries of one op and member, ascending.
    pub(super) fn members_of(&self, op: Op, member: i64) -> &[Ordinal] {
        let members = self.members();
        members.places.get(&(op as u8, member)).map_or(&[], |place| &members.users[place.clone()])
    }

    fn members(&self) -> &UsersByMember {
        self.members.get_or_init(|| {
            let mut groups: HashMap<(u8, i64), usize> = HashMap::new();
            let mut lens: Vec<usize> = Vec::new();
            // Which group each entry is of: the map is asked once an entry.
            let group_of = |entry: &Entry| {
                let next = lens.len();
                let group = *groups.entry((entry.op() as u8, entry.value)).or_insert(next);
                if group == next {
                    lens.push(0);
                }
                lens[group] += 1;
                group as u32
            };
            let group_of: Vec<u32> = self.entries.iter().map(group_of).collect();
            let mut next = Vec::with_capacity(lens.len());
            lens.iter().fold(0, |start, len| {
                next.push(start);
                start + len
            });
            let mut users = vec![0; self.entries.len()];
            for (entry, group) in self.entries.iter().zip(group_of) {
                let next = &mut next[group as usize];
                users[*next] = entry.ordinal;
                *next += 1;
            }
            let places = groups
                .into_iter()
                .map(|(key, group)| (key, next[group] - lens[group]..next[group]))
                .collect();
            UsersByMember { places, users }
        })
    }

    /// The different values of its entries, those that take a value away aside.
    pub(super) fn values(&self) -> Vec<i64> {
        let named =
            self.entries.iter().filter(|entry| !matches!(entry.op(), Op::Unset | Op::Clear));
        named.map(|entry| entry.value).collect::<HashSet<i64>>().into_iter().collect()
    }

    fn grouped(&self) -> Option<&Grouped> {
        self.grouped.get_or_init(|| self.group()).as_ref()
    }

    fn group(&self) -> Option<Grouped> {
        let mut groups: HashMap<(u8, i64), Vec<Ordinal>> = HashMap::new();
        for entry in &self.entries {
            groups.entry((entry.op() as u8, entry.value)).or_default().push(entry.ordinal);
            if groups.len() > MANY_VALUES {
                return None;
            }
        }
        Some(
            groups
                .into_iter()
                .map(|(key, users)| (key, Arc::new(Bitmap::from_sorted(&users))))
                .collect(),
        )
    }

    /// The users of the entries that `fits` takes.
    fn users(&self, fits: impl Fn(&Entry) -> bool) -> Bitmap {
        let mut users: Vec<Ordinal> =
            self.entries.iter().filter(|entry| fits(entry)).map(|entry| entry.ordinal).collect();
        users.dedup();
        Bitmap::from_sorted(&users)
    }
}
