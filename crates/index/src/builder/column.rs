//! What a builder collects: columns, sorted only in the end and only if users did not come in
//! order.

use crate::MAX_VALUES;
use hashbrown::HashMap;
use std::sync::Arc;
use taghouse_bitmap::BitSlices;
use taghouse_model::Ordinal;

/// One number a user.
#[derive(Default)]
pub(super) struct Numbers {
    ordinals: Vec<Ordinal>,
    units: Units,
}

/// Of 64 bits as long as those hold all.
enum Units {
    Narrow(Vec<i64>),
    Wide(Vec<i128>),
}

impl Default for Units {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

impl Numbers {
    pub(super) fn push(&mut self, ordinal: Ordinal, units: i128) {
        self.ordinals.push(ordinal);
        match (&mut self.units, i64::try_from(units)) {
            (Units::Narrow(all), Ok(units)) => all.push(units),
            (Units::Narrow(all), Err(_)) => {
                let wide = all.iter().map(|units| i128::from(*units)).chain([units]).collect();
                self.units = Units::Wide(wide);
            }
            (Units::Wide(all), _) => all.push(units),
        }
    }

    /// As bit slices: by ascending ordinal, each once, the later of two.
    pub(super) fn encode(self) -> taghouse_bitmap::Result<Vec<u8>> {
        match self.units {
            Units::Narrow(units) => encode(self.ordinals, units),
            Units::Wide(units) => encode(self.ordinals, units),
        }
    }
}

fn encode<N: Copy + Into<i128>>(
    ordinals: Vec<Ordinal>,
    units: Vec<N>,
) -> taghouse_bitmap::Result<Vec<u8>> {
    let (ordinals, units) = match order_of(&ordinals) {
        None => (ordinals, units),
        Some(order) => order.into_iter().map(|row| (ordinals[row], units[row])).unzip(),
    };
    BitSlices::encode(&ordinals, &units)
}

/// Any number of codes a user; a code stands for a text, in order of appearance.
#[derive(Default)]
pub(super) struct Codes {
    ordinals: Vec<Ordinal>,
    /// Where each user's codes end.
    ends: Vec<u32>,
    codes: Vec<u32>,
    places: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
}

/// [`Codes`] by ascending ordinal, with codes in order of their texts.
pub(super) struct Table {
    pub(super) ordinals: Vec<Ordinal>,
    /// Where each user's codes start, and the end.
    pub(super) starts: Vec<u32>,
    pub(super) codes: Vec<u32>,
    pub(super) texts: Vec<Arc<str>>,
    /// All users by code, and where each code's start, and the end.
    by_code: Vec<Ordinal>,
    code_starts: Vec<usize>,
}

impl Codes {
    pub(super) fn code(&mut self, text: &Arc<str>) -> Result<u32, String> {
        if let Some(code) = self.places.get(text.as_ref()) {
            return Ok(*code);
        }
        super::check_text(text)?;
        if self.texts.len() >= MAX_VALUES {
            return Err(format!("it has more than {MAX_VALUES} different values"));
        }
        let code = self.texts.len() as u32;
        self.places.insert(text.clone(), code);
        self.texts.push(text.clone());
        Ok(code)
    }

    pub(super) fn push(
        &mut self,
        ordinal: Ordinal,
        codes: impl IntoIterator<Item = u32>,
    ) -> Result<(), String> {
        self.codes.extend(codes);
        let end = u32::try_from(self.codes.len())
            .map_err(|_| "it has 2^32 members or more".to_owned())?;
        self.ordinals.push(ordinal);
        self.ends.push(end);
        Ok(())
    }

    /// The user has no value (any more).
    pub(super) fn remove(&mut self, ordinal: Ordinal) -> Result<(), String> {
        self.push(ordinal, [])
    }

    /// `fixed` keeps two codes, whatever occurs: those of a bool.
    pub(super) fn sorted(self, fixed: bool) -> Result<Table, String> {
        let count = if fixed { 2 } else { self.texts.len() };
        let (ordinals, starts, mut codes) = self.rows();
        let mut used = vec![fixed; count];
        codes.iter().for_each(|code| used[*code as usize] = true);
        let mut by_text: Vec<u32> = (0..count as u32).filter(|code| used[*code as usize]).collect();
        if !fixed {
            by_text.sort_unstable_by(|a, b| self.texts[*a as usize].cmp(&self.texts[*b as usize]));
        }
        let mut new_codes = vec![0; count];
        by_text.iter().enumerate().for_each(|(new, old)| new_codes[*old as usize] = new as u32);
        codes.iter_mut().for_each(|code| *code = new_codes[*code as usize]);
        for row in starts.windows(2) {
            codes[row[0] as usize..row[1] as usize].sort_unstable();
        }
        let texts = if fixed {
            Vec::new()
        } else {
            by_text.iter().map(|old| self.texts[*old as usize].clone()).collect()
        };
        Ok(Table::new(ordinals, starts, codes, texts, by_text.len()))
    }

    /// Users who have a value by ascending ordinal, each once, the later of two.
    fn rows(&self) -> (Vec<Ordinal>, Vec<u32>, Vec<u32>) {
        let codes_of = |row: usize| {
            row.checked_sub(1).map_or(0, |before| self.ends[before]) as usize
                ..self.ends[row] as usize
        };
        let order = order_of(&self.ordinals);
        let rows = order.as_ref().map_or(self.ordinals.len(), Vec::len);
        let mut ordinals = Vec::with_capacity(rows);
        let mut starts = Vec::with_capacity(rows + 1);
        let mut codes = Vec::with_capacity(self.codes.len());
        starts.push(0);
        for at in 0..rows {
            let row = order.as_ref().map_or(at, |order| order[at]);
            let range = codes_of(row);
            if !range.is_empty() {
                ordinals.push(self.ordinals[row]);
                codes.extend_from_slice(&self.codes[range]);
                starts.push(codes.len() as u32);
            }
        }
        (ordinals, starts, codes)
    }
}

impl Table {
    fn new(
        ordinals: Vec<Ordinal>,
        starts: Vec<u32>,
        codes: Vec<u32>,
        texts: Vec<Arc<str>>,
        values: usize,
    ) -> Self {
        let mut code_starts = vec![0; values + 1];
        codes.iter().for_each(|code| code_starts[*code as usize + 1] += 1);
        for code in 0..values {
            code_starts[code + 1] += code_starts[code];
        }
        let mut next = code_starts.clone();
        let mut by_code = vec![0; codes.len()];
        for (row, ordinal) in starts.windows(2).zip(&ordinals) {
            for code in &codes[row[0] as usize..row[1] as usize] {
                let place = &mut next[*code as usize];
                by_code[*place] = *ordinal;
                *place += 1;
            }
        }
        Self { ordinals, starts, codes, texts, by_code, code_starts }
    }

    pub(super) fn values(&self) -> u32 {
        self.code_starts.len() as u32 - 1
    }

    pub(super) fn users_of(&self, code: u32) -> &[Ordinal] {
        &self.by_code[self.code_starts[code as usize]..self.code_starts[code as usize + 1]]
    }
}

/// The rows to take, by ascending ordinal and of each ordinal the last; `None` when they stand so
/// already.
fn order_of(ordinals: &[Ordinal]) -> Option<Vec<usize>> {
    if ordinals.is_sorted_by(|a, b| a < b) {
        return None;
    }
    let mut rows: Vec<usize> = (0..ordinals.len()).collect();
    rows.sort_by_key(|row| ordinals[*row]);
    let mut last = Vec::with_capacity(rows.len());
    for same in rows.chunk_by(|a, b| ordinals[*a] == ordinals[*b]) {
        last.extend(same.last());
    }
    Some(last)
}
