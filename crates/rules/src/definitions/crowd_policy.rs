//! What a crowd says of its versions, checked.

use super::Errors;
use super::events::duration;
use crate::raw::crowd::{RawApproval, RawCrowd, RawPublish, RawRollout, RawSplit};
use crate::{
    Arm, CrowdChecks, CrowdPolicy, CrowdSplit, Document, LEAST_REFRESH_MS, MAX_KEPT_VERSIONS,
    MAX_OVERRIDES, RolloutPlan, Share,
};
use taghouse_model::Name;

/// Arms of one split.
const MAX_ARMS: usize = 20;

/// The longest salt.
const MAX_SALT_BYTES: usize = 128;

/// Stages of one plan.
const MAX_STAGES: usize = 20;

/// The policy of a crowd; what is wrong with it is an error, and left out.
pub(super) fn policy(document: &Document, raw: &RawCrowd, errors: &mut Errors) -> CrowdPolicy {
    let mut reader = Reader { document, errors };
    if raw.live {
        reader.refuse_for_live(raw);
        return CrowdPolicy::default();
    }
    let mut policy = match &raw.publish {
        Some(publish) => reader.publish(publish),
        None => CrowdPolicy::default(),
    };
    policy.refresh_every_ms = reader.refresh(raw.refresh.as_deref());
    policy.holdout = reader.share("/holdout", raw.holdout.as_deref()).unwrap_or_default();
    reader.overrides(raw);
    policy.always = raw.always.iter().cloned().collect();
    policy.never = raw.never.iter().cloned().collect();
    policy
}

/// The split of a crowd; what is wrong with it is an error, and left out.
pub(super) fn split(
    document: &Document,
    raw: &RawCrowd,
    errors: &mut Errors,
) -> Option<CrowdSplit> {
    let split = raw.split.as_ref()?;
    let salt = split.salt.clone().unwrap_or_else(|| raw.name.clone());
    Reader { document, errors }.split(split, salt)
}

struct Reader<'a> {
    document: &'a Document,
    errors: &'a mut Errors,
}

impl Reader<'_> {
    fn error(&mut self, pointer: &str, message: impl Into<String>) {
        self.errors.push(self.document.error(pointer, message));
    }

    fn refuse_for_live(&mut self, raw: &RawCrowd) {
        let given = [
            ("publish", raw.publish.is_some()),
            ("refresh", raw.refresh.is_some()),
            ("holdout", raw.holdout.is_some()),
            ("always", !raw.always.is_empty()),
            ("never", !raw.never.is_empty()),
        ];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            self.error(
                &format!("/{key}"),
                format!("a live crowd has no versions: leave `{key}` out, or `live`"),
            );
        }
    }

    fn share(&mut self, pointer: &str, text: Option<&str>) -> Option<Share> {
        match Share::parse(text?) {
            Ok(share) => Some(share),
            Err(wrong) => {
                self.error(pointer, wrong);
                None
            }
        }
    }

    fn refresh(&mut self, text: Option<&str>) -> Option<i64> {
        match duration(text?) {
            Ok(every_ms) if every_ms >= LEAST_REFRESH_MS => Some(every_ms),
            Ok(_) => {
                self.error("/refresh", "it is computed once a minute at most: write 1m or more");
                None
            }
            Err(wrong) => {
                self.error("/refresh", wrong);
                None
            }
        }
    }

    fn publish(&mut self, raw: &RawPublish) -> CrowdPolicy {
        let mut policy = CrowdPolicy::default();
        match raw.keep {
            Some(keep @ 1..=MAX_KEPT_VERSIONS) => policy.keep = keep,
            Some(keep) => self.error(
                "/publish/keep",
                format!("{keep} versions cannot be kept: write 1 to {MAX_KEPT_VERSIONS}"),
            ),
            None => {}
        }
        policy.needs_approval = raw.approval == Some(RawApproval::Required);
        if let Some(checks) = &raw.checks {
            let max_change = self.share("/publish/checks/max_change", checks.max_change.as_deref());
            policy.checks =
                CrowdChecks { min_size: checks.min_size, max_size: checks.max_size, max_change };
            if let (Some(least), Some(most)) = (checks.min_size, checks.max_size)
                && least > most
            {
                self.error(
                    "/publish/checks/max_size",
                    format!("no size is both {least} or more and {most} or less"),
                );
            }
        }
        policy.rollout = raw.rollout.as_ref().map(|rollout| self.rollout(rollout));
        policy
    }

    fn rollout(&mut self, raw: &RawRollout) -> RolloutPlan {
        let at = "/publish/rollout";
        let mut stages: Vec<Share> = Vec::new();
        for (number, text) in raw.stages.iter().enumerate() {
            let pointer = format!("{at}/stages/{number}");
            let Some(share) = self.share(&pointer, Some(text)) else { continue };
            if share == Share::NOBODY || share == Share::EVERYBODY {
                self.error(&pointer, "a stage is more than 0% and less than 100%, which is last");
            } else if stages.last().is_some_and(|before| *before >= share) {
                self.error(&pointer, "each stage is larger than the one before");
            } else {
                stages.push(share);
            }
        }
        if raw.stages.is_empty() || raw.stages.len() > MAX_STAGES {
            self.error(&format!("{at}/stages"), format!("write 1 to {MAX_STAGES} stages"));
        }
        let every_ms = match duration(&raw.every) {
            Ok(every_ms) => every_ms,
            Err(wrong) => {
                self.error(&format!("{at}/every"), wrong);
                0
            }
        };
        RolloutPlan { stages, every_ms }
    }

    fn split(&mut self, raw: &RawSplit, salt: String) -> Option<CrowdSplit> {
        let before = self.errors.len();
        if !(2..=MAX_ARMS).contains(&raw.arms.len()) {
            let message = format!("a split has 2 to {MAX_ARMS} arms, not {}", raw.arms.len());
            self.error("/split/arms", message);
        }
        if !(1..=MAX_SALT_BYTES).contains(&salt.len()) {
            let message = format!("`salt` has 1 to {MAX_SALT_BYTES} bytes, not {}", salt.len());
            self.error("/split/salt", message);
        }
        let mut arms: Vec<Arm> = Vec::new();
        for (number, arm) in raw.arms.iter().enumerate() {
            let at = format!("/split/arms/{number}");
            let share = self.share(&format!("{at}/share"), Some(&arm.share));
            if share == Some(Share::NOBODY) {
                self.error(&format!("{at}/share"), "an arm has more than 0% of the members");
            }
            match Name::new(&arm.name) {
                Err(wrong) => self.error(&format!("{at}/name"), wrong.to_string()),
                Ok(name) if arms.iter().any(|known| known.name == name) => {
                    self.error(&format!("{at}/name"), format!("the arm `{name}` is there twice"));
                }
                Ok(name) => arms.push(Arm { name, share: share.unwrap_or_default() }),
            }
        }
        let parts: u32 = arms.iter().map(|arm| u32::from(arm.share.parts())).sum();
        if parts > u32::from(Share::EVERYBODY.parts()) {
            let message =
                format!("the shares come to {}%, more than 100%", f64::from(parts) / 100.0);
            self.error("/split/arms", message);
        }
        (self.errors.len() == before).then_some(CrowdSplit { salt, arms })
    }

    fn overrides(&mut self, raw: &RawCrowd) {
        for (key, ids) in [("always", &raw.always), ("never", &raw.never)] {
            if ids.len() > MAX_OVERRIDES {
                let count = ids.len();
                self.error(
                    &format!("/{key}"),
                    format!("{count} ids are named: {MAX_OVERRIDES} may be"),
                );
            }
            for (number, _) in ids.iter().enumerate().filter(|(_, id)| id.is_empty()) {
                self.error(&format!("/{key}/{number}"), "an id is not empty");
            }
        }
        let both = raw.never.iter().enumerate().find(|(_, id)| raw.always.contains(id));
        if let Some((number, id)) = both {
            self.error(
                &format!("/never/{number}"),
                format!("\"{id}\" is under `always`, too: leave it out of one"),
            );
        }
    }
}
