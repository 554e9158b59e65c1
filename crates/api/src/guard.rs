//! What a caller may do with single tags and crowds of an app.
//!
//! Three things are checked of each name, also where it stands inside an expression:
//!
//! - **Grants.** A key with grants sees and does what they name, and nothing else. That a name is not
//!   granted is said before whether it exists.
//! - **Labels.** They flow by lineage from columns to tags and crowds; the app's `access` says what
//!   each forbids.
//! - **Exactness.** Where the app has a smallest audience, numbers are rounded, and what tells single
//!   users by an expression is refused. With exact members of `a` and of `a && b` at hand, no
//!   rounding of numbers would hide anybody.

use crate::Problem;
use crate::access::Caller;
use crate::rounding::Rounding;
use taghouse_crowd::Question;
use taghouse_model::{ErrorKind, Granted, Right, ValueType};
use taghouse_rules::{ANONYMOUS_TAG, Definitions, Forbidden, Labelled, Marks, Use};

/// What somebody wants with a tag or a crowd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Its definition and numbers.
    View,
    /// To change it.
    Edit,
    /// To ask about users who are named.
    Judge,
    /// To be told who the users are.
    Members,
}

impl Want {
    fn right(self) -> Right {
        match self {
            Self::View => Right::View,
            Self::Edit => Right::Edit,
            Self::Judge => Right::Judge,
            Self::Members => Right::Activate,
        }
    }

    /// What a label may forbid. Changing something shows nothing of it.
    fn forbidden_as(self) -> Option<Use> {
        match self {
            Self::View => Some(Use::View),
            Self::Judge => Some(Use::Judge),
            Self::Members => Some(Use::Export),
            Self::Edit => None,
        }
    }
}

/// A caller before the definitions of an app.
#[derive(Clone, Copy)]
pub(crate) struct Guard<'a> {
    caller: &'a Caller,
    definitions: &'a Definitions,
}

fn denied(detail: String) -> Problem {
    Problem::new(ErrorKind::Denied, detail)
}

impl Caller {
    pub(crate) fn guard<'a>(&'a self, definitions: &'a Definitions) -> Guard<'a> {
        Guard { caller: self, definitions }
    }
}

impl Guard<'_> {
    fn marks(&self, of: Labelled<'_>) -> Option<&Marks> {
        match of {
            Labelled::Tag(name) => self.definitions.tags.get(name).map(|tag| &tag.marks),
            Labelled::Crowd(name) => self.definitions.crowds.get(name).map(|crowd| &crowd.marks),
        }
    }

    /// Whether the key's grants, if it has any, give the right.
    fn has(&self, of: Labelled<'_>, right: Right) -> bool {
        if !self.caller.is_limited() {
            return true;
        }
        let (kind, name) = match of {
            Labelled::Tag(name) => (Granted::Tag, name),
            Labelled::Crowd(name) => (Granted::Crowd, name),
        };
        let by_category = || {
            let category = self.marks(of)?.category.as_deref()?;
            Some(self.caller.is_given(Granted::Category, category, right))
        };
        // Who may change it or see its members has seen what view shows.
        let seen =
            right == Right::View && (self.has(of, Right::Edit) || self.has(of, Right::Activate));
        seen || self.caller.is_given(kind, name, right) || by_category().unwrap_or_default()
    }

    fn granted(&self, of: Labelled<'_>, right: Right) -> Result<(), Problem> {
        if self.has(of, right) {
            return Ok(());
        }
        let grant = match of {
            Labelled::Tag(name) => format!("tag:{name}={right}"),
            Labelled::Crowd(name) => format!("crowd:{name}={right}"),
        };
        Err(denied(format!(
            "this key has no grant to {right} {of}: an admin of \"{}\" makes keys that have with `taghouse keys create --grant {grant}`",
            self.definitions.app.id
        )))
    }

    /// Whether the key may only do what its grants name.
    pub(crate) fn is_limited(&self) -> bool {
        self.caller.is_limited()
    }

    /// Checks grants, and labels.
    pub(crate) fn may(&self, of: Labelled<'_>, want: Want) -> Result<(), Problem> {
        self.granted(of, want.right())?;
        if self.caller.is_limited() && self.marks(of).is_none() {
            // Without a hint at similar names, which may be of what is hidden.
            let app = &self.definitions.app.id;
            let detail = format!("there is no {of} in \"{app}\"");
            return Err(Problem::new(ErrorKind::NotFound, detail));
        }
        let forbidden = want.forbidden_as().and_then(|asked| {
            self.definitions.forbidden(of, asked).map(|forbidden| (asked, forbidden))
        });
        match forbidden {
            None => Ok(()),
            Some((asked, Forbidden { label, path })) => Err(denied(format!(
                "{path}: the `access` of \"{}\" forbids to {} what is labelled {label}; whoever edits its definitions can change that",
                self.definitions.app.id,
                asked.as_str()
            ))),
        }
    }

    pub(crate) fn crowd(&self, name: &str, want: Want) -> Result<(), Problem> {
        self.may(Labelled::Crowd(name), want)
    }

    pub(crate) fn tag(&self, name: &str, want: Want) -> Result<(), Problem> {
        self.may(Labelled::Tag(name), want)
    }

    /// Whether a list shows it.
    pub(crate) fn shows_crowd(&self, name: &str) -> bool {
        self.has(Labelled::Crowd(name), Right::View)
    }

    /// Whether a list shows it.
    pub(crate) fn shows_tag(&self, name: &str) -> bool {
        self.has(Labelled::Tag(name), Right::View)
    }

    /// Whether a list of judgments or values of one user has it.
    pub(crate) fn judges(&self, of: Labelled<'_>) -> bool {
        self.has(of, Right::Judge) && self.definitions.forbidden(of, Use::Judge).is_none()
    }

    /// All names of an expression. Where it tells of single users, a condition on a value that is
    /// masked would tell the value.
    pub(crate) fn question(&self, question: &Question, want: Want) -> Result<(), Problem> {
        let tags = question.tags();
        tags.iter().try_for_each(|tag| self.tag(tag, want))?;
        question.crowds().iter().try_for_each(|crowd| self.crowd(crowd, want))?;
        if matches!(want, Want::Judge | Want::Members) {
            self.single_users()?;
            tags.iter().try_for_each(|tag| self.value(tag))?;
        }
        Ok(())
    }

    /// The label that hides a tag's values of single users from this caller.
    pub(crate) fn mask(&self, tag: &str) -> Option<Forbidden> {
        let mut masking = self.definitions.forbidding(Labelled::Tag(tag), Use::Mask).into_iter();
        masking.find(|forbidden| !self.caller.sees_label(&forbidden.label))
    }

    /// Refuses to tell a value of a single user that is masked.
    pub(crate) fn value(&self, tag: &str) -> Result<(), Problem> {
        self.mask(tag).map_or(Ok(()), |forbidden| Err(masked(&forbidden)))
    }

    /// The same of all that rows of sources, or of one, hold.
    pub(crate) fn rows(&self, source: Option<&str>) -> Result<(), Problem> {
        let sources = self.definitions.sources.keys().map(|name| name.as_str());
        for name in sources.filter(|name| source.is_none_or(|source| source == *name)) {
            let masking = self.definitions.forbidding_columns(name, Use::Mask);
            if let Some(one) = masking.into_iter().find(|of| !self.caller.sees_label(&of.label)) {
                return Err(masked(&one));
            }
        }
        Ok(())
    }

    /// Refuses to show what a sink sends where some of it is masked, or may not be told of single users.
    pub(crate) fn events_of(&self, sink: &str) -> Result<(), Problem> {
        self.single_users()?;
        let Some(sink) = self.definitions.sinks.get(sink) else { return Ok(()) };
        let all = sink.tags.is_empty() && sink.crowds.is_empty();
        let sent = self.definitions.tags.values().filter(|tag| {
            if all { tag.mode.is_live() } else { sink.tags.contains(tag.name.as_str()) }
        });
        sent.into_iter().try_for_each(|tag| self.value(tag.name.as_str()))
    }

    /// Refuses to tell all that is kept of a user where some of it is masked.
    pub(crate) fn person(&self) -> Result<(), Problem> {
        self.rows(None)?;
        self.definitions.tags.keys().try_for_each(|tag| self.value(tag.as_str()))
    }

    /// Refuses to tell single users by what is asked, where the app hides small numbers.
    pub(crate) fn single_users(&self) -> Result<(), Problem> {
        match self.definitions.app.access.min_audience {
            Some(least) if !self.caller.sees_exact() => Err(denied(format!(
                "this would tell single users, and \"{}\" shows numbers of at least {least} users: an admin makes keys that may with `taghouse keys create --grant exact`",
                self.definitions.app.id
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses groups of a tag whose values are cut into ranges, where the app hides small numbers: the
    /// ends of ranges are values that single users have.
    pub(crate) fn groups(&self, tag: &str) -> Result<(), Problem> {
        let ranged = match self.definitions.tag_type(tag) {
            None | Some(ValueType::Bool | ValueType::Text | ValueType::Set) => false,
            Some(_) => true,
        };
        if self.rounding().is_exact() || !ranged {
            return Ok(());
        }
        Err(denied(format!(
            "the ranges of {tag} would tell what single users have, which \"{}\" does not show: ask for a histogram with `edges`, group by a tag of ordered rules, or use a key with the grant `exact`",
            self.definitions.app.id
        )))
    }

    /// Refuses the members of a crowd that is too small.
    pub(crate) fn audience(&self, size: u64) -> Result<(), Problem> {
        match self.definitions.app.access.min_audience {
            Some(least) if size < least && !self.caller.sees_exact() => Err(denied(format!(
                "the crowd has fewer than {least} members, the smallest audience of \"{}\": an admin makes keys that may see it with `taghouse keys create --grant exact`",
                self.definitions.app.id
            ))),
            _ => Ok(()),
        }
    }

    /// How exact the numbers are that the caller sees.
    pub(crate) fn rounding(&self) -> Rounding {
        let least = self.definitions.app.access.min_audience;
        Rounding::down_to(least.filter(|_| !self.caller.sees_exact()))
    }

    /// Refuses definitions by which a key with grants would see what is not granted to it: a tag over
    /// rows of sources, or one over a tag that it may not see.
    pub(crate) fn inputs(&self, of: Labelled<'_>) -> Result<(), Problem> {
        if !self.caller.is_limited() {
            return Ok(());
        }
        let reads_rows = || {
            denied(format!(
                "{of} is computed from rows of sources, of which there are no grants: a key without grants of single tags and crowds may define it"
            ))
        };
        match of {
            Labelled::Tag(name) => {
                let Some(tag) = self.definitions.tags.get(name) else { return Ok(()) };
                let inputs = tag.kind.tags();
                if inputs.is_empty() {
                    return Err(reads_rows());
                }
                inputs.iter().try_for_each(|input| self.tag(input.as_str(), Want::View))
            }
            Labelled::Crowd(name) => {
                let Some(crowd) = self.definitions.crowds.get(name) else { return Ok(()) };
                let tags = crowd.tags();
                let over_events = tags.iter().any(|tag| tag.starts_with(ANONYMOUS_TAG));
                if over_events || matches!(crowd.source, taghouse_rules::CrowdSource::Sql { .. }) {
                    return Err(reads_rows());
                }
                tags.iter().try_for_each(|tag| self.tag(tag, Want::View))?;
                crowd.crowds().iter().try_for_each(|other| self.crowd(other, Want::View))
            }
        }
    }
}

fn masked(Forbidden { label, path }: &Forbidden) -> Problem {
    denied(format!(
        "{path}, which hides what single users have: an admin makes keys that see it with `taghouse keys create --grant label:{label}`"
    ))
}
