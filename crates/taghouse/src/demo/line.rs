use super::calendar::{DAY_MS, HOUR_MS, civil};
use super::dice::Dice;
use super::population::push_user;
use super::session::{Deed, Event};
use super::vocabulary::{CAMPAIGNS, CATEGORIES, CHANNELS, DEVICES, QUERIES};

pub(super) const EVENTS_HEADER: &str = "message_id,user_id,event,time,sku,category,price,quantity,order_id,query,device,channel,campaign\n";

/// How a line of the events' files is spoilt. None of them reaches past its own line: an opening
/// quote that is never closed would swallow good lines, and then nobody could say how many lines
/// must be rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// A quote before the event's name that is closed only at the end of the line: the commas
    /// between are swallowed.
    BrokenQuotes,
    /// The line ends in the middle.
    CutShort,
    /// No user id.
    NoUser,
    /// A price or quantity that is not a valid number.
    BadNumber,
    /// A time that no calendar has.
    BadTime,
    /// Bytes that are not UTF-8.
    BadUtf8,
}

impl Damage {
    pub(super) const ALL: [Self; 6] = [
        Self::BrokenQuotes,
        Self::CutShort,
        Self::NoUser,
        Self::BadNumber,
        Self::BadTime,
        Self::BadUtf8,
    ];

    pub(super) fn draw(dice: &mut Dice) -> Self {
        Self::ALL[dice.weighted(&[2, 2, 4, 3, 2, 1])]
    }
}

/// Appends an event as a line; `day` is the number of its file, `row` of the line in it, which
/// together are its message id.
pub(super) fn push_event(
    out: &mut Vec<u8>,
    day: u32,
    row: u32,
    event: &Event,
    damage: Option<Damage>,
) {
    out.push(b'm');
    push_padded(out, day, 4);
    out.push(b'-');
    push_padded(out, row, 7);
    out.push(b',');
    if damage != Some(Damage::NoUser) {
        push_user(out, event.user);
    }
    out.push(b',');
    if damage == Some(Damage::BrokenQuotes) {
        out.push(b'"');
    }
    out.extend_from_slice(event.deed.name().as_bytes());
    out.push(b',');
    push_instant(out, event.time_ms);
    if damage == Some(Damage::BadTime) {
        spoil_month(out);
    }
    out.push(b',');
    push_item(out, event, damage);
    out.push(b',');
    if event.deed == Deed::Search {
        push_text(out, QUERIES[usize::from(event.query)]);
    }
    out.push(b',');
    if damage == Some(Damage::CutShort) {
        out.push(b'\n');
        return;
    }
    out.extend_from_slice(DEVICES[usize::from(event.device)].as_bytes());
    out.push(b',');
    out.extend_from_slice(CHANNELS[usize::from(event.channel)].as_bytes());
    out.push(b',');
    if damage == Some(Damage::BadUtf8) {
        out.extend_from_slice(b"\xff\xfewinter");
    } else if let Some(campaign) = event.campaign {
        out.extend_from_slice(CAMPAIGNS[usize::from(campaign)].as_bytes());
    }
    if damage == Some(Damage::BrokenQuotes) {
        out.push(b'"');
    }
    out.push(b'\n');
}

/// The columns sku, category, price, quantity, order_id.
fn push_item(out: &mut Vec<u8>, event: &Event, damage: Option<Damage>) {
    if event.has_item() {
        out.extend_from_slice(b"sku-");
        push_padded(out, event.item, 4);
        out.push(b',');
        out.extend_from_slice(CATEGORIES[event.item as usize % CATEGORIES.len()].as_bytes());
        out.push(b',');
        push_number(out, u64::from(event.price_cents / 100));
        out.push(b'.');
        push_padded(out, event.price_cents % 100, 2);
    } else {
        out.extend_from_slice(b",,");
    }
    if damage == Some(Damage::BadNumber) {
        out.extend_from_slice(b"O");
    }
    out.push(b',');
    if event.has_item() {
        push_number(out, u64::from(event.quantity));
    }
    out.push(b',');
    if event.order > 0 {
        out.push(b'o');
        push_number(out, event.order);
    }
}

/// `2026-01-05T…` becomes `2026-13-05T…`; the instant is the last thing written.
fn spoil_month(out: &mut [u8]) {
    if let Some(month) =
        out.len().checked_sub(INSTANT_BYTES).and_then(|start| out.get_mut(start + 5..start + 7))
    {
        month.copy_from_slice(b"13");
    }
}

/// A text as RFC 4180 has it: in quotes where it holds a comma or a quote.
fn push_text(out: &mut Vec<u8>, text: &str) {
    if !text.contains([',', '"']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

const INSTANT_BYTES: usize = "2026-01-05T08:00:00.000Z".len();

/// `2026-01-05T08:00:00.000Z`, for an instant from the year 1000 to 9999.
pub(super) fn push_instant(out: &mut Vec<u8>, time_ms: i64) {
    push_date(out, time_ms.div_euclid(DAY_MS) as i32);
    let in_day = time_ms.rem_euclid(DAY_MS);
    let (hour, in_hour) = ((in_day / HOUR_MS) as u32, (in_day % HOUR_MS) as u32);
    for (mark, number, digits) in [
        (b'T', hour, 2),
        (b':', in_hour / 60_000, 2),
        (b':', in_hour / 1000 % 60, 2),
        (b'.', in_hour % 1000, 3),
    ] {
        out.push(mark);
        push_padded(out, number, digits);
    }
    out.push(b'Z');
}

/// `2026-01-05`, for days since 1970.
pub(super) fn push_date(out: &mut Vec<u8>, day: i32) {
    let (year, month, day) = civil(day);
    push_padded(out, year, 4);
    out.push(b'-');
    push_padded(out, month, 2);
    out.push(b'-');
    push_padded(out, day, 2);
}

/// The last `digits` digits of a number, with zeros in front; at most 10 of them.
pub(super) fn push_padded(out: &mut Vec<u8>, mut number: u32, digits: usize) {
    let mut text = [b'0'; 10];
    for place in text[10 - digits..].iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&text[10 - digits..]);
}

pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut text = [0; 20];
    let mut start = text.len();
    loop {
        start -= 1;
        text[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[start..]);
}
