//! Tiles: the days, hours or minutes of the app's time zone by which windows slide.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::Arc;
use taghouse_model::TimestampMs;
use taghouse_rules::Window;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// 2300-01-01: later changes of the clock are not looked up.
const LAST_CHANGE_S: i64 = 10_413_792_000;

/// How long a tile is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TileUnit {
    /// A local day: 23 to 25 hours where the clock changes.
    Day,
    /// An hour, in step with the zone's minutes.
    Hour,
    /// A minute, in step with the zone's seconds.
    Minute,
}

/// The tiles of a zone, numbered so that a tile's number is that of the local day (or hour) since
/// 1970. All offsets are looked up once, so that finding a tile costs nanoseconds. Cheap to clone.
///
/// Tiles never go backwards: where the clock is put back over midnight, the instants that have the
/// earlier day again stay in the later one, so a window is one range of instants.
#[derive(Debug, Clone)]
pub struct Tiles {
    unit_ms: i64,
    spells: Arc<[Spell]>,
}

/// A time of one offset.
#[derive(Debug, Clone, Copy)]
struct Spell {
    from_ms: TimestampMs,
    shift_ms: i64,
    /// The tile of the instant before; none here is lower.
    floor: i64,
}

impl Spell {
    fn tile(&self, instant: TimestampMs, unit_ms: i64) -> i64 {
        instant.saturating_add(self.shift_ms).div_euclid(unit_ms).max(self.floor)
    }
}

impl Tiles {
    /// The tiles of a zone.
    pub fn new(zone: &TimeZone, unit: TileUnit) -> Self {
        let unit_ms = match unit {
            TileUnit::Day => DAY_MS,
            TileUnit::Hour => HOUR_MS,
            TileUnit::Minute => MINUTE_MS,
        };
        let shift = |offset: jiff::tz::Offset| match unit {
            TileUnit::Day => i64::from(offset.seconds()) * 1000,
            TileUnit::Hour | TileUnit::Minute => {
                (i64::from(offset.seconds()) * 1000).rem_euclid(unit_ms)
            }
        };
        let mut last = Spell {
            from_ms: i64::MIN,
            shift_ms: shift(zone.to_offset(Timestamp::MIN)),
            floor: i64::MIN,
        };
        let mut spells = vec![last];
        for change in zone
            .following(Timestamp::MIN)
            .take_while(|change| change.timestamp().as_second() < LAST_CHANGE_S)
        {
            let (from_ms, shift_ms) = (change.timestamp().as_millisecond(), shift(change.offset()));
            if shift_ms != last.shift_ms {
                last = Spell { from_ms, shift_ms, floor: last.tile(from_ms - 1, unit_ms) };
                spells.push(last);
            }
        }
        Self { unit_ms, spells: spells.into() }
    }

    /// The tile that holds the instant.
    pub fn tile(&self, instant: TimestampMs) -> i64 {
        let after = self.spells.partition_point(|spell| spell.from_ms <= instant);
        self.spells[after.saturating_sub(1)].tile(instant, self.unit_ms)
    }

    /// The first instant that is in this tile or a later one.
    pub fn start(&self, tile: i64) -> TimestampMs {
        let after = self.spells.partition_point(|spell| spell.floor < tile);
        let spell = &self.spells[after.saturating_sub(1)];
        tile.saturating_mul(self.unit_ms).saturating_sub(spell.shift_ms).max(spell.from_ms)
    }
}

/// The tiles of an app. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Calendar {
    days: Tiles,
    hours: Tiles,
    minutes: Tiles,
    zone: TimeZone,
}

impl Calendar {
    /// The calendar of the app's zone.
    pub fn new(zone: &TimeZone) -> Self {
        Self {
            days: Tiles::new(zone, TileUnit::Day),
            hours: Tiles::new(zone, TileUnit::Hour),
            minutes: Tiles::new(zone, TileUnit::Minute),
            zone: zone.clone(),
        }
    }

    /// The local day that holds the instant, since 1970-01-01.
    pub fn day(&self, instant: TimestampMs) -> i64 {
        self.days.tile(instant)
    }

    /// The time zone of its days.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// A window's tiles.
    pub fn span(&self, window: Window) -> Span {
        match window {
            Window::Lifetime => Span(None),
            Window::Days(count) => Span(Some((self.days.clone(), i64::from(count)))),
            Window::Hours(count) => Span(Some((self.hours.clone(), i64::from(count)))),
            Window::Minutes(count) => Span(Some((self.minutes.clone(), i64::from(count)))),
        }
    }
}

/// By what a window slides. Windows of one tiling share the numbers of their tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tiling {
    Lifetime,
    Minutes,
    Hours,
    Days,
}

/// A window: so many tiles, ending with the one that holds the last instant before the as-of time;
/// or everything, as one tile.
#[derive(Debug, Clone)]
pub struct Span(Option<(Tiles, i64)>);

impl Span {
    /// By what it slides.
    pub(crate) fn tiling(&self) -> Tiling {
        match &self.0 {
            None => Tiling::Lifetime,
            Some((tiles, _)) if tiles.unit_ms == MINUTE_MS => Tiling::Minutes,
            Some((tiles, _)) if tiles.unit_ms == HOUR_MS => Tiling::Hours,
            Some(_) => Tiling::Days,
        }
    }

    /// How many tiles it has; `None`: everything is one.
    pub(crate) fn count(&self) -> Option<i64> {
        self.0.as_ref().map(|(_, count)| *count)
    }

    /// How long a tile is where no clock changes; `None`: without an end.
    pub(crate) fn unit_ms(&self) -> Option<i64> {
        self.0.as_ref().map(|(tiles, _)| tiles.unit_ms)
    }

    /// The tile of an instant; of a lifetime always 0.
    pub fn tile(&self, instant: TimestampMs) -> i64 {
        self.0.as_ref().map_or(0, |(tiles, _)| tiles.tile(instant))
    }

    /// The first and the last tile as of an instant.
    pub fn range(&self, as_of_ms: TimestampMs) -> (i64, i64) {
        self.0.as_ref().map_or((0, 0), |(tiles, count)| {
            let last = tiles.tile(as_of_ms.saturating_sub(1));
            (last - (count - 1), last)
        })
    }

    /// The first instant of the window as of an instant.
    pub fn start_ms(&self, as_of_ms: TimestampMs) -> TimestampMs {
        self.0.as_ref().map_or(i64::MIN, |(tiles, _)| tiles.start(self.range(as_of_ms).0))
    }

    /// The first as-of time whose window has the tile; `None`: every time's has.
    pub fn comes(&self, tile: i64) -> Option<TimestampMs> {
        self.0.as_ref().map(|(tiles, _)| tiles.start(tile).saturating_add(1))
    }

    /// The first as-of time whose window no longer has the tile; `None`: it stays for ever.
    pub fn leaves(&self, tile: i64) -> Option<TimestampMs> {
        self.0
            .as_ref()
            .map(|(tiles, count)| tiles.start(tile.saturating_add(*count)).saturating_add(1))
    }
}

#[cfg(test)]
mod tests;
