//! What is kept of one sink besides its definition, whoever writes it.

use crate::board::Board;
use crate::dead_letters::DeadLetters;
use crate::delivery_log::DeliveryLog;
use std::path::PathBuf;
use std::sync::Arc;
use taghouse_model::{AppId, Clock, Name};

pub(crate) struct SinkRecord {
    pub(crate) board: Board,
    pub(crate) log: DeliveryLog,
    pub(crate) dead: DeadLetters,
}

impl SinkRecord {
    /// What its folder holds. Blocks.
    pub(crate) fn open(app: &AppId, sink: &Name, folder: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self {
            board: Board::new(format!("{app}/{sink}"), clock),
            log: DeliveryLog::open(folder.clone()),
            dead: DeadLetters::at(folder),
        }
    }
}
