//! Crowds evaluated as flags.

use crate::Problem;
use crate::access::Caller;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use taghouse_engine::Engine;
use taghouse_engine::clock_text::local;
use taghouse_model::{AppId, ErrorKind};
use taghouse_rules::{CrowdDefinition, Definitions, Labelled};
use taghouse_wire::{FlagBody, FlagFailure, FlagMetadata, FlagOutcome};

/// An older answer is said to be stale.
const FRESH_MS: u64 = 10_000;

/// The most crowds of an app of which all flags are evaluated by one call.
const MAX_FLAGS: usize = 1000;

/// All flags of an app for a user that the caller may see, in order of the names.
pub(crate) async fn every(
    engine: &Engine,
    caller: &Caller,
    app: &AppId,
    user: &str,
) -> Result<Vec<FlagOutcome>, Problem> {
    let definitions = engine.definitions(app).await?;
    let guard = caller.guard(&definitions);
    let judged = |crowd: &&CrowdDefinition| guard.judges(Labelled::Crowd(crowd.name.as_str()));
    let judged: Vec<&CrowdDefinition> = definitions.crowds.values().filter(judged).collect();
    let crowds = judged.len();
    if crowds > MAX_FLAGS {
        let detail = format!(
            "the app {app} has {crowds} crowds, and all flags are evaluated of {MAX_FLAGS} at most: evaluate each flag alone"
        );
        return Err(Problem::new(ErrorKind::Invalid, detail));
    }
    let mut flags = Vec::with_capacity(crowds);
    for crowd in &judged {
        flags.push(match evaluated(engine, &definitions, crowd, user).await {
            Ok(flag) => FlagOutcome::Evaluated(flag),
            // What is wrong with one crowd leaves the other flags as they are.
            Err(problem) => FlagOutcome::Failed(FlagFailure {
                key: Some(crowd.name.to_string()),
                error_code: "GENERAL".into(),
                error_details: problem.detail,
            }),
        });
    }
    let names = judged.iter().map(|crowd| crowd.name.as_str());
    engine.sum_read(&caller.id, app, "judge", 1, names);
    Ok(flags)
}

/// One flag for a user.
pub(crate) async fn evaluated(
    engine: &Engine,
    definitions: &Definitions,
    crowd: &CrowdDefinition,
    user: &str,
) -> Result<FlagBody, Problem> {
    let app = &definitions.app.id;
    let key = crowd.name.to_string();
    let live = crowd.is_live;
    let judgment = match engine.crowds.judge(app, user, &key).await {
        Ok(judgment) => judgment,
        Err(taghouse_crowd::Error::NotComputed { .. }) => {
            let metadata = FlagMetadata {
                version: 0,
                live,
                age_ms: 0,
                as_of: None,
                position: None,
                unknown_user: false,
            };
            let (reason, variant) = ("DEFAULT".into(), "not_computed".into());
            return Ok(FlagBody { key, value: None, reason, variant, metadata });
        }
        Err(error) => return Err(error.into()),
    };
    let age_ms = if live { engine.live_age_ms(app) } else { judgment.age_ms };
    let as_of_ms = if live { engine.stream.as_of_ms(app) } else { judgment.as_of_ms };
    Ok(FlagBody {
        key,
        value: Some(judgment.in_crowd),
        reason: if age_ms > FRESH_MS { "STALE" } else { "TARGETING_MATCH" }.into(),
        variant: if judgment.in_crowd { "in" } else { "out" }.into(),
        metadata: FlagMetadata {
            version: judgment.version,
            live,
            age_ms,
            as_of: as_of_ms.map(|ms| local(ms, &definitions.app.time_zone)),
            position: None,
            unknown_user: judgment.unknown_user,
        },
    })
}

/// Another one for other values, versions and reasons; ages are left out, for they always differ.
pub(crate) fn etag(flags: &[FlagOutcome]) -> String {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    for flag in flags {
        match flag {
            FlagOutcome::Evaluated(flag) => {
                add(&flag.key);
                add(&flag.variant);
                add(&flag.reason);
                add(&flag.metadata.version.to_string());
                add(&flag.metadata.unknown_user.to_string());
            }
            FlagOutcome::Failed(failure) => {
                add(failure.key.as_deref().unwrap_or_default());
                add(&failure.error_details);
            }
        }
    }
    let mut tag = String::from("\"");
    for byte in hash.finalize().iter().take(16) {
        // To a text: it cannot fail.
        write!(tag, "{byte:02x}").ok();
    }
    tag.push('"');
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(key: &str, value: Option<bool>, version: u64) -> FlagOutcome {
        let variant = value.map_or("not_computed", |value| if value { "in" } else { "out" });
        FlagOutcome::Evaluated(FlagBody {
            key: key.to_owned(),
            value,
            reason: "TARGETING_MATCH".into(),
            variant: variant.into(),
            metadata: FlagMetadata {
                version,
                live: false,
                age_ms: version * 7,
                as_of: None,
                position: None,
                unknown_user: false,
            },
        })
    }

    #[test]
    fn a_tag_changes_with_what_flags_say_and_not_with_their_age() {
        let one = etag(&[flag("a", Some(true), 1)]);
        let mut older = flag("a", Some(true), 1);
        if let FlagOutcome::Evaluated(flag) = &mut older {
            flag.metadata.age_ms += 500;
        }
        assert_eq!(etag(&[older]), one);
        for other in [
            vec![],
            vec![flag("a", Some(false), 1)],
            vec![flag("a", Some(true), 2)],
            vec![flag("b", Some(true), 1)],
            vec![flag("a", None, 1)],
            vec![flag("a", Some(true), 1), flag("b", Some(true), 1)],
        ] {
            assert_ne!(etag(&other), one);
        }
    }
}
