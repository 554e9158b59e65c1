//! What definitions name and do not hold: variables of the environment, and files.

use crate::{Error, Result};
use std::path::{Path, PathBuf};
use taghouse_rules::{SettingOf, SettingPart};

/// Where containers have their secrets. Settings of Kafka read them there unless told otherwise; for
/// webhooks a folder is named, for whoever writes their definitions can have its files sent anywhere.
const DEFAULT_FOLDER: &str = "/run/secrets";

/// The longest file of a secret, in bytes.
const MAX_SECRET_BYTES: u64 = 1 << 20;

/// The environment variable with the folder of files that `${file:NAME}` names.
pub const fn secrets_folder(of: SettingOf) -> &'static str {
    match of {
        SettingOf::Kafka => "KAFKA_SECRETS",
        SettingOf::Webhook => "WEBHOOK_SECRETS",
        SettingOf::Activation => "ACTIVATE_SECRETS",
    }
}

/// Where secrets are found.
pub struct Secrets<'s> {
    of: SettingOf,
    variable: &'s dyn Fn(&str) -> Option<String>,
    folder: Option<PathBuf>,
}

impl<'s> Secrets<'s> {
    /// Those of a folder, and of what `variable` gives.
    pub fn new(
        of: SettingOf,
        variable: &'s dyn Fn(&str) -> Option<String>,
        folder: Option<PathBuf>,
    ) -> Self {
        Self { of, variable, folder }
    }
}

impl Secrets<'_> {
    /// Those of this process.
    pub fn of_process(of: SettingOf) -> Self {
        let default = match of {
            SettingOf::Kafka => Some(DEFAULT_FOLDER.into()),
            SettingOf::Webhook | SettingOf::Activation => None,
        };
        let folder = std::env::var_os(secrets_folder(of)).map(PathBuf::from).or(default);
        Self { of, variable: &|name| std::env::var(name).ok(), folder }
    }

    /// The value of a setting, with the secrets that it names. Reads files: blocks for a moment.
    ///
    /// # Errors
    /// A secret that is not there.
    pub fn resolved(&self, setting: &str, value: &str) -> Result<String> {
        let setting = || setting.to_owned();
        let parts = SettingPart::read(self.of, value)
            .map_err(|detail| Error::Reference { setting: setting(), detail })?;
        let mut text = String::new();
        for part in parts {
            match part {
                SettingPart::Text(part) => text.push_str(&part),
                SettingPart::Variable(variable) => text.push_str(
                    &(self.variable)(&variable)
                        .ok_or_else(|| Error::NoVariable { setting: setting(), variable })?,
                ),
                SettingPart::File(name) => {
                    let folder = self.folder.as_ref().ok_or_else(|| Error::NoFolder {
                        setting: setting(),
                        variable: secrets_folder(self.of),
                    })?;
                    let path = folder.join(name);
                    let read = read_secret(&path).map_err(|detail| Error::NoFile {
                        setting: setting(),
                        file: path.display().to_string(),
                        detail,
                    })?;
                    // Whoever writes such a file by hand ends its line.
                    text.push_str(read.trim_end_matches(['\n', '\r']));
                }
            }
        }
        Ok(text)
    }
}

fn read_secret(path: &Path) -> std::result::Result<String, String> {
    let bytes = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if bytes > MAX_SECRET_BYTES {
        return Err(format!("it has {bytes} bytes, more than {MAX_SECRET_BYTES}"));
    }
    std::fs::read_to_string(path).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_put_in_and_what_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pass"), "s3cret\n").unwrap();
        let variable = |name: &str| (name == "WEBHOOK_USER").then(|| "ann".to_owned());
        let with = Some(folder.path().to_owned());
        let secrets = Secrets::new(SettingOf::Webhook, &variable, with);
        let resolved = secrets.resolved("url", "x-${WEBHOOK_USER}-${file:pass}").unwrap();
        assert_eq!(resolved, "x-ann-s3cret");
        let without = Secrets::new(SettingOf::Webhook, &variable, None);
        for (secrets, value, words) in [
            (&secrets, "${WEBHOOK_NONE}", ["`url`", "WEBHOOK_NONE"]),
            (&secrets, "${file:none}", ["`url`", "none"]),
            (&secrets, "${KAFKA_USER}", ["`url`", "KAFKA_USER"]),
            (&without, "${file:pass}", ["`url`", "WEBHOOK_SECRETS"]),
        ] {
            let said = secrets.resolved("url", value).unwrap_err().to_string();
            assert!(words.iter().all(|word| said.contains(word)), "{value}: {said}");
        }
    }
}
