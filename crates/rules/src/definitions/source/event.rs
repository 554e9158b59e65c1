//! Which event a row is.

use super::SourceReader;
use crate::check::Scope;
use crate::definitions::{check_event_name, condition_without_crowds};
use crate::raw::source::{RawEvent, RawEventRule};
use crate::{ColumnMapping, EventMapping, EventRule};
use std::collections::BTreeMap;
use taghouse_model::Name;

impl SourceReader<'_> {
    pub(super) fn event(
        &mut self,
        properties: &BTreeMap<Name, ColumnMapping>,
    ) -> Option<EventMapping> {
        match self.raw.event.as_ref()? {
            RawEvent::Fixed(name) => {
                self.event_name("/event", name);
                Some(EventMapping::Rules(vec![EventRule { when: None, name: name.clone() }]))
            }
            RawEvent::Column(column) => Some(EventMapping::Column(column.column.clone())),
            RawEvent::Rules(rules) => {
                Some(EventMapping::Rules(self.event_rules(rules, properties)))
            }
        }
    }

    fn event_rules(
        &mut self,
        rules: &[RawEventRule],
        properties: &BTreeMap<Name, ColumnMapping>,
    ) -> Vec<EventRule> {
        if rules.last().is_none_or(|last| last.when.is_some()) {
            self.error("/event", "the last rule of `event` has no `when`, so that every row has a name: add `- { name: … }`");
        }
        let types = |name: &str| properties.get(name).map(|column| column.value_type);
        let known: Vec<&str> = properties.keys().map(Name::as_str).collect();
        let scope = Scope::of_properties(&types, self.zone, &known);

        let mut checked = Vec::new();
        for (i, rule) in rules.iter().enumerate() {
            let pointer = format!("/event/{i}");
            self.event_name(&format!("{pointer}/name"), &rule.name);
            if rule.when.is_none() && i + 1 < rules.len() {
                self.error(&pointer, "only the last rule of `event` is without `when`: those after this one would never be asked");
            }
            let pointer = format!("{pointer}/when");
            let when = rule.when.as_ref().and_then(|text| {
                condition_without_crowds(self.document, &pointer, text, scope, self.errors)
            });
            checked.push(EventRule { when, name: rule.name.clone() });
        }
        checked
    }

    fn event_name(&mut self, pointer: &str, name: &str) {
        if let Err(e) = check_event_name(name) {
            self.error(pointer, e);
        }
    }
}
