//! What a definition says of single users: who is kept out for comparison, and who is in a crowd or
//! not whatever its rule says.

use crate::bucket::Buckets;
use crate::{Crowds, Result};
use taghouse_bitmap::Bitmap;
use taghouse_dictionary::View;
use taghouse_disk::blocking;
use taghouse_model::{AppId, Ordinal};
use taghouse_rules::{CrowdDefinition, CrowdPolicy, Share};
use xxhash_rust::xxh3::Xxh3;

/// What the buckets of a holdout are for.
const HOLDOUT: &str = "holdout";

/// What a definition says of one user, whatever the rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exception {
    /// The user is named under `never`, and is not in the crowd.
    Never,
    /// The user is named under `always`, and is in it.
    Always,
    /// The user is of the holdout, and is not in it.
    Holdout,
}

impl Exception {
    /// Whether such a user is in the crowd.
    pub fn is_in(self) -> bool {
        self == Self::Always
    }
}

/// What is changed of the users whom a rule gives.
pub(crate) struct Adjustments {
    holdout: Share,
    always: Vec<String>,
    never: Vec<String>,
}

impl Crowds {
    /// What a definition says of single users, by the ids that they have now; `None`: nothing.
    pub(crate) async fn adjustments(
        &self,
        app: &AppId,
        crowd: &CrowdDefinition,
    ) -> Option<Adjustments> {
        let policy = &crowd.policy;
        if !policy.adjusts() {
            return None;
        }
        let (mut always, mut never) = (Vec::new(), Vec::new());
        for (ids, own) in [(&policy.always, &mut always), (&policy.never, &mut never)] {
            for id in ids {
                own.push(self.user_of(app, id).await.into_owned());
            }
        }
        Some(Adjustments { holdout: policy.holdout, always, never })
    }

    /// What a definition says of a user who exists, by the id that they have now. The order is that in
    /// which adjustments are made, the last first.
    pub(crate) async fn exception(
        &self,
        app: &AppId,
        crowd: &CrowdDefinition,
        user: &str,
    ) -> Option<Exception> {
        let Adjustments { holdout, always, never } = self.adjustments(app, crowd).await?;
        let user = self.user_of(app, user).await;
        let names = |ids: &[String]| ids.iter().any(|id| *id == *user);
        if names(&never) {
            return Some(Exception::Never);
        }
        if names(&always) {
            return Some(Exception::Always);
        }
        let buckets = Buckets::of(app, HOLDOUT, crowd.name.as_str());
        buckets.holds(holdout, &user).then_some(Exception::Holdout)
    }

    /// A rule's users with the adjustments made. Somebody who is just being deleted may be among
    /// those who are named.
    pub(crate) async fn adjusted(
        &self,
        app: &AppId,
        crowd: &str,
        dictionary: View,
        adjustments: Adjustments,
        users: Bitmap,
    ) -> Result<Bitmap> {
        let buckets = Buckets::of(app, HOLDOUT, crowd);
        blocking(move || adjusted(&buckets, &dictionary, &adjustments, users)).await
    }
}

fn adjusted(
    buckets: &Buckets,
    dictionary: &View,
    adjustments: &Adjustments,
    users: Bitmap,
) -> Result<Bitmap> {
    let Adjustments { holdout, always, never } = adjustments;
    let mut left = match *holdout {
        Share::NOBODY => users,
        share => {
            let kept = |id: &str| !buckets.holds(share, id);
            filtered(dictionary, &users, &kept)?
        }
    };
    let named = |ids: &[String]| -> Result<Bitmap> {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        Ok(dictionary.lookup(&ids)?.into_iter().flatten().collect())
    };
    left = left.or(&named(always)?);
    Ok(left.and_not(&named(never)?))
}

/// The users whose ids the condition holds for. Whoever was deleted since has no id, and is left out.
pub(crate) fn filtered(
    dictionary: &View,
    users: &Bitmap,
    holds: &dyn Fn(&str) -> bool,
) -> Result<Bitmap> {
    let mut kept: Vec<Ordinal> = Vec::new();
    for found in dictionary.resolve_sorted(users.iter()) {
        let (ordinal, id) = found?;
        if holds(&id) {
            kept.push(ordinal);
        }
    }
    Ok(Bitmap::from_sorted(&kept))
}

/// A digest of what a policy says of single users; 0 if it says nothing.
pub(crate) fn digest(policy: &CrowdPolicy) -> u64 {
    if !policy.adjusts() {
        return 0;
    }
    let mut hash = Xxh3::new();
    hash.update(&policy.holdout.parts().to_le_bytes());
    for ids in [&policy.always, &policy.never] {
        hash.update(&(ids.len() as u64).to_le_bytes());
        for id in ids {
            hash.update(&(id.len() as u64).to_le_bytes());
            hash.update(id.as_bytes());
        }
    }
    hash.digest().max(1)
}
