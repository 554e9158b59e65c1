use super::dice::Dice;

/// Draws ranks `0..n`, rank r with probability proportional to 1 / (1 + r + shift): Zipf's law in
/// Mandelbrot's form. The shift flattens the head, so that the first user is a good customer and
/// not a tenth of the shop.
///
/// Vose's alias method: two draws and one look-up, however many ranks there are.
pub(super) struct Zipf {
    slots: Vec<Slot>,
}

#[derive(Clone, Copy)]
struct Slot {
    /// The slot's own rank below this share of 2^32, else `alias`.
    own: u32,
    alias: u32,
}

impl Zipf {
    /// `n` is at least 1.
    pub(super) fn new(n: u32, shift: u32) -> Self {
        let weights: Vec<f64> =
            (0..n).map(|rank| 1.0 / (f64::from(rank) + 1.0 + f64::from(shift))).collect();
        let mean = weights.iter().sum::<f64>() / f64::from(n);
        let mut shares: Vec<f64> = weights.iter().map(|w| w / mean).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..n).partition(|&rank| shares[rank as usize] < 1.0);
        let mut slots: Vec<Slot> = (0..n).map(|rank| Slot { own: u32::MAX, alias: rank }).collect();
        while let (Some(less), Some(&more)) = (small.pop(), large.last()) {
            let share = shares[less as usize];
            slots[less as usize] = Slot { own: (share * 4_294_967_296.0) as u32, alias: more };
            shares[more as usize] -= 1.0 - share;
            if shares[more as usize] < 1.0 {
                large.pop();
                small.push(more);
            }
        }
        Self { slots }
    }

    pub(super) fn draw(&self, dice: &mut Dice) -> u32 {
        let index = dice.below(self.slots.len() as u32);
        let slot = self.slots[index as usize];
        if dice.word() < slot.own { index } else { slot.alias }
    }
}
