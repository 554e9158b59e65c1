//! The types of properties and attributes, which all sources must agree on.

use super::column::column;
use crate::check::{Naming, described};
use crate::definitions::{Errors, place, read};
use crate::raw::source::{RawColumn, RawSource};
use crate::{Document, DocumentKind};
use std::collections::BTreeMap;
use taghouse_model::{Name, ValueType};

/// The types of the columns that the sources define together.
pub(in crate::definitions) struct ColumnTypes {
    pub(in crate::definitions) properties: BTreeMap<Name, ValueType>,
    pub(in crate::definitions) attributes: BTreeMap<Name, ValueType>,
}

/// The types of all properties and attributes; sources that disagree are an error.
pub(in crate::definitions) fn column_types(
    documents: &[Document],
    errors: &mut Errors,
) -> ColumnTypes {
    let mut properties = BTreeMap::new();
    let mut attributes = BTreeMap::new();
    // What cannot be read is reported by `check`.
    for (document, raw) in read::<RawSource>(documents, DocumentKind::Source, &mut Errors::new()) {
        union(document, "properties", &raw.properties, &mut properties, errors);
        union(document, "attributes", &raw.attributes, &mut attributes, errors);
    }
    let types_of = |all: BTreeMap<String, Seen<'_>>| {
        all.into_values().map(|seen| (seen.name, seen.ty)).collect()
    };
    ColumnTypes { properties: types_of(properties), attributes: types_of(attributes) }
}

/// A property or attribute and where it was met first.
struct Seen<'a> {
    name: Name,
    ty: ValueType,
    document: &'a Document,
}

fn union<'a>(
    document: &'a Document,
    key: &str,
    columns: &BTreeMap<String, RawColumn>,
    all: &mut BTreeMap<String, Seen<'a>>,
    errors: &mut Errors,
) {
    for (text, raw) in columns {
        // Other mistakes of the column are reported by `check`.
        let (Ok(name), Ok(column)) = (Name::new(text), column(raw)) else { continue };
        let ty = column.value_type;
        let Some(seen) = all.get(&text.to_lowercase()) else {
            all.insert(text.to_lowercase(), Seen { name, ty, document });
            continue;
        };
        let pointer = format!("/{key}/{text}");
        if seen.name != name {
            errors.push(document.error(
                &pointer,
                format!(
                    "`{name}` differs only in case from `{}` at {}",
                    seen.name,
                    place(seen.document)
                ),
            ));
        } else if seen.ty != ty {
            let (here, there) =
                (described(ty, Naming::Properties), described(seen.ty, Naming::Properties));
            let message = format!(
                "`{name}` is of type {here} here and {there} at {}: give both one type",
                place(seen.document)
            );
            errors.push(document.error(&pointer, message));
        }
    }
}
