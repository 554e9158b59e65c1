//! The questions. Each compares the answer of the index with that of the reference model.

mod crowds;
mod tags;

use crate::counts::Counts;
use crate::predicates::RandomPredicate;
use anyhow::Context;
use std::collections::BTreeSet;
use taghouse_index::{Bitmap, Query, Snapshot};
use taghouse_model::{Ordinal, Value};
use taghouse_rules::Predicate;
use taghouse_testkit::Dice;
use taghouse_testkit::{ReferenceModel, ValuesByTag};

/// A kind of question: fails where the index and the reference model differ.
pub(crate) struct QuestionKind {
    pub(crate) name: &'static str,
    /// Its weight among all.
    weight: u64,
    ask: fn(&mut Asked<'_>, &mut Dice) -> anyhow::Result<()>,
}

/// Every kind of question.
pub(crate) const QUESTIONS: [QuestionKind; 15] = [
    QuestionKind { name: "count", weight: 12, ask: crowds::count },
    QuestionKind { name: "bitmap", weight: 8, ask: crowds::bitmap },
    QuestionKind { name: "contains", weight: 6, ask: crowds::contains },
    QuestionKind { name: "sample", weight: 3, ask: crowds::sample },
    QuestionKind { name: "page", weight: 2, ask: crowds::page },
    QuestionKind { name: "export and read back", weight: 2, ask: crowds::export },
    QuestionKind { name: "overlap of crowds", weight: 2, ask: crowds::overlap },
    QuestionKind { name: "top values", weight: 4, ask: tags::top_values },
    QuestionKind { name: "overlap of values", weight: 2, ask: tags::overlap },
    QuestionKind { name: "sum", weight: 4, ask: tags::sum },
    QuestionKind { name: "least and greatest", weight: 3, ask: tags::bounds },
    QuestionKind { name: "quantiles", weight: 3, ask: tags::quantiles },
    QuestionKind { name: "distribution", weight: 3, ask: tags::distribution },
    QuestionKind { name: "all values", weight: 2, ask: tags::all_values },
    QuestionKind { name: "profile", weight: 3, ask: tags::profile },
];

/// One moment of a history: the index, and its expected state.
pub(crate) struct Moment<'a> {
    pub(crate) model: &'a ReferenceModel,
    pub(crate) columns: &'a ValuesByTag,
    pub(crate) snapshot: &'a Snapshot,
}

/// A moment, with the counts of operators used.
struct Asked<'a> {
    model: &'a ReferenceModel,
    columns: &'a ValuesByTag,
    snapshot: &'a Snapshot,
    counts: &'a mut Counts,
}

/// A condition with both answers.
struct Crowd {
    predicate: Predicate<Value>,
    query: Query,
    expected: BTreeSet<Ordinal>,
}

/// Asks one question of a random kind.
pub(crate) fn ask_one(
    moment: &Moment<'_>,
    counts: &mut Counts,
    dice: &mut Dice,
) -> anyhow::Result<()> {
    let mut at = dice.below(QUESTIONS.iter().map(|kind| kind.weight).sum());
    let mut kinds = QUESTIONS.iter();
    let kind = kinds.find(|kind| {
        let found = at < kind.weight;
        at = at.saturating_sub(kind.weight);
        found
    });
    let kind = kind.context("weights add up")?;
    let Moment { model, columns, snapshot } = *moment;
    let mut asked = Asked { model, columns, snapshot, counts };
    (kind.ask)(&mut asked, dice).with_context(|| format!("question \"{}\"", kind.name))?;
    counts.question(kind.name);
    Ok(())
}

impl Asked<'_> {
    fn crowd(&mut self, dice: &mut Dice) -> anyhow::Result<Crowd> {
        let depth = dice.below(4) as u32;
        let predicate = self.model.predicate(depth, dice, self.counts);
        let query =
            self.snapshot.evaluate(&predicate, &|name| self.model.crowds.get(name).cloned())?;
        let expected = self.model.matching(self.columns, &predicate);
        self.counts.none += u64::from(expected.is_empty());
        self.counts.all += u64::from(expected.len() == self.model.users.len());
        Ok(Crowd { predicate, query, expected })
    }
}

fn bitmap_of(users: &BTreeSet<Ordinal>) -> Bitmap {
    users.iter().copied().collect()
}
