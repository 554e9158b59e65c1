//! In which arm of a crowd's split a user is.

use crate::adjust::filtered;
use crate::bucket::Buckets;
use crate::{CrowdMembers, Crowds, Error, Result};
use taghouse_disk::blocking;
use taghouse_model::{AppId, Name};
use taghouse_rules::{CrowdDefinition, CrowdSplit, did_you_mean};

/// What the buckets of a split are for.
const SPLIT: &str = "split";

/// The buckets by which a split tells its arms.
pub(crate) fn buckets(app: &AppId, split: &CrowdSplit) -> Buckets {
    Buckets::of(app, SPLIT, &split.salt)
}

/// The split of a crowd.
///
/// # Errors
/// [`Error::Argument`] for a crowd without one.
pub(crate) fn split_of(crowd: &CrowdDefinition) -> Result<&CrowdSplit> {
    crowd.split.as_ref().ok_or_else(|| {
        Error::Argument(format!(
            "the crowd {} is not split: give it arms, `split: {{ arms: [{{ name: control, share: 50% }}, …] }}`",
            crowd.name
        ))
    })
}

impl Crowds {
    /// The arm in which a member of the crowd is, by the id that they have now; `None`: in none, or the
    /// crowd is not split. Only members are asked about.
    pub async fn arm<'d>(
        &self,
        app: &AppId,
        crowd: &'d CrowdDefinition,
        user: &str,
    ) -> Option<&'d Name> {
        let split = crowd.split.as_ref()?;
        let user = self.user_of(app, user).await;
        let bucket = buckets(app, split).bucket(&user);
        split.arm_of(bucket).map(|arm| &arm.name)
    }

    /// Those of some members who are in an arm.
    ///
    /// # Errors
    /// [`Error::Argument`] for an arm that there is not; of the dictionary.
    pub async fn of_arm(
        &self,
        crowd: &CrowdDefinition,
        members: CrowdMembers,
        arm: &str,
    ) -> Result<CrowdMembers> {
        let split = split_of(crowd)?;
        if split.arm(arm).is_none() {
            let names = split.arms.iter().map(|arm| arm.name.as_str());
            let hint = did_you_mean(arm, names);
            return Err(Error::Argument(format!(
                "the crowd {} has no arm `{arm}`{hint}",
                crowd.name
            )));
        }
        let (split, arm) = (split.clone(), arm.to_owned());
        blocking(move || {
            let buckets = buckets(members.app(), &split);
            let is_in = |id: &str| {
                split.arm_of(buckets.bucket(id)).is_some_and(|own| own.name.as_str() == arm)
            };
            let set = filtered(members.dictionary(), members.set(), &is_in)?;
            Ok(members.only(set))
        })
        .await
    }
}
