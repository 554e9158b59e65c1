use std::fmt;

/// How far back an aggregate looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// Everything before the as-of time.
    Lifetime,
    /// `Nd`: n days of the app's time zone, ending with the one that holds the last instant before
    /// the as-of time. 1 to 3660.
    Days(u32),
    /// `Nh`: the same with hours. 1 to 8784.
    Hours(u32),
    /// `Nm`: the same with minutes. 1 to 1440.
    Minutes(u32),
}

impl Window {
    /// By what it moves: `day`, `hour` or `minute`; `None`: it does not.
    pub fn resolution(self) -> Option<&'static str> {
        match self {
            Self::Lifetime => None,
            Self::Days(_) => Some("day"),
            Self::Hours(_) => Some("hour"),
            Self::Minutes(_) => Some("minute"),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lifetime => f.write_str("lifetime"),
            Self::Days(count) => write!(f, "{count}d"),
            Self::Hours(count) => write!(f, "{count}h"),
            Self::Minutes(count) => write!(f, "{count}m"),
        }
    }
}
