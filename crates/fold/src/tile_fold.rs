use crate::EventBatch;
use crate::plan::{FoldPlan, PlannedTag};
use crate::step::{Slots, Step};
use crate::tag_state::StateWriter;
use crate::tile::{Span, Tiling};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::ops::Range;
use std::sync::Arc;
use taghouse_model::TimestampMs;

/// The stream's fold: takes in batches of events and gives what they add to each user's state of
/// each tag. It takes the same step as [`crate::BatchFold`], with a slot for each tile of a user
/// in place of one for each user.
///
/// No window bounds what is taken in: which tiles count is asked of the state, later.
pub struct TileFold {
    plan: Arc<FoldPlan>,
    step: Step,
    tilings: Vec<TileSlots>,
    /// For each group its tiling's place.
    of_group: Vec<usize>,
}

/// The tiles of users that have events, numbered as they are first seen.
struct TileSlots {
    tiling: Tiling,
    span: Span,
    numbers: HashMap<UserTile, u32>,
    slots: Vec<UserTile>,
    /// The slots of the batch at hand.
    of_rows: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct UserTile {
    user: u32,
    tile: i64,
}

impl TileSlots {
    fn number(&mut self, batch: &EventBatch<'_>, rows: &[u32], users: &[u32]) {
        self.of_rows.clear();
        for (row, user) in rows.iter().zip(users) {
            let at = UserTile { user: *user, tile: self.span.tile(batch.stamps.time_ms(*row)) };
            let number = match self.numbers.entry(at) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    self.slots.push(at);
                    *new.insert(self.slots.len() as u32 - 1)
                }
            };
            self.of_rows.push(number);
        }
    }
}

struct ByTile<'a> {
    tilings: &'a [TileSlots],
    of_group: &'a [usize],
}

impl Slots for ByTile<'_> {
    fn window(&self, _: usize) -> Range<TimestampMs> {
        TimestampMs::MIN..TimestampMs::MAX
    }

    fn of_rows(&self, group: usize) -> &[u32] {
        &self.tilings[self.of_group[group]].of_rows
    }

    fn len(&self, group: usize) -> usize {
        self.tilings[self.of_group[group]].slots.len()
    }
}

/// What a tag's states gain, by user, in the order of users.
#[derive(Debug, Clone, Default)]
pub struct TagDeltas {
    users: Vec<u32>,
    /// Where each user's state ends.
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl TagDeltas {
    /// Each user with a state that holds what is new: to be merged into the user's own by
    /// [`crate::TagFold::merge`].
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let states = starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end]);
        self.users.iter().copied().zip(states)
    }

    /// How many users.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether nobody's state changes.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

impl TileFold {
    /// Nothing is taken in yet.
    pub fn new(plan: Arc<FoldPlan>) -> Self {
        let spans = |tiling: Tiling| {
            plan.groups.iter().map(|group| &group.span).find(|span| span.tiling() == tiling)
        };
        let tilings: Vec<TileSlots> = plan
            .tilings()
            .into_iter()
            .filter_map(|tiling| Some((tiling, spans(tiling)?.clone())))
            .map(|(tiling, span)| TileSlots {
                tiling,
                span,
                numbers: HashMap::new(),
                slots: Vec::new(),
                of_rows: Vec::new(),
            })
            .collect();
        let place = |span: &Span| {
            tilings.iter().position(|slots| slots.tiling == span.tiling()).unwrap_or_default()
        };
        let of_group = plan.groups.iter().map(|group| place(&group.span)).collect();
        let step = Step::new(&plan);
        Self { plan, step, tilings, of_group }
    }

    /// Takes in some rows of a batch: `users[i]` is whose event `rows[i]` is. Users may have any
    /// numbers.
    pub fn step_batch(&mut self, batch: &EventBatch<'_>, rows: &[u32], users: &[u32]) {
        debug_assert_eq!(rows.len(), users.len());
        self.step.select(&self.plan, batch, rows);
        self.tilings.iter_mut().for_each(|slots| slots.number(batch, rows, users));
        let slots = ByTile { tilings: &self.tilings, of_group: &self.of_group };
        self.step.take_in(&self.plan, batch, rows, &slots);
    }

    /// How many tiles of users it holds: about what memory it takes.
    pub fn slots(&self) -> usize {
        self.tilings.iter().map(|slots| slots.slots.len()).sum()
    }

    /// What was taken in since the last time, by tag in the plan's order.
    pub fn take(&mut self) -> Vec<TagDeltas> {
        let mut deltas = vec![TagDeltas::default(); self.plan.tags.len()];
        let orders: Vec<Vec<u32>> =
            self.tilings.iter().map(|tiling| in_order(&tiling.slots)).collect();
        for (number, (tag, deltas)) in self.plan.tags.iter().zip(&mut deltas).enumerate() {
            let tiling = tag.span.tiling();
            let Some(place) = self.tilings.iter().position(|slots| slots.tiling == tiling) else {
                continue;
            };
            let slots = &self.tilings[place].slots;
            *deltas = self.step.deltas(tag, number, &orders[place], slots);
        }
        self.step.clear();
        for tiling in &mut self.tilings {
            tiling.numbers.clear();
            tiling.slots.clear();
        }
        deltas
    }

    /// For each tag how many events have been left out because no number holds their value.
    pub fn out_of_range(&self) -> &[u64] {
        &self.step.out_of_range
    }
}

impl Step {
    fn deltas(
        &mut self,
        tag: &PlannedTag,
        number: usize,
        order: &[u32],
        slots: &[UserTile],
    ) -> TagDeltas {
        let (form, store) = (tag.form(), &mut self.stores[number]);
        let mut deltas = TagDeltas::default();
        let mut writer = StateWriter::default();
        for slot in order {
            let Some(partial) = store.take_cells(*slot as usize, &self.texts) else {
                continue;
            };
            let UserTile { user, tile } = slots[*slot as usize];
            if deltas.users.last() != Some(&user) {
                if !deltas.users.is_empty() {
                    deltas.ends.push(writer.bytes.len());
                }
                deltas.users.push(user);
                writer.restart();
            }
            writer.write(form, tile, &partial);
        }
        if !deltas.users.is_empty() {
            deltas.ends.push(writer.bytes.len());
        }
        deltas.bytes = writer.bytes;
        deltas
    }
}

/// The numbers of slots by user and tile.
fn in_order(slots: &[UserTile]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..slots.len() as u32).collect();
    order.sort_unstable_by_key(|number| slots[*number as usize]);
    order
}
