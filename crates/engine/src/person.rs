//! All that is kept of one user, line by line.

use crate::clock_text::local;
use crate::person_rows::{Kept, Rows};
use crate::{Engine, Error, Result};
use futures::StreamExt;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_rules::Definitions;
use taghouse_wire::{CrowdLine, EndLine, IdentityBody, TagLine, UserHead, UserLine, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

/// Pieces that wait for a reader.
const WAITING: usize = 2;

/// A piece of an export: whole lines.
pub type Piece = Result<Vec<u8>>;

impl Engine {
    /// All that is kept of the user whose id this is, as JSON lines. What calls have brought lands
    /// first. `None`: nothing is kept, for the id was never seen, or the user was deleted. What
    /// follows the first piece is read as it is taken; dropped, it ends.
    ///
    /// # Errors
    /// Of the landing, the lake and the index; later ones take the place of a piece.
    pub async fn export_user(
        self: &Arc<Self>,
        definitions: &Arc<Definitions>,
        id: &str,
    ) -> Result<Option<Pieces>> {
        let app = &definitions.app.id;
        self.land(app, &CancellationToken::new()).await?;
        let identity = self.identity(definitions, id).await?;
        let (sender, mut pieces) = channel(WAITING);
        let (engine, definitions) = (self.clone(), definitions.clone());
        self.background.spawn(async move {
            let mut out = Out { sender, head: None, lines: 0, left: false };
            let written = engine.write_user(&definitions, &identity, &mut out).await;
            if let Err(error) = written {
                out.sender.send(Err(error)).await.ok();
            }
        });
        match pieces.recv().await {
            None => Ok(None),
            Some(first) => Ok(Some(Pieces { first: Some(first?), rest: pieces })),
        }
    }

    async fn write_user(
        &self,
        definitions: &Arc<Definitions>,
        identity: &IdentityBody,
        out: &mut Out,
    ) -> Result<()> {
        let app = &definitions.app.id;
        let linked = identity.ids.iter().map(|linked| linked.id.clone());
        let ids: BTreeSet<String> = linked.chain([identity.user.clone()]).collect();
        let gone = self.gone(app, &ids).await?;
        let kept = Kept { ids, gone, zone: definitions.app.time_zone.clone() };
        out.head = Some(UserHead {
            user: identity.user.clone(),
            ids: identity.ids.clone(),
            exported_at: local(self.clock.now_ms(), &kept.zone),
        });
        for of in Rows::ALL {
            let Some(table) = self.lake.table(app, of.table()).await? else { continue };
            let columns = of.columns(&table);
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            for mut batches in table.scan(&columns).plan(1).await?.partitions() {
                while let Some(batch) = batches.next().await {
                    let found = of.lines(&batch?, &kept)?;
                    out.write(found.exists, found.lines).await?;
                    if out.left {
                        return Ok(());
                    }
                }
            }
        }
        let (tags, crowds) = self.standing(definitions, &identity.user, &kept.zone).await?;
        out.write(!tags.is_empty(), tags).await?;
        // Of an id that nothing came under there is nothing to say.
        if out.head.is_none() {
            out.write(false, crowds).await?;
            out.write(false, identity.log.iter().cloned().map(UserLine::Link).collect()).await?;
            out.end().await?;
        }
        Ok(())
    }

    /// The values of the user's tags, and the crowds that the user is in.
    async fn standing(
        &self,
        definitions: &Arc<Definitions>,
        user: &str,
        zone: &TimeZone,
    ) -> Result<(Vec<UserLine>, Vec<UserLine>)> {
        let app = &definitions.app.id;
        let values = match self.crowds.profile(app, user, None).await {
            Ok(values) => values,
            Err(
                taghouse_crowd::Error::NoTags { .. } | taghouse_crowd::Error::UnknownUser { .. },
            ) => {
                return Ok((Vec::new(), Vec::new()));
            }
            Err(error) => return Err(error.into()),
        };
        let is_named = |tag: &taghouse_crowd::TagValue| {
            definitions.tags.get(&tag.name).is_some_and(|tag| !tag.is_anonymous())
        };
        let line = |tag: taghouse_crowd::TagValue| {
            let (value, as_of) = (json(&tag.value), local(tag.as_of_ms, zone));
            UserLine::Tag(TagLine { tag: tag.name.to_string(), value, as_of })
        };
        let tags: Vec<UserLine> = values.into_iter().filter(is_named).map(line).collect();
        // One that was never computed answers nobody.
        let holding = self.crowds.crowds_of(definitions, user).await?;
        let line = |held: taghouse_crowd::Holds| {
            UserLine::Crowd(CrowdLine { crowd: held.crowd.to_string() })
        };
        let crowds = holding.crowds.into_iter().map(line).collect();
        Ok((tags, crowds))
    }
}

/// The pieces of an export.
#[derive(Debug)]
pub struct Pieces {
    first: Option<Vec<u8>>,
    rest: Receiver<Piece>,
}

impl Pieces {
    /// The next one; `None`: it is complete.
    pub async fn next(&mut self) -> Option<Piece> {
        match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => self.rest.recv().await,
        }
    }
}

/// Where lines go.
struct Out {
    sender: Sender<Piece>,
    /// The first line, until something is found.
    head: Option<UserHead>,
    lines: u64,
    /// Nobody takes lines any more.
    left: bool,
}

impl Out {
    /// `exists`: there is something of the user, be it without a line.
    async fn write(&mut self, exists: bool, lines: Vec<UserLine>) -> Result<()> {
        let mut piece = Vec::new();
        if (exists || !lines.is_empty())
            && let Some(head) = self.head.take()
        {
            self.put(&mut piece, &UserLine::User(head))?;
        }
        for line in &lines {
            self.put(&mut piece, line)?;
        }
        self.send(piece).await;
        Ok(())
    }

    async fn end(&mut self) -> Result<()> {
        let mut piece = Vec::new();
        let lines = self.lines;
        self.put(&mut piece, &UserLine::End(EndLine { lines }))?;
        self.send(piece).await;
        Ok(())
    }

    fn put(&mut self, piece: &mut Vec<u8>, line: &UserLine) -> Result<()> {
        serde_json::to_writer(&mut *piece, line).map_err(|e| Error::Export(e.to_string()))?;
        piece.push(b'\n');
        self.lines += 1;
        Ok(())
    }

    async fn send(&mut self, piece: Vec<u8>) {
        if !piece.is_empty() {
            self.left |= self.sender.send(Ok(piece)).await.is_err();
        }
    }
}
