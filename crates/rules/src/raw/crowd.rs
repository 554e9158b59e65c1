use super::link::RawLink;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A named set of users. Exactly one of `expression`, `ids`, `top`, `sample`, `lookalike`, `sql` and
/// `import` says who is in it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    title = "a crowd",
    extend("oneOf" = [
        {"required": ["expression"]}, {"required": ["ids"]}, {"required": ["top"]}, {"required": ["sample"]}, {"required": ["sql"]},
        {"required": ["lookalike"]}, {"required": ["import"]}
    ])
)]
pub(crate) struct RawCrowd {
    /// What this document defines.
    pub(crate) kind: CrowdKind,
    /// The crowd's name, unique among crowds: a letter or _, then letters, digits or _; 64 bytes
    /// at most.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"))]
    pub(crate) name: String,
    /// Free text for people; nothing depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// The category by which keys may be granted it: a lower-case letter, then lower-case letters,
    /// digits, - or _; 63 bytes at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,62}$"))]
    pub(crate) category: Option<String>,
    /// Labels of what it holds, such as personal, sensitive or no-export. They go on to all that is
    /// computed from it; the app's `access` says what they forbid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<String>,
    /// A condition over tags and other crowds, such as `spend_365d >= 5000 && !(refunds_90d >= 1)`.
    /// Operators: && || ! == != < <= > >=, in (…), between … and …, like 'a%', is set,
    /// crowd("other").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expression: Option<String>,
    /// The ids of its users, 1 to 10,000; any id of a user will do. Who is not known when the crowd
    /// is computed is not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10000))]
    pub(crate) ids: Option<Vec<String>>,
    /// The users with the largest or the smallest numbers of a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) top: Option<RawTop>,
    /// Some users, by chance. The same users are chosen each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sample: Option<RawSample>,
    /// Users who are like those of another crowd, by values of tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lookalike: Option<RawLookalike>,
    /// A read-only SELECT over the app's tables that gives the column user_id; productions run it.
    /// {as_of} stands for the as-of time. Events and attributes before that time are seen
    /// (`all_events` and `all_attributes` hold those of all times), and of tables of tags the rows
    /// of that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sql: Option<String>,
    /// Files of ids say who is in it: `import: {}`. It stays as the last file left it, whatever
    /// productions do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) import: Option<RawImport>,
    /// Whether the crowd is of the values that its tags have now, and not of those of the last
    /// production. Each tag in the expression must be live, too: `mode: stream` or `mode: both`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) live: bool,
    /// How versions come to answer. Without it each does when it is computed, and five are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) publish: Option<RawPublish>,
    /// How often it is computed besides productions, such as 30m or 1d; at least 1m. For crowds over
    /// live tags, whose values change in between. Crowds that are made of it follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh: Option<String>,
    /// A share of all users, such as 5%, who are not in the crowd, for comparison. Who they are
    /// follows from a hash of the user id and the crowd's name, so they stay the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) holdout: Option<String>,
    /// Ids of users who are in the crowd whatever its rule says, such as testers. Not of users who
    /// do not exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) always: Vec<String>,
    /// Ids of users who are not in the crowd whatever its rule says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) never: Vec<String>,
    /// Groups of its members that are treated differently, so that they can be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) split: Option<RawSplit>,
}

/// Groups of a crowd's members. In which group a member is follows from a hash of the user id and
/// the salt, so it stays the same.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a split")]
pub(crate) struct RawSplit {
    /// The groups, 2 to 20. Their shares come to 100% at most; whom they leave is in none.
    #[schemars(length(min = 2, max = 20))]
    pub(crate) arms: Vec<RawArm>,
    /// With another salt users come into other groups. Two crowds with one salt have the same users in
    /// the same shares. Default: the crowd's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub(crate) salt: Option<String>,
}

/// A group of a split.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "an arm")]
pub(crate) struct RawArm {
    /// Its name, unique in the split: a letter or _, then letters, digits or _; 64 bytes at most.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"))]
    pub(crate) name: String,
    /// Its share of the members, such as 50%.
    pub(crate) share: String,
}

/// What its files look like.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "imports of a crowd")]
pub(crate) struct RawImport {
    /// The column of the ids, by its name, or its number from 1. Without it the column is looked
    /// for in each file: one that is called `user_id` or the like, else the one with ids of users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub(crate) column: Option<String>,
    /// Where the server fetches the file itself. Each file that it finds there takes the place of the
    /// one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<RawLink>,
}

/// How versions of a crowd come to answer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "how versions of a crowd are published")]
pub(crate) struct RawPublish {
    /// How many versions are kept, 1 to 100, besides those that are pinned. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keep: Option<u32>,
    /// `required`: each version waits until somebody publishes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) approval: Option<RawApproval>,
    /// A version that fails a check waits until somebody publishes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checks: Option<RawChecks>,
    /// How the first version of a new rule comes to all users. Without it, at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rollout: Option<RawRollout>,
}

/// Who lets versions answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawApproval {
    /// Somebody publishes each.
    Required,
}

/// What a version must fulfil to answer when it is computed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "checks of a crowd's versions")]
pub(crate) struct RawChecks {
    /// Members at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) min_size: Option<u64>,
    /// Members at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_size: Option<u64>,
    /// How far its size may be from that of the version that answers, such as 20%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_change: Option<String>,
}

/// How a version comes to all users.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a rollout by stages")]
pub(crate) struct RawRollout {
    /// Shares of users, ascending, such as [1%, 10%, 50%]; all users come after the last.
    pub(crate) stages: Vec<String>,
    /// How long each stage lasts, such as 12h or 1d.
    pub(crate) every: String,
}

/// The kind of a crowd's document.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CrowdKind {
    /// A named set of users.
    Crowd,
}

/// The users with the largest or the smallest numbers of a tag: exactly `users` of them, or a
/// `share` of those who have a value. Of users with equal numbers at the edge, chance decides: the
/// same way each time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a ranking", extend("oneOf" = [{"required": ["users"]}, {"required": ["share"]}]))]
pub(crate) struct RawTop {
    /// A tag of numbers, dates or times. Who has no value is not in it.
    pub(crate) by: String,
    /// How many users; all, if there are fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub(crate) users: Option<i64>,
    /// Which share of those who have a value, rounded up to whole users, such as 10% or 0.5%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) share: Option<String>,
    /// Default: highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<RawOrder>,
    /// Only users for whom this condition over tags and other crowds holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) among: Option<String>,
}

/// Users who are like those of another crowd and not in it. Each value that the crowd's users have
/// more often than others speaks for a user, each that they have less often against: with the
/// logarithm of the ratio. Those with the largest sums are chosen, all above 0.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a lookalike", extend("oneOf" = [{"required": ["users"]}, {"required": ["share"]}]))]
pub(crate) struct RawLookalike {
    /// The crowd whose users they are like.
    pub(crate) of: String,
    /// The tags by whose values: 1 to 100. Numbers, dates and times are cut at the deciles of all users.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) tags: Vec<String>,
    /// How many users at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub(crate) users: Option<i64>,
    /// Which share of those who are not in the crowd at most, rounded up to whole users, such as 5%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) share: Option<String>,
    /// Only users for whom this condition over tags and other crowds holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) among: Option<String>,
}

/// Which numbers come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawOrder {
    /// The largest.
    Highest,
    /// The smallest.
    Lowest,
}

/// Some users, chosen by a hash of their id and the salt: the same ones each time, whoever else
/// there is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a sample", extend("oneOf" = [{"required": ["users"]}, {"required": ["share"]}]))]
pub(crate) struct RawSample {
    /// Exactly so many users, those with the smallest hashes; all, if there are fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub(crate) users: Option<i64>,
    /// Each user with this chance, such as 5% or 0.5%. A larger share has all users of a smaller
    /// one with the same salt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) share: Option<String>,
    /// Only users for whom this condition over tags and other crowds holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<String>,
    /// With another salt others are chosen; two crowds with the same salt choose the same users.
    /// Default: the crowd's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub(crate) salt: Option<String>,
}

impl RawCrowd {
    /// The condition that is all or a part of it, and where it stands.
    pub(crate) fn condition(&self) -> Option<(&'static str, &str)> {
        let of_top = || Some(("/top/among", self.top.as_ref()?.among.as_deref()?));
        let of_sample = || Some(("/sample/of", self.sample.as_ref()?.of.as_deref()?));
        let rule = self.expression.as_deref().map(|text| ("/expression", text));
        let of_like = || Some(("/lookalike/among", self.lookalike.as_ref()?.among.as_deref()?));
        rule.or_else(of_top).or_else(of_sample).or_else(of_like)
    }
}
