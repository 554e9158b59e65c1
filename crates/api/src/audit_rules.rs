//! Which line of the audit trail each route leaves, or why it leaves none. The description says it
//! of each operation as `x-audit`; a route that is not listed here fails a test.

use serde_json::{Value, json};
use utoipa::openapi::OpenApi;
use utoipa::openapi::extensions::ExtensionsBuilder;

/// What a route leaves in the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuditRule {
    /// Lines of this action, one for each call, or two where it takes long.
    Line(&'static str),
    /// One line of this action for each key and minute, for there may be thousands of calls.
    Sum(&'static str),
    /// None, for this reason.
    Nothing(&'static str),
}

use AuditRule::{Line, Nothing, Sum};

const NUMBERS: AuditRule = Nothing("it answers with numbers of users, and names none");
const SETTINGS: AuditRule =
    Nothing("it shows definitions or how the server works, and no data of people");

/// The rule of an operation, by its id.
fn audit_rule(operation: &str) -> Option<AuditRule> {
    line(operation).or_else(|| sum(operation)).or_else(|| nothing(operation))
}

/// What changes something, and exports.
fn line(operation: &str) -> Option<AuditRule> {
    Some(match operation {
        "create_key" => Line("key.create"),
        "rotate_key" => Line("key.rotate"),
        "revoke_key" => Line("key.revoke"),
        "apply_definitions" => Line("definitions.apply"),
        "begin_upload" | "send_file" => Line("upload"),
        "start_ingestion" => Line("ingest"),
        "start_production" => Line("produce"),
        "start_parity" => Line("parity"),
        "cancel_run" => Line("cancel"),
        "refresh_crowds" => Line("crowd.refresh"),
        "import_crowd" | "pull_crowd" => Line("crowd.import"),
        "publish_crowd" => Line("crowd.publish"),
        "roll_back_crowd" => Line("crowd.rollback"),
        "roll_out_crowd" => Line("crowd.rollout"),
        "pin_crowd_version" => Line("crowd.pin"),
        "unpin_crowd_version" => Line("crowd.unpin"),
        "run_activation" => Line("activate"),
        "export_crowd" | "export_user" => Line("export"),
        "delete_user" | "delete_users" => Line("delete"),
        "suppress_ids" => Line("suppress"),
        "lift_suppressions" => Line("lift"),
        "start_compaction" => Line("compact"),
        "link_id" => Line("link"),
        "unlink_id" => Line("unlink"),
        "create_backup" => Line("backup"),
        "test_sink" => Line("test_sink"),
        "retry_dead_letters" => Line("retry_dead_letters"),
        _ => return None,
    })
}

/// What is asked about single users, and changes by hand.
fn sum(operation: &str) -> Option<AuditRule> {
    Some(match operation {
        "change_tags" => Sum("change"),
        "judge_user" | "judge_users" | "evaluate_flag" | "evaluate_flags" | "follow_flags" => {
            Sum("judge")
        }
        "explain_judgment" => Sum("why"),
        "get_profile" => Sum("profile"),
        "list_user_crowds" => Sum("user_crowds"),
        "sample_users" => Sum("sample"),
        "list_users" => Sum("list"),
        "compare_crowd_versions" => Sum("difference"),
        "follow_changes" => Sum("follow"),
        "get_identity" => Sum("identity"),
        "list_rejected" => Sum("rejected"),
        "list_activation_failures" => Sum("activation_failures"),
        "list_dead_letters" => Sum("dead_letters"),
        _ => return None,
    })
}

/// All else.
fn nothing(operation: &str) -> Option<AuditRule> {
    Some(match operation {
        "count_users"
        | "count_users_by_url"
        | "estimate_count"
        | "stream_count"
        | "stream_count_by_url"
        | "list_tags"
        | "list_tag_values"
        | "list_top_values"
        | "group_users"
        | "get_histogram"
        | "get_overlap"
        | "compare_crowd"
        | "compare_arms"
        | "find_lookalikes"
        | "list_crowds"
        | "get_crowd"
        | "list_crowd_versions"
        | "list_import_rows"
        | "list_activation_deliveries" => NUMBERS,
        "list_apps" | "list_activations" | "list_keys" | "list_definitions" | "list_sources"
        | "list_files" | "list_runs" | "get_run" | "get_landing" | "get_live" | "get_metrics"
        | "list_deliveries" | "get_schema" | "get_openapi" | "get_health" | "get_liveness"
        | "get_readiness" | "get_limits" => SETTINGS,
        "list_audit" | "list_house_audit" => {
            Nothing("it shows the trail; a line for each look would push out the lines that matter")
        }
        "list_suppressions" | "list_receipts" | "get_receipt" => {
            Nothing("it shows digests of ids and what was done with them, and no data of people")
        }
        "track" => Nothing(
            "calls bring data by the thousand per second; each row in the lake says which call brought it, and calls show nothing",
        ),
        "send_metrics" | "get_tracking_settings" => {
            Nothing("it needs no key, and takes and shows no data of people")
        }
        _ => return None,
    })
}

impl AuditRule {
    fn to_json(self) -> Value {
        match self {
            Line(action) => json!({"action": action, "lines": "each call"}),
            Sum(action) => json!({"action": action, "lines": "each key and minute"}),
            Nothing(reason) => json!({"none": reason}),
        }
    }
}

/// Says it of each operation.
pub(crate) fn describe(api: &mut OpenApi) {
    for item in api.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().filter_map(Option::as_mut) {
            let rule = operation.operation_id.as_deref().and_then(audit_rule);
            let Some(rule) = rule else { continue };
            operation.extensions =
                Some(ExtensionsBuilder::new().add("x-audit", rule.to_json()).build());
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_route_says_what_it_leaves_in_the_trail() {
        let described = serde_json::to_value(crate::openapi()).unwrap();
        let mut missing = Vec::new();
        for item in described["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                if operation["x-audit"].is_null() {
                    missing.push(operation["operationId"].to_string());
                }
            }
        }
        assert!(missing.is_empty(), "audit_rules.rs has no rule of {missing:?}");
    }
}
