//! `did` and `sequence` into JSON and back.

use super::condition::predicate;
use super::{Path, literal, scalar, within, wrong};
use crate::happened::{Did, Happened, Measure, WrittenSequence, WrittenStep};
use crate::{AggregateFunction, CompareOp, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use taghouse_model::Name;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DidForm {
    events: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    op: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    literal: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<String>,
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    filter: Option<Json>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SequenceForm {
    steps: Vec<StepForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepForm {
    events: Vec<String>,
    #[serde(default)]
    absent: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    same: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<u32>,
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    wait: Option<String>,
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    filter: Option<Json>,
}

pub(super) fn to_json(happened: &Happened) -> Json {
    let written = match happened {
        Happened::Did(did) => serde_json::to_value(did_form(did)).map(|form| ("did", form)),
        Happened::Sequence(sequence) => {
            serde_json::to_value(sequence_form(sequence)).map(|form| ("sequence", form))
        }
    };
    // Texts, numbers and lists: nothing that JSON cannot hold.
    written.map_or(Json::Null, |(key, form)| Json::from_iter([(key, form)]))
}

fn did_form(did: &Did) -> DidForm {
    let (function, value) = match &did.measure {
        Measure::Count => (AggregateFunction::Count, None),
        Measure::Of { function, value } => (*function, Some(value.to_json())),
    };
    DidForm {
        events: did.events.clone(),
        function: Some(function.as_str().to_owned()),
        value,
        op: Some(did.op.symbol().to_owned()),
        literal: Some(did.literal.to_json()),
        within: did.within.clone(),
        filter: did.filter.as_ref().map(crate::Predicate::to_json),
    }
}

fn sequence_form(sequence: &WrittenSequence) -> SequenceForm {
    let step = |step: &WrittenStep| StepForm {
        events: step.events.clone(),
        absent: step.absent,
        same: step.same.clone(),
        times: Some(step.times).filter(|times| *times != 1),
        wait: step.wait.clone(),
        filter: step.filter.as_ref().map(crate::Predicate::to_json),
    };
    SequenceForm {
        steps: sequence.steps.iter().map(step).collect(),
        within: sequence.within.clone(),
        window: sequence.window.clone(),
    }
}

pub(super) fn did(json: &Json, at: &mut Path, depth_left: usize) -> Result<Happened> {
    let form: DidForm = read(json, at)?;
    check_events(&form.events, at)?;
    check_duration(form.within.as_deref(), at)?;
    let word = form.function.as_deref().unwrap_or("count");
    let functions = AggregateFunction::COMPARABLE;
    let Some(function) = functions.into_iter().find(|function| function.as_str() == word) else {
        let known: Vec<&str> = functions.into_iter().map(AggregateFunction::as_str).collect();
        return wrong(at, format!("`function` is `{word}`, not one of {}", known.join(", ")));
    };
    let value = match &form.value {
        Some(value) => Some(within(at, "value", |at| scalar(value, at, depth_left - 1))?),
        None => None,
    };
    let measure = match value {
        Some(value) => Measure::Of { function, value },
        None if function == AggregateFunction::Count => Measure::Count,
        None => return wrong(at, format!("`{word}` needs a `value`")),
    };
    let symbol = form.op.as_deref().unwrap_or(">=");
    let Some(op) = CompareOp::ALL.into_iter().find(|op| op.symbol() == symbol) else {
        return wrong(at, format!("`op` is `{symbol}`, not one of ==, !=, <, <=, >, >="));
    };
    let literal = match &form.literal {
        Some(json) => within(at, "literal", |at| literal(json, at))?,
        None => crate::Literal::Int(1),
    };
    let filter = match &form.filter {
        Some(json) => Some(within(at, "where", |at| predicate(json, at, depth_left - 1))?),
        None => None,
    };
    Ok(Happened::Did(Did {
        events: form.events,
        measure,
        op,
        literal,
        within: form.within,
        filter,
    }))
}

pub(super) fn sequence(json: &Json, at: &mut Path, depth_left: usize) -> Result<Happened> {
    let form: SequenceForm = read(json, at)?;
    if form.steps.is_empty() {
        return wrong(at, "a sequence needs `steps`");
    }
    check_duration(form.within.as_deref(), at)?;
    check_duration(form.window.as_deref(), at)?;
    let mut steps = Vec::new();
    for StepForm { events, absent, same, times, wait, filter } in form.steps {
        check_events(&events, at)?;
        check_duration(wait.as_deref(), at)?;
        if let Some(Err(error)) = same.as_deref().map(Name::new) {
            return wrong(at, error.to_string());
        }
        let times = times.unwrap_or(1);
        if times == 0 {
            return wrong(at, "`times` is 1 or more");
        }
        let filter = match &filter {
            Some(json) => Some(within(at, "where", |at| predicate(json, at, depth_left - 1))?),
            None => None,
        };
        steps.push(WrittenStep { absent, events, filter, same, times, wait });
    }
    let sequence = WrittenSequence { steps, within: form.within, window: form.window };
    Ok(Happened::Sequence(sequence))
}

fn read<T: for<'de> Deserialize<'de>>(json: &Json, at: &mut Path) -> Result<T> {
    match T::deserialize(json) {
        Ok(form) => Ok(form),
        Err(error) => wrong(at, error.to_string()),
    }
}

fn check_events(events: &[String], at: &mut Path) -> Result<()> {
    if events.is_empty() { wrong(at, "`events` names no event") } else { Ok(()) }
}

fn check_duration(text: Option<&str>, at: &mut Path) -> Result<()> {
    let is_duration = |text: &str| {
        let digits = text.trim_end_matches(['s', 'm', 'h', 'd']);
        digits.len() + 1 == text.len()
            && !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit())
    };
    match text {
        Some(text) if !is_duration(text) => {
            wrong(at, format!("`{text}` is not a length of time such as 30d"))
        }
        _ => Ok(()),
    }
}
