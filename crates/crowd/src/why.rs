//! Why a user is in a crowd, or is not: the crowd's rule part by part, with the values that decide
//! each.

use crate::adjust::Exception;
use crate::leaves::OtherCrowds;
use crate::live::OnSnapshot;
use crate::{CrowdVersion, Crowds, Result};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_disk::blocking;
use taghouse_index::Snapshot;
use taghouse_model::{Name, Ordinal, TimestampMs, Value, ValueType};
use taghouse_rules::{CrowdCondition, CrowdDefinition, Definitions, Predicate};

/// A judgment and its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Why {
    /// Whether the user is in the crowd: what a judgment says.
    pub in_crowd: bool,
    /// The version that says so; `None` of a live crowd, which has none.
    pub version: Option<CrowdVersion>,
    /// The user was never seen, and so is in no crowd.
    pub unknown_user: bool,
    /// How long ago the catalog last said that this is the current version, in ms.
    pub age_ms: u64,
    /// What the definition says of this user, whatever the rule says.
    pub exception: Option<Exception>,
    /// The rule as it is defined, evaluated now; `None` for a user never seen, and of a crowd that is
    /// made in another way.
    pub rule: Option<Reason>,
}

/// A part of a rule, and whether it holds for the user.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// What it says, in the crowd language.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
    /// What it is made of.
    pub part: Part,
}

/// What a part of a rule is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// All of these must hold.
    And(Vec<Reason>),
    /// One of these must hold.
    Or(Vec<Reason>),
    /// This must not hold.
    Not(Box<Reason>),
    /// A condition, and what it asks.
    Condition {
        /// The tags.
        tags: Vec<AskedTag>,
        /// The crowds.
        crowds: Vec<AskedCrowd>,
    },
}

/// A tag that a condition asks, and the user's value.
#[derive(Debug, Clone, PartialEq)]
pub struct AskedTag {
    /// Name of the tag.
    pub tag: Name,
    /// The value; `None`: the user has none.
    pub value: Option<Value>,
    /// The time up to which it was computed.
    pub as_of_ms: TimestampMs,
}

/// A crowd that a condition asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedCrowd {
    /// Name of the crowd.
    pub crowd: String,
    /// Whether the user is in it.
    pub in_crowd: bool,
    /// The version that says so; 0 of a live one.
    pub version: u64,
    /// Whether it is live.
    pub live: bool,
}

/// All that a rule asks of one user.
struct Facts {
    snapshot: Arc<Snapshot>,
    /// The instant that dates relative to now are held against.
    now_ms: TimestampMs,
    zone: TimeZone,
    tags: BTreeMap<String, AskedTag>,
    crowds: BTreeMap<String, AskedCrowd>,
}

/// The judgment of a version.
struct OfVersion {
    in_crowd: bool,
    version: CrowdVersion,
    unknown_user: bool,
}

impl Crowds {
    /// Why a user is in a crowd, or is not. The judgment is the one of the current version; the
    /// rule is evaluated now, and may say otherwise.
    ///
    /// # Errors
    /// As [`Crowds::judge`]; [`Error::Rules`](crate::Error::Rules) where the rule does not fit the tags in the index.
    pub async fn why(
        &self,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
        user: &str,
    ) -> Result<Why> {
        let app = &definitions.app.id;
        let of_version = match self.live_crowd(app, crowd.name.as_str()) {
            Some(_) => None,
            None => Some(self.of_version(definitions, crowd, user).await?),
        };
        let rule = match (crowd.rule(), self.on_snapshot(app, user).await?) {
            (Some(_), Some(OnSnapshot { snapshot, ordinal: Some(ordinal), is_deleted: false })) => {
                self.reason(definitions, crowd, user, snapshot, ordinal).await?
            }
            // Of what is not made by a rule, the version says it all.
            _ => None,
        };
        let age_ms = self.age_ms(&self.state(app));
        let is_known = of_version.as_ref().is_some_and(|judged| !judged.unknown_user);
        let exception = match is_known {
            true => self.exception(app, crowd, user).await,
            false => None,
        };
        Ok(match of_version {
            Some(OfVersion { in_crowd, version, unknown_user }) => {
                Why { in_crowd, version: Some(version), unknown_user, age_ms, exception, rule }
            }
            None => Why {
                in_crowd: rule.as_ref().is_some_and(|rule| rule.holds),
                version: None,
                unknown_user: rule.is_none(),
                age_ms: 0,
                exception: None,
                rule,
            },
        })
    }

    async fn of_version(
        &self,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
        user: &str,
    ) -> Result<OfVersion> {
        let app = &definitions.app.id;
        let asked = self.current(app, crowd.name.as_str()).await?;
        let ordinal = asked.dictionary.ordinal(&self.user_of(app, user).await)?;
        let in_crowd = ordinal.map_or(Ok(false), |ordinal| asked.contains(ordinal))?;
        let version = asked.known.version.clone();
        Ok(OfVersion { in_crowd, version, unknown_user: ordinal.is_none() })
    }

    /// The rule, if there is one, for a user who exists.
    async fn reason(
        &self,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
        user: &str,
        snapshot: Arc<Snapshot>,
        ordinal: Ordinal,
    ) -> Result<Option<Reason>> {
        let Some(CrowdCondition { written, checked }) = crowd.rule().cloned() else {
            return Ok(None);
        };
        let app = &definitions.app.id;
        let mut others = OtherCrowds::default();
        let mut crowds = BTreeMap::new();
        for name in checked.crowds() {
            let judged = match self.live_crowd(app, name) {
                Some(live) => {
                    others.widen(live.as_of_times(&snapshot));
                    self.judge_live(app, user, &live).await?
                }
                None => {
                    let judged = self.judge(app, user, name).await?;
                    let (_, known) = self.known(app, name).await?;
                    others.widen(known.current()?.version.as_of());
                    judged
                }
            };
            let live = self.live_crowd(app, name).is_some();
            let (in_crowd, version) = (judged.in_crowd, judged.version);
            let asked = AskedCrowd { crowd: name.to_owned(), in_crowd, version, live };
            crowds.insert(name.to_owned(), asked);
        }
        let as_of = others.as_of(&checked, &snapshot);
        let now_ms = match crowd.is_live {
            true => self.clock.now_ms(),
            false => self.now_of(&checked, &as_of, definitions),
        };
        let zone = definitions.app.time_zone.clone();
        blocking(move || {
            let tags = asked_tags(&checked, &snapshot, ordinal)?;
            Facts { snapshot, now_ms, zone, tags, crowds }.reason(&written).map(Some)
        })
        .await
    }
}

/// The user's values of the tags that a rule names. Tags that the index does not have are left out.
fn asked_tags(
    rule: &Predicate<Value>,
    snapshot: &Snapshot,
    ordinal: Ordinal,
) -> Result<BTreeMap<String, AskedTag>> {
    let mut tags = BTreeMap::new();
    for name in rule.names() {
        let (Some(info), Some(values)) = (snapshot.info(name), snapshot.tag(name)?) else {
            continue;
        };
        let (tag, value) = (info.name.clone(), values.value_of(ordinal)?);
        tags.insert(name.to_owned(), AskedTag { tag, value, as_of_ms: info.as_of_ms });
    }
    Ok(tags)
}

impl Facts {
    fn reason(&self, written: &Predicate) -> Result<Reason> {
        let all = |operands: &[Predicate]| -> Result<Vec<Reason>> {
            operands.iter().map(|operand| self.reason(operand)).collect()
        };
        let (holds, part) = match written {
            Predicate::And(operands) => {
                let parts = all(operands)?;
                (parts.iter().all(|part| part.holds), Part::And(parts))
            }
            Predicate::Or(operands) => {
                let parts = all(operands)?;
                (parts.iter().any(|part| part.holds), Part::Or(parts))
            }
            Predicate::Not(inner) => {
                let part = self.reason(inner)?;
                (!part.holds, Part::Not(Box::new(part)))
            }
            condition => self.condition(condition)?,
        };
        Ok(Reason { text: written.to_string(), holds, part })
    }

    fn condition(&self, written: &Predicate) -> Result<(bool, Part)> {
        let types = |name: &str| -> Option<ValueType> {
            self.snapshot.info(name).map(|tag| tag.value_type)
        };
        let checked = written
            .check(&types, &|_| true, &self.zone)
            .map_err(taghouse_rules::Error::from)?
            .as_of(self.now_ms, &self.zone);
        let values = |name: &str| match name.strip_prefix("crowd:") {
            Some(crowd) => self.crowds.get(crowd).map(|asked| Value::Bool(asked.in_crowd)),
            None => self.tags.get(name)?.value.clone(),
        };
        let tags = checked.names().into_iter().filter_map(|name| self.tags.get(name).cloned());
        let crowds = checked.crowds().into_iter().filter_map(|name| self.crowds.get(name).cloned());
        let part = Part::Condition { tags: tags.collect(), crowds: crowds.collect() };
        Ok((checked.matches(&values), part))
    }
}
