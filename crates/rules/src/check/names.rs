//! What the names in an expression stand for, and what to say of those that stand for nothing.

use super::CheckError;
use crate::suggest;
use jiff::tz::TimeZone;
use taghouse_model::ValueType;

/// The most names that a message lists.
const LISTED_NAMES: usize = 8;

/// What the names in an expression are; types are called as their definitions write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    Tags,
    Properties,
}

/// What a check asks for: the types of names, which crowds there are, and the app's zone.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) naming: Naming,
    pub(crate) types: &'a dyn Fn(&str) -> Option<ValueType>,
    pub(crate) crowds: &'a dyn Fn(&str) -> bool,
    /// Whether `crowd(…)` may be written here.
    pub(crate) crowds_fit: bool,
    pub(crate) zone: &'a TimeZone,
    /// The names and crowds to suggest; `None`: the caller suggests.
    pub(crate) known: Option<&'a [&'a str]>,
    /// Which tags are defined and have no values yet.
    pub(crate) pending: Option<&'a dyn Fn(&str) -> bool>,
}

impl<'a> Scope<'a> {
    /// A scope of properties, where there are no crowds.
    pub(crate) fn of_properties(
        types: &'a dyn Fn(&str) -> Option<ValueType>,
        zone: &'a TimeZone,
        known: &'a [&'a str],
    ) -> Self {
        Self {
            naming: Naming::Properties,
            types,
            crowds: &|_| false,
            crowds_fit: false,
            zone,
            known: Some(known),
            pending: None,
        }
    }

    /// A scope of tags and crowds.
    pub(crate) fn of_tags(
        types: &'a dyn Fn(&str) -> Option<ValueType>,
        crowds: &'a dyn Fn(&str) -> bool,
        zone: &'a TimeZone,
        known: &'a [&'a str],
    ) -> Self {
        Self {
            naming: Naming::Tags,
            types,
            crowds,
            crowds_fit: true,
            zone,
            known: Some(known),
            pending: None,
        }
    }

    pub(super) fn type_of(self, name: &str, leaf: usize) -> Result<ValueType, CheckError> {
        if let Some(ty) = (self.types)(name) {
            return Ok(ty);
        }
        if (self.crowds)(name) {
            let fix = if self.crowds_fit {
                format!("`{name}` is a crowd: write crowd(\"{name}\")")
            } else {
                format!(
                    "`{name}` is a crowd, and crowds have their place in crowds only: write its condition, or a tag for it"
                )
            };
            return Err(CheckError::new(leaf, fix));
        }
        if self.pending.is_some_and(|pending| pending(name)) {
            return Err(CheckError::new(
                leaf,
                format!("tag `{name}` is defined and not produced yet: run `taghouse produce`"),
            ));
        }
        Err(CheckError {
            message: format!("unknown name `{name}`{}", self.fix_for_name(name)),
            leaf,
            unknown: Some(name.to_owned()),
        })
    }

    fn fix_for_name(self, name: &str) -> String {
        let Some(known) = self.known else { return String::new() };
        let is_name = |name: &str| (self.types)(name).is_some();
        match suggest::nearest(name, known.iter().copied()) {
            Some(near) if is_name(near) => return format!("; did you mean `{near}`?"),
            Some(near) => return format!("; did you mean crowd(\"{near}\")?"),
            None => {}
        }
        match (listed(known.iter().copied().filter(|name| is_name(name))), self.naming) {
            (Some(list), Naming::Tags) => {
                format!("; known tags: {list} (`taghouse tags` lists them)")
            }
            (None, Naming::Tags) => {
                "; there are no tags yet (`taghouse tags` lists them)".to_owned()
            }
            (Some(list), Naming::Properties) => format!("; known here: {list}"),
            (None, Naming::Properties) => "; the source has no `properties`".to_owned(),
        }
    }

    pub(super) fn require_crowd(self, name: &str, leaf: usize) -> Result<(), CheckError> {
        if (self.crowds)(name) {
            return Ok(());
        }
        if (self.types)(name).is_some() {
            let message = format!(
                "`{name}` is a tag and no crowd: write a condition on it, such as `{name} is set`"
            );
            return Err(CheckError::new(leaf, message));
        }
        Err(CheckError {
            message: format!("there is no crowd `{name}`{}", self.fix_for_crowd(name)),
            leaf,
            unknown: Some(name.to_owned()),
        })
    }

    fn fix_for_crowd(self, name: &str) -> String {
        let Some(known) = self.known else { return String::new() };
        let crowds = || known.iter().copied().filter(|name| (self.crowds)(name));
        match (suggest::nearest(name, crowds()), listed(crowds())) {
            (Some(near), _) => format!("; did you mean `{near}`?"),
            (None, Some(list)) => format!("; known crowds: {list} (`taghouse crowds` lists them)"),
            (None, None) => "; there are no crowds yet (`taghouse crowds` lists them)".to_owned(),
        }
    }
}

/// The first names in words, or `None` if there are none.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.into_iter().collect();
    let mut list: Vec<String> =
        names.iter().take(LISTED_NAMES).map(|name| format!("`{name}`")).collect();
    match (list.pop(), names.len().saturating_sub(LISTED_NAMES)) {
        (None, _) => None,
        (Some(last), 0) if list.is_empty() => Some(last),
        (Some(last), 0) => Some(format!("{} and {last}", list.join(", "))),
        (Some(last), more) => Some(format!("{}, {last} and {more} more", list.join(", "))),
    }
}

/// A type as the definition of a tag or a property writes it, in backquotes.
pub(crate) fn described(ty: ValueType, naming: Naming) -> String {
    match (ty, naming) {
        (ValueType::Text, Naming::Tags) => "`enum`".to_owned(),
        (ValueType::Text, Naming::Properties) => "`text`".to_owned(),
        (ValueType::Decimal { scale }, _) => format!("`decimal, scale: {scale}`"),
        (ValueType::Time, _) => "`date, precision: millisecond`".to_owned(),
        (ValueType::Bool | ValueType::Set | ValueType::Int | ValueType::Date, _) => {
            format!("`{ty}`")
        }
    }
}
