//! What the group `crowd` measures on, as `bench/crowd_data.py` writes it: sets of users drawn by
//! one formula, and expressions over them.

use anyhow::{Context, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The file that `crowd_data.write` makes.
#[derive(Deserialize)]
pub(crate) struct Spec {
    pub(crate) users: u32,
    /// Ranks of the rows and of the columns of the overlap matrix.
    pub(crate) overlap_rows: Vec<usize>,
    pub(crate) overlap_columns: Vec<usize>,
    pub(crate) range_bits: u32,
    pub(crate) range_salt: u64,
    /// Both bounds included.
    pub(crate) range: (i64, i64),
    pub(crate) range_crowd: Set,
    pub(crate) nested: Named,
    pub(crate) dense5: Named,
    pub(crate) scenario: Scenario,
}

/// Sets by name and expressions over their names.
#[derive(Deserialize)]
pub(crate) struct Named {
    pub(crate) sets: BTreeMap<String, Set>,
    pub(crate) trees: Vec<Tree>,
}

/// Tags by rank, from 0, and expressions over their ranks.
#[derive(Deserialize)]
pub(crate) struct Scenario {
    pub(crate) tags: Vec<Set>,
    pub(crate) trees: Vec<Tree>,
}

/// `runs` runs of `run` consecutive users within the users `first .. first + span`: run i at a
/// random place of the i-th of `runs` equal parts. `bench/crowd_data.py` says the formula.
#[derive(Deserialize, Clone, Copy)]
#[serde(from = "(u64, u64, u64, u64, u64)")]
pub(crate) struct Set {
    salt: u64,
    first: u64,
    span: u64,
    runs: u64,
    run: u64,
}

impl From<(u64, u64, u64, u64, u64)> for Set {
    fn from((salt, first, span, runs, run): (u64, u64, u64, u64, u64)) -> Self {
        Self { salt, first, span, runs, run }
    }
}

impl Set {
    pub(crate) fn len(&self) -> u64 {
        self.runs * self.run
    }

    /// The users, ascending.
    pub(crate) fn users(self) -> impl Iterator<Item = u32> {
        let low = move |i: u64| i * self.span / self.runs;
        (0..self.runs).flat_map(move |i| {
            let width = low(i + 1) - low(i) - (self.run - 1);
            let start = self.first + low(i) + mix(i + (self.salt << 32)) % width;
            (start..start + self.run).map(|user| user as u32)
        })
    }
}

/// ClickHouse's intHash64.
pub(crate) fn mix(key: u64) -> u64 {
    let mut x = key ^ 0x4CF2_D2BA_AE6D_A887;
    for factor in [0xFF51_AFD7_ED55_8CCD, 0xC4CE_B9FE_1A85_EC53] {
        x = (x ^ (x >> 33)).wrapping_mul(factor);
    }
    x ^ (x >> 33)
}

/// A set's name or rank, or `["and", …]`, `["or", …]`, `["not", …]` of such.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Tree {
    Name(String),
    Rank(usize),
    Node(Vec<Tree>),
}

impl Tree {
    /// The expression in our language; `leaf` writes a leaf.
    ///
    /// # Errors
    /// A node without an operator.
    pub(crate) fn text(&self, leaf: &dyn Fn(&Self) -> String) -> anyhow::Result<String> {
        let Self::Node(node) = self else { return Ok(leaf(self)) };
        let [Self::Name(operator), operands @ ..] = &node[..] else {
            anyhow::bail!("an expression without an operator")
        };
        let parts = operands
            .iter()
            .map(|operand| operand.text(leaf))
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(match operator.as_str() {
            "and" => format!("({})", parts.join(" && ")),
            "or" => format!("({})", parts.join(" || ")),
            _ => format!("!({})", parts.concat()),
        })
    }
}

impl Spec {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let spec: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is not a spec", path.display()))?;
        ensure!(spec.users > 0, "no users in {}", path.display());
        Ok(spec)
    }

    /// The number of a user.
    pub(crate) fn number_of(&self, user: u32) -> i64 {
        (mix(u64::from(user) + (self.range_salt << 32)) & ((1 << self.range_bits) - 1)) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::{Set, mix};

    #[test]
    fn mixes_as_clickhouse_does() {
        // SELECT intHash64(5)
        assert_eq!(mix(5), 15_228_578_409_069_794_350);
    }

    #[test]
    fn sets_are_ascending_and_of_their_size() {
        for set in [(1, 0, 1000, 500, 1), (2, 100, 900, 7, 100), (3, 5, 3, 3, 1), (4, 0, 64, 1, 64)]
        {
            let (_, first, span, ..) = set;
            let set = Set::from(set);
            let users: Vec<u32> = set.users().collect();
            assert_eq!(users.len() as u64, set.len());
            assert!(users.windows(2).all(|pair| pair[0] < pair[1]), "{users:?}");
            assert!(
                users.iter().all(|user| (first..first + span).contains(&u64::from(*user))),
                "{users:?}"
            );
        }
    }
}
