/// Keeps the last of the values that each key is given, in memory that grows with the keys and not
/// with what is given.
pub(super) struct Latest {
    rows: Vec<(u64, u64)>,
    compact_at: usize,
}

impl Latest {
    /// Looks for keys given again from `rows` rows on.
    pub(super) fn new(rows: usize) -> Self {
        Self { rows: Vec::new(), compact_at: rows }
    }

    pub(super) fn push(&mut self, key: u64, value: u64) {
        self.rows.push((key, value));
        if self.rows.len() >= self.compact_at {
            self.compact();
            self.compact_at = self.compact_at.max(self.rows.len() * 2);
        }
    }

    /// Each key once, ascending, with its last value.
    pub(super) fn sorted(&mut self) -> &[(u64, u64)] {
        self.compact();
        &self.rows
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    fn compact(&mut self) {
        if self.rows.is_sorted_by(|a, b| a.0 < b.0) {
            return;
        }
        // Stable: the last of a key stays the last.
        self.rows.sort_by_key(|row| row.0);
        let mut kept = 0;
        for at in 0..self.rows.len() {
            if self.rows.get(at + 1).is_none_or(|next| next.0 != self.rows[at].0) {
                self.rows[kept] = self.rows[at];
                kept += 1;
            }
        }
        self.rows.truncate(kept);
    }
}
