//! Shapes that the cases of the definitions' tests share.

use taghouse_rules::{DefinitionError, DefinitionFile, Definitions, parse_definitions};

pub(crate) fn file(path: &str, text: &str) -> DefinitionFile {
    DefinitionFile { path: path.to_owned(), text: text.to_owned() }
}

/// Reads and checks one file.
pub(crate) fn check(text: &str) -> Result<Definitions, Vec<DefinitionError>> {
    Definitions::check(&parse_definitions(&[file("shop.yaml", text)])?)
}

pub(crate) fn shown(errors: &[DefinitionError]) -> String {
    errors.iter().map(|e| format!("{e}\n")).collect()
}
