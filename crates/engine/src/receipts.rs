//! Receipts of what was done with people's data, kept in the catalog. No id of a user stands in one.

use crate::{Engine, Error, Result};
use serde_json::json;
use taghouse_catalog::{Change, Pointer};
use taghouse_model::AppId;
use taghouse_wire::{NewReceipt, ReceiptRecord};

const KIND: &str = "receipt";

impl Engine {
    /// Keeps a receipt; gives its id. Ids of receipts ascend with their time.
    ///
    /// # Errors
    /// Of the catalog: then what was done is done, and there is no receipt of it.
    pub async fn keep_receipt(&self, app: &AppId, receipt: NewReceipt) -> Result<String> {
        let now_ms = self.clock.now_ms();
        let id = format!("{now_ms:013}-{}", self.random_id());
        let put = Change::PutPointer {
            kind: KIND.to_owned(),
            app: app.clone(),
            name: id.clone(),
            expected: None,
            value: json!({ "at_ms": now_ms, "receipt": receipt }),
        };
        self.catalog.commit(vec![put]).await?;
        Ok(id)
    }

    /// A receipt; `None`: there is none of this id.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn receipt(&self, app: &AppId, id: &str) -> Result<Option<ReceiptRecord>> {
        let pointer = self.catalog.pointer(KIND, app, id).await?;
        pointer.map(|pointer| record(id, &pointer)).transpose()
    }

    /// The newest receipts, and how many there are.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn receipts(&self, app: &AppId, limit: usize) -> Result<(Vec<ReceiptRecord>, usize)> {
        let mut ids = self.catalog.pointer_revisions(KIND, app).await?;
        ids.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        let mut receipts = Vec::new();
        for (id, _) in ids.iter().take(limit) {
            receipts.extend(self.receipt(app, id).await?);
        }
        Ok((receipts, ids.len()))
    }
}

fn record(id: &str, pointer: &Pointer) -> Result<ReceiptRecord> {
    let wrong = || Error::Receipt(id.to_owned());
    let at_ms = pointer.value.get("at_ms").and_then(serde_json::Value::as_i64).ok_or_else(wrong)?;
    let receipt = pointer.value.get("receipt").cloned().ok_or_else(wrong)?;
    let receipt: NewReceipt = serde_json::from_value(receipt).map_err(|_| wrong())?;
    Ok(ReceiptRecord { id: id.to_owned(), at_ms, receipt })
}
