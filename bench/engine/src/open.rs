//! `crowd.open`: from nothing to the first answer, of an index of 1 B points and a dictionary of
//! 100 M ids.

use crate::crowd_spec::Spec;
use crate::dictionary::Texts;
use crate::published::{Published, app};
use crate::scenario::texts;
use anyhow::{Context, ensure};
use serde_json::{Value as Json, json};
use std::path::Path;
use std::time::Instant;
use taghouse_dictionary::Dictionary;

/// Opens both and asks the first expression, whether one user by id is in it, and who that is:
/// `{seconds, index_s, dictionary_s, count}`.
pub(crate) async fn run(spec: &Spec, folder: &Path, dictionary: &Path) -> anyhow::Result<Json> {
    let text = texts(spec)?.into_iter().next().context("no expression")?;
    let ids = Texts::of(std::iter::once(u64::from(spec.users / 3)));
    let start = Instant::now();
    let published = Published::open(folder).await?;
    let query = published.query(&text)?;
    let count = query.count()?;
    let index_s = start.elapsed().as_secs_f64();
    let dictionary = Dictionary::open(dictionary)?;
    let found = dictionary.lookup(&app()?, &ids.all())?;
    let ordinal = found.first().copied().flatten().context("the user is not in the dictionary")?;
    let member = query.contains(ordinal)?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(ordinal == spec.users / 3, "a wrong ordinal: {ordinal}");
    Ok(
        json!({ "seconds": seconds, "index_s": index_s, "dictionary_s": seconds - index_s, "count": count, "member": member }),
    )
}
