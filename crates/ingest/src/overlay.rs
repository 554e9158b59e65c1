//! What stands in the place of a CSV row's cells: numbers with a point for those with a comma, and
//! values filled down from the row above.

use crate::comma::with_point;
use crate::mapping::Mapping;
use crate::reject::{Fault, Reason, quoted};

/// The texts that stand for the cells of a row.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// Slots of numbers with a decimal comma.
    commas: Vec<usize>,
    /// Slots that are filled down, and the value that stood there last.
    fills: Vec<(usize, String)>,
    /// The text of each slot.
    texts: Vec<Option<String>>,
}

impl Overlay {
    /// Before the first row of a file.
    pub(crate) fn new(mapping: &Mapping) -> Self {
        let slots = || mapping.slots.iter().enumerate();
        let commas: Vec<usize> = slots().filter(|(_, slot)| slot.comma).map(|(at, _)| at).collect();
        let fills: Vec<_> =
            slots().filter(|(_, slot)| slot.fill_down).map(|(at, _)| (at, String::new())).collect();
        let any = !commas.is_empty() || !fills.is_empty();
        Self {
            commas,
            fills,
            texts: if any { vec![None; mapping.slots.len()] } else { Vec::new() },
        }
    }

    /// Looks at the next row; `text` gives a slot's own text.
    ///
    /// # Errors
    /// A number that is not one with a decimal comma.
    pub(crate) fn see<'r>(
        &mut self,
        mapping: &Mapping,
        text: impl Fn(usize) -> &'r str,
    ) -> Result<(), Fault> {
        self.texts.fill(None);
        for (slot, last) in &mut self.fills {
            let own = text(*slot);
            if own.trim().is_empty() {
                self.texts[*slot] = (!last.is_empty()).then(|| last.clone());
            } else {
                last.clear();
                last.push_str(own);
            }
        }
        for slot in &self.commas {
            let own = self.texts[*slot].as_deref().unwrap_or_else(|| text(*slot));
            match with_point(own) {
                Ok(Some(number)) => self.texts[*slot] = Some(number),
                Ok(None) => {}
                Err(_) => {
                    let (column, own) = (quoted(&mapping.slots[*slot].column), quoted(own));
                    let detail = format!(
                        "column {column}: {own} is not a number with a decimal comma, such as 1234,5 or 1.234,5"
                    );
                    return Err(Fault::new(Reason::BadType, detail));
                }
            }
        }
        Ok(())
    }

    /// What stands for the slot's cell.
    pub(crate) fn text(&self, slot: usize) -> Option<&str> {
        self.texts.get(slot)?.as_deref()
    }
}
