use crate::cache::Cache;
use crate::create::{Store, open_or_create};
use crate::space::{FIRST_GENERATION, Space};
use crate::{Error, Result, key};
use fjall::{OwnedWriteBatch, PersistMode};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use taghouse_model::{AppId, Ordinal, check_user_id};

/// Pairs of one write batch: bounds the memory of a large call. The batches of a call share one fsync at its end.
const BATCH_PAIRS: usize = 1 << 16;

/// All apps' user ids and ordinals, in one folder. Share it in an `Arc`; see the crate's documentation for what holds.
pub struct Dictionary {
    pub(crate) path: PathBuf,
    pub(crate) store: Store,
    cache: Cache,
    spaces: RwLock<HashMap<AppId, Arc<Space>>>,
}

impl Dictionary {
    /// Opens the dictionary in the folder `path`, making it where there is none. One process at a time can have it open.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Corrupt`], [`Error::Unavailable`].
    pub fn open(path: &Path) -> Result<Self> {
        let store = open_or_create(path)?;
        let dictionary = Self { path: path.to_owned(), store, cache: Cache::new(), spaces: RwLock::default() };
        let mut spaces = HashMap::new();
        for entry in dictionary.store.apps.iter() {
            let (k, v) = entry.into_inner().map_err(|e| dictionary.failed(e))?;
            let (Some(app), Some((len, generation))) = (key::app_of(&k), key::parse_app_value(&v)) else {
                return Err(dictionary.corrupt("an app's record cannot be read"));
            };
            dictionary.check_end(&app, len)?;
            // Apps are counted in 32 bits without fear.
            spaces.insert(app, Arc::new(Space::new(spaces.len() as u32, len, generation)));
        }
        Ok(Self { spaces: RwLock::new(spaces), ..dictionary })
    }

    /// The ordinals of `ids`, in their order; an id that has none gets the next one, in the order given. An id may come more than
    /// once. On return all of it is on disk.
    ///
    /// # Errors
    /// [`Error::UserId`] and [`Error::Full`]: nothing written. [`Error::Unavailable`]: perhaps some were written, none of them is
    /// shown before the dictionary is opened again, and the same call then gives the rest.
    pub fn assign(&self, app: &AppId, ids: &[&str]) -> Result<Vec<Ordinal>> {
        check(ids)?;
        let seen = self.len(app);
        let mut found = self.lookup(app, ids)?;
        if found.iter().any(Option::is_none) {
            self.assign_missing(app, ids, seen, &mut found)?;
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// The ordinals of `ids`, in their order; `None` for an id that has none (also for text that cannot be a user id).
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Unavailable`].
    pub fn lookup(&self, app: &AppId, ids: &[&str]) -> Result<Vec<Option<Ordinal>>> {
        let Some(space) = self.space(app) else { return Ok(vec![None; ids.len()]) };
        let mut found: Vec<Option<Ordinal>> = ids.iter().map(|id| self.cache.get(space.number, id)).collect();
        let mut missing: Vec<usize> = (0..ids.len()).filter(|i| found[*i].is_none()).collect();
        // In the store's order neighbours share blocks: twice as fast as in any other.
        missing.sort_unstable_by_key(|i| ids[*i]);
        let (prefix, len, mut buffer) = (key::app(app), space.len(), Vec::new());
        let mut before: Option<usize> = None;
        for i in missing {
            found[i] = match before.filter(|b| ids[*b] == ids[i]) {
                Some(same) => found[same],
                None => self.lookup_stored(&prefix, ids[i], len, &mut buffer)?,
            };
            before = Some(i);
            if let Some(ordinal) = found[i] {
                self.cache.insert(space.number, ids[i], ordinal);
            }
        }
        Ok(found)
    }

    /// How many ordinals the app has given: all below this number have an id.
    pub fn len(&self, app: &AppId) -> u32 {
        self.space(app).map_or(0, |s| s.len())
    }

    /// The generation of the app's ordinals, 1 or more, or 0 where it has none yet; see the crate's documentation.
    pub fn generation(&self, app: &AppId) -> u64 {
        self.space(app).map_or(0, |s| s.generation())
    }

    /// Says that the app's ordinals, those given already too, are of this generation from now on: what was derived from an earlier one is
    /// not to be read with them. Durable on return. One that is not later than the present one changes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub fn renew(&self, app: &AppId, generation: u64) -> Result<()> {
        let space = self.space_or_new(app);
        let _writer = space.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if generation <= space.generation() {
            return Ok(());
        }
        self.store.apps.insert(key::app(app), key::app_value(space.len(), generation)).map_err(|e| self.failed(e))?;
        self.store.database.persist(PersistMode::SyncData).map_err(|e| self.failed(e))?;
        space.renew(generation);
        Ok(())
    }

    fn lookup_stored(&self, prefix: &[u8], id: &str, len: Ordinal, buffer: &mut Vec<u8>) -> Result<Option<Ordinal>> {
        if check_user_id(id).is_err() {
            return Ok(None);
        }
        key::join(buffer, prefix, id.as_bytes());
        let Some(value) = self.store.ordinals.get(&*buffer).map_err(|e| self.failed(e))? else { return Ok(None) };
        let ordinal = key::ordinal_of(&value).ok_or_else(|| self.corrupt("an ordinal has not four bytes"))?;
        // What is not below `len` is being written now.
        Ok((ordinal < len).then_some(ordinal))
    }

    /// `seen` is the number of ordinals before they were looked up in vain.
    fn assign_missing(&self, app: &AppId, ids: &[&str], seen: Ordinal, found: &mut [Option<Ordinal>]) -> Result<()> {
        let space = self.space_or_new(app);
        let _writer = space.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let prefix = key::app(app);
        let (start, mut buffer) = (space.len(), Vec::new());
        let mut given: HashMap<&str, Ordinal> = HashMap::new();
        let mut new: Vec<&str> = Vec::new();
        for (id, slot) in ids.iter().zip(found).filter(|(_, slot)| slot.is_none()) {
            if let Some(ordinal) = given.get(id) {
                *slot = Some(*ordinal);
                continue;
            }
            // Again, now that no one else writes, if another call gave some meanwhile.
            let stored = if start == seen { None } else { self.lookup_stored(&prefix, id, start, &mut buffer)? };
            let ordinal = match stored {
                Some(ordinal) => ordinal,
                None => {
                    let next = u32::try_from(new.len()).ok().and_then(|n| start.checked_add(n)).filter(|n| *n < Ordinal::MAX);
                    let Some(next) = next else { return Err(Error::Full { app: app.clone(), new: new.len() + 1 }) };
                    new.push(id);
                    next
                }
            };
            given.insert(id, ordinal);
            *slot = Some(ordinal);
        }
        self.write(&prefix, &space, &new)
    }

    /// Writes the pairs of `new` from the space's length on, waits for the disk, and publishes them.
    fn write(&self, prefix: &[u8], space: &Space, new: &[&str]) -> Result<()> {
        let Store { database, ordinals, ids, apps } = &self.store;
        let (mut next, mut buffer) = (space.len(), Vec::new());
        for chunk in new.chunks(BATCH_PAIRS) {
            let mut batch = OwnedWriteBatch::with_capacity(database.clone(), 2 * chunk.len() + 1).durability(None);
            let mut pairs: Vec<(&str, Ordinal)> = chunk.iter().copied().zip(next..).collect();
            for (id, ordinal) in &pairs {
                key::join(&mut buffer, prefix, &ordinal.to_be_bytes());
                batch.insert(ids, &*buffer, *id);
            }
            // The memtable takes keys in order faster than in any other.
            pairs.sort_unstable();
            for (id, ordinal) in pairs {
                key::join(&mut buffer, prefix, id.as_bytes());
                batch.insert(ordinals, &*buffer, ordinal.to_be_bytes());
            }
            // Below `Ordinal::MAX`, as every one of them is.
            next += chunk.len() as Ordinal;
            batch.insert(apps, prefix, key::app_value(next, space.generation()));
            batch.commit().map_err(|e| self.failed(e))?;
        }
        if !new.is_empty() {
            database.persist(PersistMode::SyncData).map_err(|e| self.failed(e))?;
            let start = space.len();
            space.publish(next);
            for (ordinal, id) in (start..).zip(new) {
                self.cache.insert(space.number, id, ordinal);
            }
        }
        Ok(())
    }

    /// The two keyspaces must end at the same ordinal, else files were lost or mixed.
    fn check_end(&self, app: &AppId, len: Ordinal) -> Result<()> {
        let last = self.store.ids.prefix(key::app(app)).next_back();
        let last = last.map(|entry| entry.key()).transpose().map_err(|e| self.failed(e))?;
        let end = last.and_then(|k| key::ordinal_of(&k)).map_or(0, |o| o.saturating_add(1));
        if end == len { Ok(()) } else { Err(self.corrupt(&format!("app {app} counts {len} ids and has {end}"))) }
    }

    fn space(&self, app: &AppId) -> Option<Arc<Space>> {
        self.spaces.read().unwrap_or_else(PoisonError::into_inner).get(app).cloned()
    }

    fn space_or_new(&self, app: &AppId) -> Arc<Space> {
        let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
        let number = spaces.len() as u32;
        Arc::clone(spaces.entry(app.clone()).or_insert_with(|| Arc::new(Space::new(number, 0, FIRST_GENERATION))))
    }

    pub(crate) fn failed(&self, error: fjall::Error) -> Error {
        Error::of_store(error, &self.path)
    }

    pub(crate) fn corrupt(&self, detail: &str) -> Error {
        Error::Corrupt { path: self.path.clone(), detail: detail.to_owned() }
    }
}

fn check(ids: &[&str]) -> Result<()> {
    for (position, id) in ids.iter().enumerate() {
        check_user_id(id).map_err(|reason| Error::UserId { position, reason })?;
    }
    Ok(())
}
