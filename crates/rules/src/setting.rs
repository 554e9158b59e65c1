//! Settings in which secrets are named, not written.

/// What a setting is of. Variables of the environment that it may name begin accordingly: whoever
/// writes definitions is not to read the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingOf {
    /// Of a topic of Kafka.
    Kafka,
    /// Of a webhook.
    Webhook,
    /// Of a database that crowds are sent to.
    Activation,
}

impl SettingOf {
    /// How the names of its variables begin.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Kafka => "KAFKA_",
            Self::Webhook => "WEBHOOK_",
            Self::Activation => "ACTIVATE_",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "Kafka",
            Self::Webhook => "webhooks",
            Self::Activation => "activations",
        }
    }
}

/// A part of a setting's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingPart {
    /// It stands there.
    Text(String),
    /// `${NAME}`: a variable of the environment.
    Variable(String),
    /// `${file:NAME}`: what a file in the secrets' folder holds.
    File(String),
}

/// Why a setting's value cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadSetting {
    /// `${` without an end.
    #[error(
        "a reference begins with ${{ and has no }}: write ${{{prefix}NAME}} or ${{file:NAME}}",
        prefix = .0.prefix()
    )]
    Unclosed(SettingOf),
    /// A variable that is for something else.
    #[error(
        "`${{{name}}}` names no variable for {of}: its name begins with {prefix}, then letters, digits or _",
        of = .of.name(),
        prefix = .of.prefix()
    )]
    Variable {
        /// Its name.
        name: String,
        /// What the setting is of.
        of: SettingOf,
    },
    /// A file elsewhere.
    #[error(
        "`${{file:{0}}}` is not a file of the secrets' folder: give its name alone, of letters, digits, ., _ or -"
    )]
    File(String),
}

impl SettingPart {
    /// The parts of a value.
    ///
    /// # Errors
    /// A reference that is not one.
    pub fn read(of: SettingOf, value: &str) -> Result<Vec<Self>, UnreadSetting> {
        let (mut parts, mut rest) = (Vec::new(), value);
        while let Some((before, from)) = rest.split_once("${") {
            if !before.is_empty() {
                parts.push(Self::Text(before.to_owned()));
            }
            let (reference, after) = from.split_once('}').ok_or(UnreadSetting::Unclosed(of))?;
            parts.push(Self::reference(of, reference)?);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Self::Text(rest.to_owned()));
        }
        Ok(parts)
    }

    fn reference(of: SettingOf, text: &str) -> Result<Self, UnreadSetting> {
        if let Some(name) = text.strip_prefix("file:") {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            let is_name = !name.is_empty() && !name.starts_with('.') && name.chars().all(plain);
            return match is_name {
                true => Ok(Self::File(name.to_owned())),
                false => Err(UnreadSetting::File(name.to_owned())),
            };
        }
        let rest = text.strip_prefix(of.prefix());
        let is_name = rest.is_some_and(|rest| {
            !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        });
        match is_name {
            true => Ok(Self::Variable(text.to_owned())),
            false => Err(UnreadSetting::Variable { name: text.to_owned(), of }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_in_values() {
        let (text, variable, file) = (
            |t: &str| SettingPart::Text(t.to_owned()),
            |t: &str| SettingPart::Variable(t.to_owned()),
            |t: &str| SettingPart::File(t.to_owned()),
        );
        let of = SettingOf::Kafka;
        let unread = |t: &str| UnreadSetting::Variable { name: t.to_owned(), of };
        for (value, parts) in [
            ("", Ok(vec![])),
            ("sasl_ssl", Ok(vec![text("sasl_ssl")])),
            ("$x {y}", Ok(vec![text("$x {y}")])),
            ("${KAFKA_A}", Ok(vec![variable("KAFKA_A")])),
            (
                "a${KAFKA_A}b${file:c.d}",
                Ok(vec![text("a"), variable("KAFKA_A"), text("b"), file("c.d")]),
            ),
            ("${KAFKA_A", Err(UnreadSetting::Unclosed(of))),
            ("${KAFKA_}", Err(unread("KAFKA_"))),
            ("${HOME}", Err(unread("HOME"))),
            ("${KAFKA_A-b}", Err(unread("KAFKA_A-b"))),
            ("${file:../a}", Err(UnreadSetting::File("../a".to_owned()))),
            ("${file:.}", Err(UnreadSetting::File(".".to_owned()))),
            ("${file:}", Err(UnreadSetting::File(String::new()))),
        ] {
            assert_eq!(SettingPart::read(of, value), parts, "{value}");
        }
        let other = SettingPart::read(SettingOf::Webhook, "${KAFKA_A}").unwrap_err();
        let other = other.to_string();
        assert!(other.contains("for webhooks") && other.contains("WEBHOOK_"), "{other}");
    }
}
