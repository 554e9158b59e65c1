use crate::SHARD_BITS;
use croaring::Bitmap as Roaring;
use std::ops::Range;
use taghouse_model::Ordinal;

/// Changes on top of a bitmap: for some users, whether they are in the set, whatever is stored. So
/// the bitmap need not be copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    /// Ascending, no user twice.
    users: Vec<Ordinal>,
    /// Whether each is in the set.
    present: Vec<bool>,
}

/// The edits of one shard.
#[derive(Clone, Copy)]
pub(crate) struct ShardEdits<'a> {
    users: &'a [Ordinal],
    present: &'a [bool],
}

impl Edits {
    /// From users and whether they are in the set, in any order. If a user occurs twice, the later
    /// entry wins.
    pub fn new(mut edits: Vec<(Ordinal, bool)>) -> Self {
        edits.sort_by_key(|(user, _)| *user);
        let (mut users, mut present): (Vec<Ordinal>, Vec<bool>) =
            (Vec::with_capacity(edits.len()), Vec::with_capacity(edits.len()));
        for (user, is_present) in edits {
            match (users.last(), present.last_mut()) {
                (Some(last), Some(before)) if *last == user => *before = is_present,
                _ => {
                    users.push(user);
                    present.push(is_present);
                }
            }
        }
        Self { users, present }
    }

    /// The users it decides, ascending.
    pub fn users(&self) -> &[Ordinal] {
        &self.users
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether this user is in the set; `None` where the stored set decides.
    pub fn get(&self, user: Ordinal) -> Option<bool> {
        self.of(0..self.users.len()).get(user)
    }

    pub(crate) fn shard(&self, number: u32) -> ShardEdits<'_> {
        let before = |number: u64| {
            self.users.partition_point(|user| u64::from(*user) < number << SHARD_BITS)
        };
        self.of(before(u64::from(number))..before(u64::from(number) + 1))
    }

    fn of(&self, places: Range<usize>) -> ShardEdits<'_> {
        ShardEdits { users: &self.users[places.clone()], present: &self.present[places] }
    }
}

impl ShardEdits<'_> {
    pub(crate) fn len(self) -> usize {
        self.users.len()
    }

    pub(crate) fn get(self, user: Ordinal) -> Option<bool> {
        self.users.binary_search(&user).ok().map(|place| self.present[place])
    }

    /// Applies the edits to `set`, of the same shard.
    pub(crate) fn apply(self, set: &mut Roaring) {
        let of = |wanted: bool| {
            self.users
                .iter()
                .zip(self.present)
                .filter(move |(_, present)| **present == wanted)
                .map(|(user, _)| *user)
        };
        set.add_many(&of(true).collect::<Vec<Ordinal>>());
        set.remove_many(&of(false).collect::<Vec<Ordinal>>());
    }
}
