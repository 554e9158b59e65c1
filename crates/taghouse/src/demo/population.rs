use super::calendar::{self, DAY_MS};
use super::dice::{Dice, Stream};
use super::line::{push_date, push_instant, push_number, push_padded};
use super::vocabulary::{
    CATEGORIES, CITY_WEIGHTS, COUNTRIES, DEVICE_WEIGHTS, GENDER_WEIGHTS, GENDERS, PLAN_WEIGHTS,
    PLANS,
};
use super::zipf::Zipf;

pub(super) const USERS_HEADER: &str =
    "user_id,updated_at,country,city,gender,birth_date,signup_date,plan,email_opt_in\n";

/// What a session needs to know of a user.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shopper {
    /// Days since 1970.
    pub(super) signup_day: i32,
    /// An index into the categories.
    pub(super) favourite: u8,
    /// An index into the devices.
    pub(super) device: u8,
    /// Sends things back often.
    pub(super) returns: bool,
}

/// The users, `u0000000` and so on. How active one is has nothing to do with the number.
pub(super) struct Population {
    shoppers: Vec<Shopper>,
    /// The user of each rank of activity.
    by_rank: Vec<u32>,
    activity: Zipf,
    /// Days since 1970.
    last_day: i32,
}

impl Population {
    /// `users` is at least 1; the days are those of the first and last file.
    pub(super) fn new(seed: u64, users: u32, first_day: i32, last_day: i32) -> Self {
        let mut dice = Dice::new(seed, Stream::Population);
        let shoppers = (0..users).map(|_| shopper(&mut dice, first_day, last_day)).collect();
        let mut by_rank: Vec<u32> = (0..users).collect();
        for index in (1..users).rev() {
            by_rank.swap(index as usize, dice.below(index + 1) as usize);
        }
        Self { shoppers, by_rank, activity: Zipf::new(users, 120), last_day }
    }

    /// A user who has signed up by `day`, by activity.
    pub(super) fn draw(&self, dice: &mut Dice, day: i32) -> (u32, Shopper) {
        let mut tries = 0;
        loop {
            let user = self.by_rank[self.activity.draw(dice) as usize];
            let shopper = self.shoppers[user as usize];
            tries += 1;
            // Of a handful of users it may be that nobody has signed up yet; then the next is
            // served all the same.
            if shopper.signup_day <= day || tries == 32 {
                return (user, shopper);
            }
        }
    }

    pub(super) fn users(&self) -> u32 {
        self.shoppers.len() as u32
    }

    /// Appends a user's rows of `users.csv`; returns how many. One user of twenty stands there
    /// twice, the older row with another plan.
    pub(super) fn push_rows(&self, out: &mut Vec<u8>, dice: &mut Dice, user: u32) -> u64 {
        let shopper = &self.shoppers[user as usize];
        let profile = profile(dice, shopper.signup_day, self.last_day);
        if profile.changed {
            let before = (profile.plan + 1) % PLANS.len();
            profile.push_row(out, user, shopper, before, profile.updated_ms - 3 * DAY_MS);
        }
        profile.push_row(out, user, shopper, profile.plan, profile.updated_ms);
        1 + u64::from(profile.changed)
    }

    /// Whether a user sends things back often.
    pub(super) fn returns(&self, user: u32) -> bool {
        self.shoppers[user as usize].returns
    }
}

fn shopper(dice: &mut Dice, first_day: i32, last_day: i32) -> Shopper {
    let days = (last_day - first_day + 1) as u32;
    let signup_day = if dice.chance(700_000) {
        first_day - dice.between(1, 1_400) as i32
    } else {
        first_day + dice.below(days) as i32
    };
    Shopper {
        signup_day,
        favourite: dice.below(CATEGORIES.len() as u32) as u8,
        device: dice.weighted(&DEVICE_WEIGHTS) as u8,
        returns: dice.chance(180_000),
    }
}

/// What only `users.csv` says of a user.
struct Profile {
    country: usize,
    city: usize,
    gender: usize,
    birth_day: i32,
    plan: usize,
    email_opt_in: bool,
    updated_ms: i64,
    changed: bool,
}

fn profile(dice: &mut Dice, signup_day: i32, last_day: i32) -> Profile {
    let changed = dice.chance(50_000);
    // A row is of the day after signing up or later; one that has changed, of late enough to leave
    // room for the older row.
    let after = dice.below((last_day - signup_day).clamp(1, 700) as u32) as i64
        + if changed { 4 } else { 0 };
    let updated_ms =
        (i64::from(signup_day) + after) * DAY_MS + i64::from(dice.below(86_400)) * 1000;
    let latest_ms = i64::from(last_day) * DAY_MS + 20 * calendar::HOUR_MS;
    Profile {
        country: dice.weighted(&COUNTRIES.map(|(_, weight, _)| weight)),
        city: dice.weighted(&CITY_WEIGHTS),
        gender: dice.weighted(&GENDER_WEIGHTS),
        birth_day: last_day - dice.between(18 * 365, 78 * 365) as i32,
        plan: dice.weighted(&PLAN_WEIGHTS),
        email_opt_in: dice.chance(620_000),
        updated_ms: updated_ms.min(latest_ms),
        changed,
    }
}

impl Profile {
    fn push_row(
        &self,
        out: &mut Vec<u8>,
        user: u32,
        shopper: &Shopper,
        plan: usize,
        updated_ms: i64,
    ) {
        let (country, _, cities) = COUNTRIES[self.country];
        push_user(out, user);
        out.push(b',');
        push_instant(out, updated_ms);
        for text in [",", country, ",", cities[self.city], ",", GENDERS[self.gender], ","] {
            out.extend_from_slice(text.as_bytes());
        }
        push_date(out, self.birth_day);
        out.push(b',');
        push_date(out, shopper.signup_day);
        for text in [",", PLANS[plan], ",", if self.email_opt_in { "true" } else { "false" }, "\n"]
        {
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// The id of a user: `u0000000` for 0.
pub(super) fn push_user(out: &mut Vec<u8>, user: u32) {
    out.push(b'u');
    if user < 10_000_000 { push_padded(out, user, 7) } else { push_number(out, u64::from(user)) }
}
