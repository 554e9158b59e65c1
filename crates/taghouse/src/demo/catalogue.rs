use super::dice::{Dice, Stream};
use super::vocabulary::CATEGORIES;
use super::zipf::Zipf;

const ITEMS: u32 = 6_000;

/// The least price of each category, in cents; items cost up to twenty times as much, most of them
/// far less.
const BASE_CENTS: [u32; 12] =
    [1_990, 2_490, 890, 1_490, 790, 1_190, 1_290, 1_990, 3_990, 190, 990, 590];

/// What the shop sells. Item i is of category i modulo their number, and is the i-th in popularity.
pub(super) struct Catalogue {
    price_cents: Vec<u32>,
    popularity: Zipf,
}

impl Catalogue {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed, Stream::Catalogue);
        let price_cents = (0..ITEMS)
            .map(|item| {
                let base = BASE_CENTS[item as usize % CATEGORIES.len()];
                let steps = (0..4).map(|_| dice.below(5)).min().unwrap_or(0) * dice.between(1, 5);
                base + base * steps + dice.below(10) * 50
            })
            .collect();
        Self { price_cents, popularity: Zipf::new(ITEMS, 12) }
    }

    /// An item by its popularity; of `category` if that is given.
    pub(super) fn draw(&self, dice: &mut Dice, category: Option<u8>) -> u32 {
        let item = self.popularity.draw(dice);
        match category {
            Some(category) => item - item % CATEGORIES.len() as u32 + u32::from(category),
            None => item,
        }
    }

    pub(super) fn price_cents(&self, item: u32) -> u32 {
        self.price_cents[item as usize]
    }
}
