//! The anonymous tags of `did(…)` and `sequence(…)` in crowds.

use super::events::in_scope;
use super::journey::JourneyReader;
use super::{Errors, Inputs, aggregate, read};
use crate::check::check_scalar;
use crate::happened::{Did, Happened, Measure, WrittenSequence, WrittenStep};
use crate::raw::crowd::RawCrowd;
use crate::raw::journey::{RawSequence, RawStep};
use crate::raw::tag::RawAggregate;
use crate::{
    AggregateFunction, Document, DocumentKind, Marks, ParsedPredicate, TagDefinition, TagKind,
    TagMode,
};
use std::collections::BTreeMap;
use taghouse_model::{Name, ValueType};

/// Digits after the point of a mean.
const MEAN_SCALE: u8 = 6;

/// The tags that crowds' conditions on events stand for.
#[derive(Default)]
pub(super) struct AnonymousTags {
    pub(super) tags: BTreeMap<Name, TagDefinition>,
    /// Their types; of one with an error a type that it may have.
    pub(super) types: BTreeMap<Name, ValueType>,
}

/// Makes them; equal conditions are one tag.
pub(super) fn anonymous_tags(
    documents: &[Document],
    inputs: &Inputs<'_>,
    errors: &mut Errors,
) -> AnonymousTags {
    let mut made = AnonymousTags::default();
    // What is wrong with a crowd otherwise is said when it is checked.
    for (document, raw) in read::<RawCrowd>(documents, DocumentKind::Crowd, &mut Errors::new()) {
        let Some((pointer, text)) = raw.condition() else { continue };
        let Ok(parsed) = ParsedPredicate::parse(text) else { continue };
        for happened in parsed.tree().happened() {
            let Some(name) = happened.tag_name() else { continue };
            let live = raw.live;
            if made.types.contains_key(&name) {
                if let Some(tag) = made.tags.get_mut(&name).filter(|_| live) {
                    tag.mode = TagMode::Stream;
                }
                continue;
            }
            let mut wrong = Errors::new();
            let found = Anonymous { document, pointer, inputs, errors: &mut wrong }.tag(happened);
            errors.extend(wrong.into_iter().map(|error| {
                let message = format!("`{happened}`: {}", error.message);
                document.error(pointer, message)
            }));
            let lenient = match happened {
                Happened::Did(_) => ValueType::Int,
                Happened::Sequence(_) => ValueType::Bool,
            };
            let value_type = found.as_ref().map_or(lenient, |(value_type, _)| *value_type);
            made.types.insert(name.clone(), value_type);
            if let Some((_, kind)) = found {
                let mode = if live { TagMode::Stream } else { TagMode::Batch };
                let description = Some(happened.to_string());
                let marks = Marks::default();
                let tag = TagDefinition {
                    name: name.clone(),
                    description,
                    value_type,
                    mode,
                    kind,
                    marks,
                };
                made.tags.insert(name, tag);
            }
        }
    }
    made
}

/// Makes a tag, by the same checks as for one that is defined.
struct Anonymous<'a> {
    document: &'a Document,
    /// Where the condition stands.
    pointer: &'static str,
    inputs: &'a Inputs<'a>,
    errors: &'a mut Errors,
}

impl Anonymous<'_> {
    fn tag(&mut self, happened: &Happened) -> Option<(ValueType, TagKind)> {
        match happened {
            Happened::Did(did) => {
                let value_type = self.type_of(&did.measure)?;
                let raw = raw_aggregate(did);
                aggregate::check(self.document, &raw, value_type, self.inputs, self.errors)
                    .map(|aggregate| (value_type, TagKind::Aggregate(aggregate)))
            }
            Happened::Sequence(sequence) => {
                let (ty, raw) = (ValueType::Bool, raw_sequence(sequence));
                let Self { document, inputs, .. } = *self;
                let mut reader = JourneyReader { document, ty, inputs, errors: self.errors };
                reader.sequence(&raw).map(|sequence| (ty, TagKind::Sequence(sequence)))
            }
        }
    }

    fn type_of(&mut self, measure: &Measure) -> Option<ValueType> {
        use AggregateFunction as F;
        let (function, value) = match measure {
            Measure::Count | Measure::Of { function: F::Count | F::CountDistinct, .. } => {
                return Some(ValueType::Int);
            }
            Measure::Of { function: F::Avg, .. } => {
                return Some(ValueType::Decimal { scale: MEAN_SCALE });
            }
            Measure::Of { function, value } => (function, value),
        };
        match in_scope(self.inputs, |scope| check_scalar(&value.to_string(), scope)) {
            Ok(checked) => Some(checked.ty),
            Err(error) => {
                let message = format!("{}: {error}", function.as_str());
                self.errors.push(self.document.error(self.pointer, message));
                None
            }
        }
    }
}

fn raw_aggregate(did: &Did) -> RawAggregate {
    let (function, value) = match &did.measure {
        Measure::Count => (AggregateFunction::Count, None),
        Measure::Of { function, value } => (*function, Some(value.to_string())),
    };
    RawAggregate {
        events: did.events.clone(),
        function: function.into(),
        value,
        filter: did.filter.as_ref().map(ToString::to_string),
        window: did.within.clone(),
        exact_up_to: None,
    }
}

fn raw_sequence(sequence: &WrittenSequence) -> RawSequence {
    let step = |step: &WrittenStep| RawStep {
        events: step.events.clone(),
        filter: step.filter.as_ref().map(ToString::to_string),
        same: step.same.clone(),
        times: Some(i64::from(step.times)).filter(|times| *times != 1),
        absent: Some(step.absent),
        within: step.wait.clone(),
    };
    RawSequence {
        steps: sequence.steps.iter().map(step).collect(),
        within: sequence.within.clone(),
        value: None,
        window: sequence.window.clone(),
    }
}
