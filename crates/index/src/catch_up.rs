//! Applies live changes that were flushed since a batch began to the batch's segments. They are
//! read back from the log in bounded parts.

use crate::error::{Error, Result};
use crate::flush::built;
use crate::index::Index;
use crate::live::{AppLog, Entry, Item, TagLog, TagOverlay, TagView};
use crate::publish::{Behind, Prepared, TagPublication, TagToWrite};
use crate::segment::Segment;
use hashbrown::HashMap;
use std::sync::{Arc, mpsc};
use taghouse_disk::blocking;
use taghouse_model::{AppId, Name};

/// Changes in memory at a time: 24 bytes each, and as much again while they are sorted.
const CHANGES_AT_ONCE: usize = 4 << 20;

/// Changes read back, by tag, in the order of their positions.
type Changes = HashMap<Name, (Arc<TagLog>, Vec<Entry>)>;

impl Index {
    /// Adds to prepared tags the changes that they lack. The caller makes sure that flushes wait.
    pub(crate) async fn catch_up(
        &self,
        app: &AppId,
        log: &Arc<AppLog>,
        prepared: &mut Prepared,
        behind: Vec<Behind>,
    ) -> Result<()> {
        let (sender, parts) = mpsc::sync_channel::<Changes>(0);
        let (reading, lacking) = (log.clone(), behind.clone());
        let reader = tokio::task::spawn_blocking(move || read(&reading, &lacking, &sender));
        let parts = Arc::new(parking_lot::Mutex::new(parts));
        loop {
            let next = parts.clone();
            let part = blocking::<_, Error>(move || Ok(next.lock().recv().ok())).await?;
            let Some(part) = part else { break };
            for (name, (tag, entries)) in part {
                self.bring_onto(app, log, prepared, &name, tag, entries).await?;
            }
        }
        drop(parts);
        reader.await.map_err(taghouse_disk::TaskFailed::from)??;
        for tag in &mut prepared.tags {
            if let Some(caught_up) = behind.iter().find(|behind| behind.name == tag.name) {
                tag.flushed_through = Some(caught_up.through);
            }
        }
        Ok(())
    }

    /// A prepared tag with more changes, as a new object.
    async fn bring_onto(
        &self,
        app: &AppId,
        log: &Arc<AppLog>,
        prepared: &mut Prepared,
        name: &Name,
        tag: Arc<TagLog>,
        mut entries: Vec<Entry>,
    ) -> Result<()> {
        let Some(at) = prepared.tags.iter().position(|tag| tag.name == *name) else {
            return Ok(());
        };
        let object = prepared.tags[at].entry.object.clone();
        let bytes = self
            .objects
            .read(&object)
            .await?
            .ok_or_else(|| Error::corrupt(&object, "it is missing"))?;
        let overlay = log.overlay();
        let from = object.clone();
        let work = move || {
            // Who was deleted since is not to come back.
            entries.retain(|entry| !overlay.deleted.contains(entry.ordinal));
            let changes = TagOverlay::new(tag).with(entries);
            let view =
                TagView::new(Segment::open(&from, bytes)?, Some(Arc::new(changes)), Arc::default());
            let users = view.live_users()?;
            Ok::<_, Error>((built(&view, None)?, users))
        };
        let (segment, users) = blocking(work).await?;
        // The flushes that held these changes have made their users exist; those deleted meanwhile
        // stay hidden as long as a segment holds them.
        prepared.users = Arc::new(prepared.users.or(&users));
        let before = prepared.tags.remove(at);
        let tag = TagPublication {
            name: before.name,
            value_type: before.entry.value_type,
            as_of_ms: before.entry.as_of_ms,
            definition: before.entry.definition,
            segment: segment.into(),
            flushed_through: before.flushed_through,
        };
        let tag = TagToWrite { publication: tag, onto: before.onto };
        self.write_tags(app, prepared, vec![tag]).await?;
        prepared.written.remove(&object);
        self.objects.delete([&object]).await;
        Ok(())
    }
}

/// Reads the changes that tags lack, and sends them part by part.
fn read(log: &AppLog, behind: &[Behind], parts: &mpsc::SyncSender<Changes>) -> Result<()> {
    let after = behind.iter().map(|tag| tag.after).min().unwrap_or_default();
    let through = behind.iter().map(|tag| tag.through).max().unwrap_or_default();
    let wanted: HashMap<&Name, &Behind> = behind.iter().map(|tag| (&tag.name, tag)).collect();
    let (mut part, mut held) = (Changes::new(), 0);
    let reached = log.read_back(after, through, &mut |first, items| {
        let mut next = first;
        for item in items {
            match item {
                Item::Added(users) | Item::Deleted(users) => next += users.len() as u64,
                Item::Tag { name, value_type, texts, entries } => {
                    let begins = next;
                    next += entries.len() as u64;
                    let Some(of) = wanted.get(&name).filter(|of| of.value_type == value_type)
                    else {
                        continue;
                    };
                    let fresh = || {
                        (
                            Arc::new(TagLog::new(name.clone(), value_type, Arc::default())),
                            Vec::new(),
                        )
                    };
                    let (tag, all) = part.entry(name.clone()).or_insert_with(fresh);
                    let entries = resolved(tag, &texts, entries)?.into_iter().zip(begins..);
                    let lacking = entries
                        .filter(|(_, position)| (of.after + 1..=of.through).contains(position));
                    let before = all.len();
                    all.extend(lacking.map(|(entry, position)| entry.at(position)));
                    held += all.len() - before;
                }
            }
        }
        if held >= CHANGES_AT_ONCE {
            held = 0;
            // Who does not listen any more has failed, and says why.
            let _ = parts.send(std::mem::take(&mut part));
        }
        Ok(())
    })?;
    if !reached {
        let (tag, holds, flushed_through) = behind
            .first()
            .map_or_else(Default::default, |tag| (tag.name.to_string(), tag.after, tag.through));
        return Err(Error::Outdated { tag, holds, flushed_through });
    }
    let _ = parts.send(part);
    Ok(())
}

/// The entries with the codes that their texts have for `tag`.
fn resolved(tag: &TagLog, texts: &[Arc<str>], mut entries: Vec<Entry>) -> Result<Vec<Entry>> {
    if tag.has_texts() {
        let codes = texts.iter().map(|text| tag.code(text)).collect::<Result<Vec<i64>>>()?;
        for entry in entries.iter_mut().filter(|entry| entry.value != Entry::NONE) {
            entry.value = codes[entry.value as usize];
        }
    }
    Ok(entries)
}
