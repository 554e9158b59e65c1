use super::calendar::{DAY_MS, Day, HOUR_MS, HOUR_WEIGHTS, day_number};
use super::catalogue::Catalogue;
use super::dice::{Dice, Stream};
use super::population::{Population, Shopper};
use super::vocabulary::{CHANNEL_WEIGHTS, DEVICE_WEIGHTS, FIRST_PAID_CHANNEL, QUERIES};

/// No event is in the file of a day that began longer after it than this.
pub(super) const MAX_LATE_MS: i64 = 3 * DAY_MS;

/// What a user does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Login,
    Search,
    View,
    AddToCart,
    Purchase,
    Refund,
}

impl Deed {
    pub(super) const ALL: [Self; 6] =
        [Self::Login, Self::Search, Self::View, Self::AddToCart, Self::Purchase, Self::Refund];

    /// The event's name.
    pub(super) fn name(self) -> &'static str {
        ["login", "search", "view", "add_to_cart", "purchase", "refund"][self as usize]
    }
}

/// One event of the shop, before it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    /// When it happened, ms since 1970 UTC.
    pub(super) time_ms: i64,
    pub(super) user: u32,
    pub(super) deed: Deed,
    /// Indices into the vocabulary; `campaign` is a month's, from 0, or none.
    pub(super) device: u8,
    pub(super) channel: u8,
    pub(super) campaign: Option<u8>,
    /// For a search.
    pub(super) query: u8,
    /// For what is about an item: views, carts, purchases, refunds.
    pub(super) item: u32,
    pub(super) price_cents: u32,
    pub(super) quantity: u32,
    /// For purchases and refunds, from 1.
    pub(super) order: u64,
}

impl Event {
    /// Whether it is about an item.
    pub(super) fn has_item(&self) -> bool {
        !matches!(self.deed, Deed::Login | Deed::Search)
    }
}

/// Users at work, day by day: who comes, what they look at and buy, and what they send back later.
pub(super) struct Shop<'a> {
    population: &'a Population,
    catalogue: &'a Catalogue,
    dice: Dice,
    orders: u64,
    /// By the index of the day on which they will arrive.
    refunds: Vec<Vec<Event>>,
}

/// One visit, while it goes on.
struct Visit {
    shopper: Shopper,
    /// What every event of the visit shares; its time moves on.
    base: Event,
    /// No event is later than this.
    end_ms: i64,
    cart: Vec<Event>,
}

impl<'a> Shop<'a> {
    /// For `days` files.
    pub(super) fn new(
        population: &'a Population,
        catalogue: &'a Catalogue,
        seed: u64,
        days: usize,
    ) -> Self {
        Self {
            population,
            catalogue,
            dice: Dice::new(seed, Stream::Sessions),
            orders: 0,
            refunds: vec![Vec::new(); days],
        }
    }

    /// The events that arrive on a day, in order of time; `index` is that of `day`. Exactly as many
    /// as the day is to have.
    pub(super) fn day(&mut self, index: usize, day: &Day) -> Vec<Event> {
        let wanted = day.events as usize;
        let mut events = std::mem::take(&mut self.refunds[index]);
        events.truncate(wanted);
        for refund in &mut events {
            refund.time_ms = refund.time_ms.clamp(day.start_ms - MAX_LATE_MS, day.end_ms - 1);
        }
        while events.len() < wanted {
            let before = events.len();
            self.visit(day, &mut events);
            events.truncate(wanted);
            for event in &events[before..] {
                self.promise_refund(index, event);
            }
        }
        events.sort_by_key(|event| event.time_ms);
        events
    }

    fn visit(&mut self, day: &Day, events: &mut Vec<Event>) {
        let mut visit = self.begin(day);
        let dice = &mut self.dice;
        if dice.chance(300_000) {
            visit.push(dice, events, Deed::Login);
        }
        if dice.chance(250_000) {
            visit.base.query = dice.below(QUERIES.len() as u32) as u8;
            visit.push(dice, events, Deed::Search);
        }
        loop {
            self.look(&mut visit, events);
            if self.dice.chance(240_000) {
                break;
            }
        }
        if !visit.cart.is_empty() && self.dice.chance(420_000) {
            self.buy(&mut visit, events);
        }
    }

    fn begin(&mut self, day: &Day) -> Visit {
        let dice = &mut self.dice;
        let (user, shopper) = self.population.draw(dice, day_number(day.date));
        let time_ms = if dice.chance(12_000) {
            // A device that was offline: its events come in today's file, and happened up to three
            // days before the day began.
            day.start_ms - i64::from(dice.between(1, MAX_LATE_MS as u32))
        } else {
            let hour = dice.weighted(&HOUR_WEIGHTS) as i64;
            (day.start_ms + hour * HOUR_MS + i64::from(dice.below(HOUR_MS as u32)))
                .min(day.end_ms - 1)
        };
        let device = if dice.chance(850_000) {
            shopper.device
        } else {
            dice.weighted(&DEVICE_WEIGHTS) as u8
        };
        let channel = dice.weighted(&CHANNEL_WEIGHTS) as u8;
        let on_campaign = channel >= FIRST_PAID_CHANNEL && dice.chance(600_000);
        let base = Event {
            time_ms,
            user,
            deed: Deed::View,
            device,
            channel,
            campaign: on_campaign.then_some(day.date.month() as u8 - 1),
            query: 0,
            item: 0,
            price_cents: 0,
            quantity: 1,
            order: 0,
        };
        Visit { shopper, base, end_ms: day.end_ms - 1, cart: Vec::new() }
    }

    fn look(&mut self, visit: &mut Visit, events: &mut Vec<Event>) {
        let dice = &mut self.dice;
        let category = dice.chance(450_000).then_some(visit.shopper.favourite);
        let item = self.catalogue.draw(dice, category);
        let full_cents = self.catalogue.price_cents(item);
        visit.base.item = item;
        visit.base.quantity = 1;
        visit.base.price_cents = if visit.base.campaign.is_some() {
            full_cents - full_cents * 15 / 100
        } else {
            full_cents
        };
        visit.push(dice, events, Deed::View);
        if dice.chance(190_000) {
            visit.base.quantity = [1, 1, 1, 2, 3, 6][dice.below(6) as usize];
            visit.push(dice, events, Deed::AddToCart);
            visit.cart.push(visit.base);
        }
    }

    fn buy(&mut self, visit: &mut Visit, events: &mut Vec<Event>) {
        self.orders += 1;
        visit.pass_time(&mut self.dice);
        // The lines of an order are of one instant.
        let bought = visit.cart.drain(..).map(|line| Event {
            deed: Deed::Purchase,
            order: self.orders,
            time_ms: visit.base.time_ms,
            ..line
        });
        events.extend(bought);
    }

    /// Some purchases are sent back one to three weeks later, if that is within the days.
    fn promise_refund(&mut self, index: usize, event: &Event) {
        if event.deed != Deed::Purchase {
            return;
        }
        let returns = self.population.returns(event.user);
        if !self.dice.chance(if returns { 220_000 } else { 25_000 }) {
            return;
        }
        let (days_later, hours) = (self.dice.between(7, 21), self.dice.between(0, 4));
        if let Some(day) = self.refunds.get_mut(index + days_later as usize) {
            let time_ms =
                event.time_ms + i64::from(days_later) * DAY_MS - i64::from(hours) * HOUR_MS;
            let quantity = self.dice.between(1, event.quantity);
            day.push(Event { deed: Deed::Refund, time_ms, quantity, ..*event });
        }
    }
}

impl Visit {
    fn push(&mut self, dice: &mut Dice, events: &mut Vec<Event>, deed: Deed) {
        self.base.deed = deed;
        events.push(self.base);
        self.pass_time(dice);
    }

    fn pass_time(&mut self, dice: &mut Dice) {
        self.base.time_ms =
            (self.base.time_ms + i64::from(dice.between(2_000, 150_000))).min(self.end_ms);
    }
}
