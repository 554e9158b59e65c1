//! Who is sent with a delivery: one that goes on, or a new one.

use super::record::{Cursor, Delivery, DeliveryState, Stored};
use super::sending::Sending;
use super::task::ActivationTask;
use crate::{Engine, Error, Result};
use taghouse_activate::{Column, Order};
use taghouse_catalog::Change;
use taghouse_crowd::{CrowdMembers, Permission, Permitted};
use taghouse_model::{AppId, Name};
use taghouse_rules::{ActivationDefinition, Definitions, SendMode};

/// The sets that a delivery is made of.
struct Sets {
    /// Who is sent.
    sent: CrowdMembers,
    /// Who entered; of a full delivery, everybody.
    entered: CrowdMembers,
    left: CrowdMembers,
}

/// Two texts of one destination are equal; a change of what is sent along makes another.
pub(crate) fn digest(activation: &ActivationDefinition) -> String {
    let ActivationDefinition { to, id, fields, .. } = activation;
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(format!("{to:?} {id} {fields:?}").as_bytes()))
}

impl ActivationTask {
    /// The delivery that goes on, or a new one: with its destination, ready to be sent to.
    pub(crate) async fn plan(&self, run: &str) -> Result<Sending> {
        let Self { engine, definitions, activation, .. } = self;
        let app = &definitions.app.id;
        // Who opted out before is known to be out.
        engine.index.position(app).await?;
        let mut stored = Stored::load(engine, app, &activation.name).await?;
        engine.crowds.sweep_sets(app, &prefix(&activation.name)).await?;
        let going_on = self.going_on(&stored).await?;
        let goes_on = going_on.is_some();
        let mut members = match going_on {
            Some(members) => members,
            None => self.begin(&mut stored, run).await?,
        };
        let Some(delivery) = stored.record.current.clone() else {
            return Err(Error::ActivationRecord {
                activation: activation.name.to_string(),
                detail: "it has no delivery".to_owned(),
            });
        };
        let mut target = engine.target(activation, self.order(&delivery))?;
        let mut cursor = delivery.cursor;
        let generation = members.version().generation;
        let is_renumbered = cursor.generation != generation;
        if goes_on {
            if is_renumbered {
                cursor = Cursor::start(generation);
            }
            // Who may not be sent any more since it began.
            members = permitted_of(engine, app, members, activation).await?;
        }
        let sets = self.sets(&stored, &delivery, members).await?;
        let tags: Vec<Name> = activation.fields.values().cloned().collect();
        let values = engine.crowds.values_of(app, &sets.sent, &tags).await?;
        let values = values.ok_or_else(|| renumbered(activation))?;
        match target.begin().await {
            Ok(true) => {}
            Ok(false) => cursor = Cursor::start(generation),
            Err(error) => {
                if matches!(error, taghouse_activate::Error::Lost { .. }) {
                    self.give_up(stored, delivery).await?;
                }
                return Err(error.into());
            }
        }
        let is_from_start = cursor == Cursor::start(generation);
        if let Some(current) = &mut stored.record.current {
            (current.state, current.run, current.error) =
                (DeliveryState::Running, run.to_owned(), None);
            (current.cursor, current.ended_ms) = (cursor, None);
            if is_from_start {
                (current.entered, current.left, current.failed) = (0, 0, 0);
                current.failed_bytes = 0;
            }
        }
        stored.save(engine, Vec::new()).await?;
        let Sets { sent, entered, left } = sets;
        Ok(Sending { stored, target, sent, entered, left, values })
    }

    pub(crate) fn order(&self, delivery: &Delivery) -> Order {
        let Self { definitions, activation, .. } = self;
        Order {
            app: definitions.app.id.clone(),
            activation: activation.name.clone(),
            crowd: delivery.crowd.clone(),
            version: delivery.version,
            number: delivery.number,
            since: delivery.since,
            id: activation.id.clone(),
            columns: columns(definitions, activation),
        }
    }

    /// The users of the delivery that did not end, if it is the one to be sent.
    async fn going_on(&self, stored: &Stored) -> Result<Option<CrowdMembers>> {
        let Self { engine, definitions, activation, .. } = self;
        let Some(current) = &stored.record.current else { return Ok(None) };
        if current.destination != digest(activation) || current.crowd != activation.crowd {
            return Ok(None);
        }
        let app = &definitions.app.id;
        if current.state != DeliveryState::Running {
            // It was given up: it goes on only if it is still what is wanted.
            let versions = engine.crowds.records(app).await?;
            let now = versions.get(activation.crowd.as_str()).map_or(0, |record| record.current);
            if current.version == 0 || now != current.version {
                return Ok(None);
            }
        }
        self.kept(&current.set).await
    }

    /// Begins a new delivery: the users are pinned, and nothing is sent.
    async fn begin(&self, stored: &mut Stored, run: &str) -> Result<CrowdMembers> {
        let Self { engine, definitions, activation, .. } = self;
        let app = &definitions.app.id;
        let mut changes = Vec::new();
        if let Some(current) = stored.record.current.take() {
            changes.extend(self.supersede(stored, current).await?);
        }
        let permission = permission(activation);
        let permitted =
            engine.crowds.permitted(app, activation.crowd.as_str(), &permission).await?;
        let Permitted { members, suppressed, without_consent } = permitted;
        let number = stored.record.number + 1;
        let generation = members.version().generation;
        let mut delivery = Delivery {
            number,
            run: run.to_owned(),
            crowd: activation.crowd.clone(),
            version: members.version().version,
            since: None,
            destination: digest(activation),
            set: format!("{}{number}", prefix(&activation.name)),
            state: DeliveryState::Running,
            started_ms: engine.clock.now_ms(),
            ended_ms: None,
            members: members.len(),
            suppressed,
            without_consent,
            entered: 0,
            left: 0,
            failed: 0,
            cursor: Cursor::start(generation),
            failed_bytes: 0,
            error: None,
        };
        delivery.since = self.base(stored, &delivery, generation).await?;
        // Users keep their ordinals until the set that has them is named.
        let _numbering = engine.crowds.numbering(app).await;
        changes.push(engine.crowds.keep_set(app, &delivery.set, &members).await?);
        stored.record.number = number;
        stored.record.current = Some(delivery);
        stored.save(engine, changes).await?;
        Ok(members)
    }

    /// The delivery that a difference can be made to.
    async fn base(
        &self,
        stored: &Stored,
        delivery: &Delivery,
        generation: u64,
    ) -> Result<Option<u64>> {
        let Self { engine, activation, .. } = self;
        let Some(held) = stored.record.held.as_ref().filter(|_| activation.send == SendMode::Delta)
        else {
            return Ok(None);
        };
        if held.destination != delivery.destination {
            return Ok(None);
        }
        // A set that nobody can read any more makes the delivery a full one.
        let unsure = stored.record.unsure.as_deref();
        for name in [held.set.as_str()].into_iter().chain(unsure) {
            let set = self.kept(name).await?;
            if set.is_none_or(|set| set.version().generation != generation) {
                return Ok(None);
            }
        }
        let mut target = engine.target(activation, self.order(delivery))?;
        Ok(target.holds(held.number).await?.then_some(held.number))
    }

    /// Gives up a delivery for a newer one. What a delta may have told the destination is told again.
    async fn supersede(&self, stored: &mut Stored, mut current: Delivery) -> Result<Vec<Change>> {
        let Self { engine, definitions, activation, .. } = self;
        let app = &definitions.app.id;
        let mut changes = Vec::new();
        let is_whole = match engine.target(activation, self.order(&current)) {
            Ok(target) => target.is_whole(),
            Err(_) => false,
        };
        if current.since.is_some() && !is_whole {
            changes.extend(self.doubt(stored, &current).await?);
        }
        changes.extend(engine.crowds.let_go_of_sets(app, [current.set.as_str()]).await?);
        current.state = DeliveryState::Superseded;
        current.ended_ms.get_or_insert(engine.clock.now_ms());
        stored.record.end(current);
        Ok(changes)
    }

    /// Gives up a delta to something that the destination does not hold: the next delivery is a full one.
    async fn give_up(&self, mut stored: Stored, mut delivery: Delivery) -> Result<()> {
        let Self { engine, definitions, .. } = self;
        let sets: Vec<&str> = stored.record.sets().collect();
        let changes = engine.crowds.let_go_of_sets(&definitions.app.id, sets).await?;
        delivery.state = DeliveryState::Superseded;
        delivery.ended_ms = Some(engine.clock.now_ms());
        (stored.record.held, stored.record.unsure, stored.record.current) = (None, None, None);
        stored.record.end(delivery);
        stored.save(engine, changes).await
    }

    /// Adds whom a delta was of to those of whom it is not known what the destination holds.
    async fn doubt(&self, stored: &mut Stored, current: &Delivery) -> Result<Vec<Change>> {
        let Self { engine, definitions, activation, .. } = self;
        let (app, crowds) = (&definitions.app.id, &engine.crowds);
        let held = match &stored.record.held {
            Some(held) => self.kept(&held.set).await?,
            None => None,
        };
        let sent = self.kept(&current.set).await?;
        let (Some(held), Some(sent)) = (held, sent) else {
            // Without them the next delivery is a full one.
            stored.record.held = None;
            return Ok(Vec::new());
        };
        let before = self.unsure(stored).await?;
        let told = match (sent.without(&held), held.without(&sent)) {
            (Some(entered), Some(left)) => entered.and_also(&left),
            _ => None,
        };
        let all = match (told, before) {
            (Some(told), Some(before)) => told.and_also(&before),
            (told, _) => told,
        };
        let Some(all) = all else {
            stored.record.held = None;
            return Ok(Vec::new());
        };
        let mut changes = Vec::new();
        if let Some(former) = stored.record.unsure.take() {
            changes.extend(crowds.let_go_of_sets(app, [former.as_str()]).await?);
        }
        let name = format!("{}{}.unsure", prefix(&activation.name), current.number);
        changes.push(crowds.keep_set(app, &name, &all).await?);
        stored.record.unsure = Some(name);
        Ok(changes)
    }

    async fn unsure(&self, stored: &Stored) -> Result<Option<CrowdMembers>> {
        match &stored.record.unsure {
            Some(name) => self.kept(name).await,
            None => Ok(None),
        }
    }

    /// A kept set; `None`: nobody can read it.
    async fn kept(&self, name: &str) -> Result<Option<CrowdMembers>> {
        match self.engine.crowds.kept_set(&self.definitions.app.id, name).await {
            Err(taghouse_crowd::Error::Corrupt { .. }) => Ok(None),
            set => Ok(set?),
        }
    }

    async fn sets(&self, stored: &Stored, delivery: &Delivery, sent: CrowdMembers) -> Result<Sets> {
        let renumbered = || renumbered(&self.activation);
        let Some(held) = stored.record.held.as_ref().filter(|_| delivery.since.is_some()) else {
            return Ok(Sets { entered: sent.clone(), left: sent.none(), sent });
        };
        let held = self.kept(&held.set).await?.ok_or_else(renumbered)?;
        let unsure = self.unsure(stored).await?;
        taghouse_disk::blocking::<_, Error>(move || {
            let unsure = unsure.unwrap_or_else(|| sent.none());
            let entered = sent.without(&held).zip(sent.among(&unsure));
            let entered = entered.and_then(|(new, again)| new.and_also(&again));
            let left = held.without(&sent).zip(unsure.without(&sent));
            let left = left.and_then(|(gone, again)| gone.and_also(&again));
            Ok(entered.zip(left).map(|(entered, left)| Sets { sent, entered, left }))
        })
        .await?
        .ok_or_else(renumbered)
    }
}

/// How the names of an activation's kept sets begin.
pub(crate) fn prefix(activation: &Name) -> String {
    format!("{activation}.")
}

fn permission(activation: &ActivationDefinition) -> Permission {
    Permission {
        unless: activation.unless.iter().cloned().collect(),
        consent: activation.consent.clone(),
    }
}

async fn permitted_of(
    engine: &Engine,
    app: &AppId,
    members: CrowdMembers,
    activation: &ActivationDefinition,
) -> Result<CrowdMembers> {
    let permitted = engine.crowds.permitted_of(app, members, &permission(activation)).await?;
    Ok(permitted.ok_or_else(|| renumbered(activation))?.members)
}

fn renumbered(activation: &ActivationDefinition) -> Error {
    taghouse_crowd::Error::Renumbered { crowd: activation.crowd.to_string() }.into()
}

fn columns(definitions: &Definitions, activation: &ActivationDefinition) -> Vec<Column> {
    let column = |(name, tag): (&String, &Name)| {
        let value_type = definitions.tag_type(tag.as_str())?;
        Some(Column { name: name.clone(), value_type })
    };
    activation.fields.iter().filter_map(column).collect()
}
