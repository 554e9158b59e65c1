use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pinned positions with the number of their pins. The log keeps the changes after them.
#[derive(Clone, Default)]
pub(crate) struct Pins(Arc<Mutex<BTreeMap<u64, usize>>>);

/// A position of an app's log of live changes. As long as it lives, changes later than that can be
/// read back, whatever was flushed: they cost disk, not memory. It ends with the process too: what
/// it was for has ended then.
pub struct Pin {
    position: u64,
    pins: Pins,
}

impl Pins {
    pub(crate) fn pin(&self, position: u64) -> Pin {
        *self.0.lock().entry(position).or_default() += 1;
        Pin { position, pins: self.clone() }
    }

    /// Up to where the log may be removed that a checkpoint at `position` replaces.
    pub(crate) fn kept_behind(&self, position: u64) -> u64 {
        self.0.lock().first_key_value().map_or(position, |(pinned, _)| position.min(*pinned))
    }
}

impl Pin {
    /// The position: what a publication may say that it holds.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The same at another position.
    pub(crate) fn at(self, position: u64) -> Self {
        self.pins.pin(position)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.pins.0.lock();
        if let Some(count) = pins.get_mut(&self.position) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.position);
            }
        }
    }
}
