//! What a production has to do with the index: the numbering of its users, and the publication.

use crate::producer::Producer;
use crate::roster::Roster;
use crate::scratch::ScratchFolder;
use crate::segments::NewSegment;
use crate::selection::Selection;
use crate::{Error, Result};
use std::sync::Arc;
use taghouse_disk::blocking;
use taghouse_identities::Mapping;
use taghouse_index::{Bitmap, Pin, Publication, TagPublication};
use taghouse_model::{AppId, Name, Ordinal, TimestampMs};
use taghouse_rules::Definitions;

/// What is to be seen in the index.
pub(crate) struct Release {
    /// Published tags that are not defined any more.
    pub(crate) gone: Vec<Name>,
    pub(crate) segments: Vec<NewSegment>,
    /// Holds the segments' files.
    pub(crate) folder: ScratchFolder,
    pub(crate) roster: Arc<Roster>,
    pub(crate) as_of_ms: TimestampMs,
    /// The position of the last live change that is in the segments.
    pub(crate) flushed_through: Option<u64>,
}

impl Producer {
    /// Gives the dictionary another generation if what is published is not of its ordinals: it was
    /// lost, or is older than the index. Gives the published tags that are not defined any
    /// more.
    pub(crate) async fn renumber(
        &self,
        app: &AppId,
        definitions: &Definitions,
        selection: &Selection<'_>,
    ) -> Result<Vec<Name>> {
        let published = match self.index.published(app).await {
            Ok(Some(published)) => published,
            Ok(None) => return Ok(Vec::new()),
            // What was published is lost. All users and tags under another generation need nothing
            // of it.
            Err(error @ taghouse_index::Error::Corrupt { .. }) if selection.complete => {
                let (dictionary, owner) = (self.dictionary.clone(), app.clone());
                let Some(generation) = self.index.generation(app).await? else {
                    return Err(error.into());
                };
                tracing::warn!(%app, %error, "the index is made again with the users renumbered");
                if dictionary.generation(app) <= generation {
                    blocking::<_, Error>(move || Ok(dictionary.renew(&owner, generation + 1)?))
                        .await?;
                }
                return Ok(Vec::new());
            }
            Err(error) => return Err(error.into()),
        };
        let generation = self.dictionary.generation(app);
        let same = generation == published.generation
            && published.users <= u64::from(self.dictionary.len(app));
        if !same && !selection.complete {
            return Err(Error::Renumbered(app.clone()));
        }
        if !same && generation <= published.generation {
            tracing::warn!(%app, "the index was made with another dictionary: the users are renumbered");
            let (dictionary, owner) = (self.dictionary.clone(), app.clone());
            blocking::<_, Error>(move || Ok(dictionary.renew(&owner, published.generation + 1)?))
                .await?;
        }
        let defined = |name: &Name| definitions.tags.contains_key(name);
        Ok(published.tags.into_iter().filter(|name| selection.complete && !defined(name)).collect())
    }

    /// The position of the last live change, from which on the log keeps what is changed; `None`
    /// without live changes.
    pub(crate) async fn pin(&self, app: &AppId, selection: &Selection<'_>) -> Result<Option<Pin>> {
        match self.index.pin(app).await {
            Ok(pin) => Ok(Some(pin)),
            Err(taghouse_index::Error::NoLog) => Ok(None),
            // Of a lost index nothing is subsumed: the log begins again with the next generation.
            Err(taghouse_index::Error::Corrupt { .. }) if selection.complete => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes users away whose id turned out to be another's: their rows count as that one's.
    async fn retire(&self, app: &AppId, mapping: &Mapping) -> Result<()> {
        if mapping.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = mapping.links_by_id().map(|(id, _)| id.to_owned()).collect();
        let (dictionary, owner) = (self.dictionary.clone(), app.clone());
        let ordinals: Vec<Ordinal> = blocking(move || {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            Ok::<_, Error>(dictionary.lookup(&owner, &ids)?.into_iter().flatten().collect())
        })
        .await?;
        if ordinals.is_empty() {
            return Ok(());
        }
        let generation = self.dictionary.generation(app);
        match self.index.delete_users(app, generation, &ordinals).await {
            // Without live changes the index takes nobody away: they go when it is made again.
            Err(taghouse_index::Error::NoLog) => return Ok(()),
            outcome => outcome?,
        };
        let (dictionary, owner) = (self.dictionary.clone(), app.clone());
        blocking(move || Ok::<_, Error>(dictionary.delete(&owner, &ordinals).map(drop)?)).await
    }

    /// Publishes, and takes those away who are no users of their own; gives the index's new
    /// revision.
    pub(crate) async fn publish(
        &self,
        app: &AppId,
        release: Release,
        mapping: &Mapping,
    ) -> Result<u64> {
        let Release { gone, segments, folder, roster, as_of_ms, flushed_through } = release;
        let stored = self.catalog.definitions(app).await.map_err(taghouse_index::Error::from)?;
        let body = |name: &Name| {
            stored
                .iter()
                .find(|d| d.kind == "tag" && d.name == name.as_str())
                .map(|d| d.body.clone())
                .unwrap_or_default()
        };
        let tags =
            segments.into_iter().map(|NewSegment { name, value_type, source }| TagPublication {
                definition: body(&name),
                name,
                value_type,
                as_of_ms,
                segment: source,
                flushed_through,
            });
        let users: Bitmap = roster.ordinals.iter().copied().collect();
        let publication = Publication {
            generation: self.dictionary.generation(app),
            users,
            tags: tags.collect(),
            drop: gone,
        };
        let revision = self.index.publish(app, publication, Vec::new()).await?;
        blocking::<_, Error>(move || {
            drop(folder);
            Ok(())
        })
        .await?;
        self.retire(app, mapping).await?;
        Ok(revision)
    }
}
