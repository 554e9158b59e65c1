use crate::blob::{WORDS, Words};
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// Reusable buffers for the words of containers.
#[derive(Default)]
pub(crate) struct Buffers(RefCell<Vec<Rc<Buffer>>>);

/// Aligned to cache lines: a vector that spans two of them is written twice.
#[derive(Clone)]
#[repr(align(64))]
pub(super) struct Buffer(pub(super) Words);

impl Deref for Buffer {
    type Target = Words;
    fn deref(&self) -> &Words {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Words {
        &mut self.0
    }
}

impl Buffers {
    /// A buffer with arbitrary contents.
    pub(super) fn take(&self) -> Rc<Buffer> {
        self.0.borrow_mut().pop().unwrap_or_else(|| Rc::new(Buffer([0; WORDS])))
    }

    pub(super) fn give(&self, mut words: Rc<Buffer>) {
        if Rc::get_mut(&mut words).is_some() {
            self.0.borrow_mut().push(words);
        }
    }
}
