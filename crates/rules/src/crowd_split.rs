use crate::Share;
use taghouse_model::Name;

/// The members of a crowd in groups that are treated differently, so that the groups can be
/// compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrowdSplit {
    /// With another salt, users come into other arms.
    pub salt: String,
    /// At least two, whose shares come to 100% at most. Whom they leave is in none.
    pub arms: Vec<Arm>,
}

/// One of the groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm {
    /// Its name, unique in its split.
    pub name: Name,
    /// Its share of the members, more than 0%.
    pub share: Share,
}

impl CrowdSplit {
    /// The arm of a bucket, 0 to 9,999: the arms take the buckets in the order in which they are
    /// written.
    pub fn arm_of(&self, bucket: u16) -> Option<&Arm> {
        let mut end = 0_u16;
        self.arms.iter().find(|arm| {
            end = end.saturating_add(arm.share.parts());
            bucket < end
        })
    }

    /// An arm by its name.
    pub fn arm(&self, name: &str) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.name.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_take_the_buckets_in_order_and_leave_the_rest() {
        let arm = |name: &str, parts| Arm {
            name: Name::new(name).unwrap(),
            share: Share::of_10_000(parts).unwrap(),
        };
        let arms = vec![arm("control", 5000), arm("blue", 2500), arm("red", 1000)];
        let split = CrowdSplit { salt: "s".to_owned(), arms };
        for (bucket, name) in [
            (0, Some("control")),
            (4999, Some("control")),
            (5000, Some("blue")),
            (7499, Some("blue")),
            (7500, Some("red")),
            (8499, Some("red")),
            (8500, None),
            (9999, None),
        ] {
            assert_eq!(split.arm_of(bucket).map(|arm| arm.name.as_str()), name, "{bucket}");
        }
    }
}
