//! The check of crowds.

use super::crowd_policy::{policy, split};
use super::kafka::Wrong;
use super::marks::marks;
use super::{Errors, condition, crowd_names, name_of, owned, read, refuse_circles};
use crate::check::{Naming, Scope, described, listed};
use crate::raw::crowd::{RawCrowd, RawImport, RawLookalike, RawOrder, RawSample, RawTop};
use crate::{
    ANONYMOUS_TAG, CrowdCondition, CrowdDefinition, CrowdLookalike, CrowdSample, CrowdSize,
    CrowdSource, CrowdTop, Document, DocumentKind, IdList, MAX_COLUMN_CHARS, MAX_LISTED_IDS,
    Percent, TagDefinition, TagKind, TopEnd, suggest,
};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use taghouse_model::{Name, ValueType, check_user_id};

/// The most tags by which users are alike.
const MAX_LOOKALIKE_TAGS: usize = 100;

/// It stands in the text of every version.
const MAX_SALT_BYTES: usize = 128;

pub(super) fn check(
    documents: &[Document],
    types: &BTreeMap<Name, ValueType>,
    tags: &BTreeMap<Name, TagDefinition>,
    zone: &TimeZone,
    errors: &mut Errors,
) -> BTreeMap<Name, CrowdDefinition> {
    let names = crowd_names(documents);
    let named = types.keys().map(Name::as_str).filter(|name| !name.starts_with(ANONYMOUS_TAG));
    let known: Vec<&str> = named.chain(names.iter().copied()).collect();
    let scope = Scope {
        naming: Naming::Tags,
        types: &|name| types.get(name).copied(),
        crowds: &|name| names.contains(name),
        crowds_fit: true,
        zone,
        known: Some(&known),
        pending: None,
    };
    let mut crowds = BTreeMap::new();
    let mut conditions = BTreeMap::new();
    for (document, raw) in read::<RawCrowd>(documents, DocumentKind::Crowd, errors) {
        let name = name_of(document, errors);
        let source = CrowdReader { document, raw: &raw, scope, types, errors }.source();
        if let (Some(name), Some(source)) = (name, source) {
            let pointer = raw.condition().map_or("", |(pointer, _)| pointer);
            conditions.insert(name.to_string(), pointer);
            let (policy, split) = (policy(document, &raw, errors), split(document, &raw, errors));
            let marks = marks(document, raw.category.as_ref(), &raw.labels, errors);
            let (description, is_live) = (raw.description, raw.live);
            let crowd = CrowdDefinition {
                name: name.clone(),
                description,
                source,
                is_live,
                policy,
                split,
                marks,
            };
            if let Some(problem) = unfit_for_live(&crowd, tags).filter(|_| is_live) {
                errors.push(document.error("/live", problem));
            }
            crowds.insert(name, crowd);
        }
    }
    let needs = crowds.iter().map(|(name, crowd)| (name.clone(), owned(&crowd.crowds()))).collect();
    let pointer = |name: &str| conditions.get(name).copied().unwrap_or_default();
    refuse_circles(documents, DocumentKind::Crowd, &needs, &pointer, errors);
    crowds
}

struct CrowdReader<'a> {
    document: &'a Document,
    raw: &'a RawCrowd,
    scope: Scope<'a>,
    types: &'a BTreeMap<Name, ValueType>,
    errors: &'a mut Errors,
}

impl CrowdReader<'_> {
    fn error(&mut self, pointer: &str, message: impl Into<String>) {
        self.errors.push(self.document.error(pointer, message));
    }

    fn source(&mut self) -> Option<CrowdSource> {
        let raw = self.raw;
        let given = [
            ("expression", raw.expression.is_some()),
            ("ids", raw.ids.is_some()),
            ("top", raw.top.is_some()),
            ("sample", raw.sample.is_some()),
            ("lookalike", raw.lookalike.is_some()),
            ("sql", raw.sql.is_some()),
            ("import", raw.import.is_some()),
        ];
        let given: Vec<&str> =
            given.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect();
        if let [first, .., last] = given.as_slice() {
            let message = format!("a crowd is made in one way: it has `{first}` and `{last}`");
            self.error(&format!("/{last}"), message);
            return None;
        }
        match raw {
            RawCrowd { expression: Some(_), .. } => Some(CrowdSource::Rule(self.condition()??)),
            RawCrowd { ids: Some(ids), .. } => self.ids(ids),
            RawCrowd { top: Some(top), .. } => self.top(top).map(CrowdSource::Top),
            RawCrowd { sample: Some(sample), .. } => self.sample(sample).map(CrowdSource::Sample),
            RawCrowd { lookalike: Some(like), .. } => {
                self.lookalike(like).map(CrowdSource::Lookalike)
            }
            RawCrowd { sql: Some(_), refresh: Some(_), .. } => {
                self.error("/refresh", "productions run its query: leave `refresh` out");
                None
            }
            RawCrowd { sql: Some(query), .. } if query.trim().is_empty() => {
                self.error("/sql", "`sql` is empty: write a SELECT that gives user_id");
                None
            }
            RawCrowd { sql: Some(query), .. } => Some(CrowdSource::Sql { query: query.clone() }),
            RawCrowd { import: Some(import), .. } => self.import(import),
            _ => {
                let message = "a crowd needs one of `expression`, `ids`, `top`, `sample`, `lookalike`, `sql` and `import`";
                self.error("", message);
                None
            }
        }
    }

    /// The condition, if there is one; `None`: it is wrong.
    fn condition(&mut self) -> Option<Option<CrowdCondition>> {
        let Some((pointer, text)) = self.raw.condition() else { return Some(None) };
        let (written, checked) = condition(self.document, pointer, text, self.scope, self.errors)?;
        Some(Some(CrowdCondition { written, checked }))
    }

    fn ids(&mut self, ids: &[String]) -> Option<CrowdSource> {
        let before = self.errors.len();
        if ids.is_empty() {
            self.error("/ids", "`ids` is empty: list at least one user");
        }
        if ids.len() > MAX_LISTED_IDS {
            let message = format!("`ids` lists {} users, more than {MAX_LISTED_IDS}", ids.len());
            self.error("/ids", message);
            return None;
        }
        for (n, id) in ids.iter().enumerate() {
            if let Err(error) = check_user_id(id) {
                self.error(&format!("/ids/{n}"), error.to_string());
            }
        }
        let is_right = self.errors.len() == before;
        is_right.then(|| CrowdSource::Ids(IdList { ids: ids.into() }))
    }

    /// Files, with nothing besides that says who is in it: a file that adds to the last one would
    /// add to what was left of that one.
    fn import(&mut self, import: &RawImport) -> Option<CrowdSource> {
        let raw = self.raw;
        let before = self.errors.len();
        let besides = [
            ("holdout", raw.holdout.is_some()),
            ("always", !raw.always.is_empty()),
            ("never", !raw.never.is_empty()),
        ];
        for (key, _) in besides.into_iter().filter(|(_, given)| *given) {
            let message = format!(
                "an imported crowd has no `{key}`: define another one, `expression: 'crowd(\"{}\")'`, and give it that",
                raw.name
            );
            self.error(&format!("/{key}"), message);
        }
        if raw.refresh.is_some() {
            let message = "an imported crowd is not computed: leave `refresh` out";
            self.error("/refresh", message);
        }
        let column = import.column.as_deref().map(str::trim);
        let fits = |column: &str| (1..=MAX_COLUMN_CHARS).contains(&column.chars().count());
        if column.is_some_and(|column| !fits(column)) {
            let message = format!(
                "`column` has 1 to {MAX_COLUMN_CHARS} characters: name one, or leave it out"
            );
            self.error("/import/column", message);
        }
        let mut wrong = Vec::new();
        let link = import.link.as_ref().and_then(|link| super::link::check(link, &mut wrong));
        for Wrong { pointer, message } in wrong {
            self.error(&pointer, message);
        }
        let is_right = self.errors.len() == before;
        is_right.then(|| CrowdSource::Import { column: column.map(str::to_owned), link })
    }

    fn top(&mut self, raw: &RawTop) -> Option<CrowdTop> {
        let by = self.number_tag(&raw.by);
        let size = self.size("top", raw.users, raw.share.as_deref());
        let among = self.condition();
        let end = match raw.order {
            None | Some(RawOrder::Highest) => TopEnd::Highest,
            Some(RawOrder::Lowest) => TopEnd::Lowest,
        };
        Some(CrowdTop { by: by?, size: size?, end, among: among? })
    }

    fn sample(&mut self, raw: &RawSample) -> Option<CrowdSample> {
        let size = self.size("sample", raw.users, raw.share.as_deref());
        let of = self.condition();
        let salt = raw.salt.clone().unwrap_or_else(|| self.raw.name.clone());
        if salt.len() > MAX_SALT_BYTES {
            let message = format!("`salt` has {} bytes, more than {MAX_SALT_BYTES}", salt.len());
            self.error("/sample/salt", message);
        }
        Some(CrowdSample { size: size?, of: of?, salt })
    }

    fn lookalike(&mut self, raw: &RawLookalike) -> Option<CrowdLookalike> {
        let of = self.seed(&raw.of);
        let size = self.size("lookalike", raw.users, raw.share.as_deref());
        let among = self.condition();
        if !(1..=MAX_LOOKALIKE_TAGS).contains(&raw.tags.len()) {
            let message = format!(
                "`tags` names 1 to {MAX_LOOKALIKE_TAGS} tags by which users are alike, not {}",
                raw.tags.len()
            );
            self.error("/lookalike/tags", message);
            return None;
        }
        let mut tags: Vec<Name> = Vec::new();
        let mut is_right = true;
        for (number, tag) in raw.tags.iter().enumerate() {
            match self.types.get_key_value(tag.as_str()) {
                Some((name, _)) if !name.as_str().starts_with(ANONYMOUS_TAG) => {
                    if !tags.contains(name) {
                        tags.push(name.clone());
                    }
                }
                _ => {
                    let problem = self.no_tag(tag);
                    self.error(&format!("/lookalike/tags/{number}"), problem);
                    is_right = false;
                }
            }
        }
        is_right.then_some(())?;
        Some(CrowdLookalike { of: of?, tags, size: size?, among: among? })
    }

    /// The members of a crowd, as a condition.
    fn seed(&mut self, crowd: &str) -> Option<CrowdCondition> {
        if Name::new(crowd).is_err() {
            let message = format!("`of` is the name of a crowd, not `{crowd}`");
            self.error("/lookalike/of", message);
            return None;
        }
        let text = format!("crowd(\"{crowd}\")");
        let (written, checked) =
            condition(self.document, "/lookalike/of", &text, self.scope, self.errors)?;
        Some(CrowdCondition { written, checked })
    }

    fn no_tag(&self, tag: &str) -> String {
        let named = || {
            let names = self.types.keys().map(Name::as_str);
            names.filter(|name| !name.starts_with(ANONYMOUS_TAG))
        };
        match (suggest::nearest(tag, named()), listed(named())) {
            (Some(near), _) => format!("there is no tag `{tag}`; did you mean `{near}`?"),
            (None, Some(list)) => format!("there is no tag `{tag}`; known tags: {list}"),
            (None, None) => format!("there is no tag `{tag}`: no tag is defined"),
        }
    }

    /// A tag that has an order of numbers.
    fn number_tag(&mut self, tag: &str) -> Option<Name> {
        let problem = match self.types.get_key_value(tag) {
            Some((name, ty)) if ty.is_number() => return Some(name.clone()),
            Some((_, ty)) => format!(
                "`{tag}` is of type {}: `by` is a tag of numbers, dates or times",
                described(*ty, Naming::Tags)
            ),
            None => self.no_tag(tag),
        };
        self.error("/top/by", problem);
        None
    }

    fn size(&mut self, key: &str, users: Option<i64>, share: Option<&str>) -> Option<CrowdSize> {
        match (users, share) {
            (Some(users), None) => match u64::try_from(users).ok().filter(|users| *users > 0) {
                Some(users) => Some(CrowdSize::Users(users)),
                None => {
                    self.error(
                        &format!("/{key}/users"),
                        format!("`users` is at least 1, not {users}"),
                    );
                    None
                }
            },
            (None, Some(share)) => Percent::parse(share)
                .map_err(|problem| self.error(&format!("/{key}/share"), problem))
                .ok()
                .map(CrowdSize::Share),
            (Some(_), Some(_)) => {
                let message = format!("`{key}` has one size: it has `users` and `share`");
                self.error(&format!("/{key}/share"), message);
                None
            }
            (None, None) => {
                let message =
                    format!("`{key}` needs a size: `users: 1000`, or a `share` such as 10%");
                self.error(&format!("/{key}"), message);
                None
            }
        }
    }
}

/// Why the stream cannot follow who is in a crowd.
fn unfit_for_live(crowd: &CrowdDefinition, tags: &BTreeMap<Name, TagDefinition>) -> Option<String> {
    if crowd.is_imported() {
        return Some("only a crowd with `expression` can be live: leave `live` out".to_owned());
    }
    if crowd.rule().is_none() {
        return Some(format!(
            "only a crowd with `expression` can be live: productions compute one with `{}`, so leave `live` out",
            crowd.source.kind()
        ));
    }
    if let Some(other) = crowd.crowds().first() {
        return Some(format!(
            "a live crowd is made of tags alone: write the rule of `{other}` in the place of crowd(\"{other}\")"
        ));
    }
    let names = crowd.tags();
    if names.is_empty() {
        return Some("a live crowd follows tags, and this one names none".to_owned());
    }
    let is_batch = |name: &&&str| tags.get(**name).is_some_and(|tag| !tag.mode.is_live());
    let batch = names.iter().find(is_batch)?;
    let tag = tags.get(*batch)?;
    Some(match tag.kind {
        TagKind::Sql { .. } => format!(
            "it is computed from `{batch}`, an `sql` tag, which productions keep: leave `live` out, or write the tag as an aggregate"
        ),
        _ => format!(
            "it is computed from `{batch}`, which productions keep: give that tag `mode: stream` or `mode: both`"
        ),
    })
}
