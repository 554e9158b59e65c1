//! A valid call of every operation of the document, and who may make it. An operation without a row
//! fails the test: give each new route one. `{user}`, `{upload}`, `{id}`, `{write_key}` and
//! `{number}` are made for each call, `{version}` is the one that answers; the app is `corner`, the crowd `others`, the
//! tag `purchases`, the activation `out`.

/// What a call carries.
pub(crate) enum Sent {
    Nothing,
    Json(&'static str),
    File(&'static str),
}

/// A call and the statuses of admin, editor, viewer, write and judge.
pub(crate) struct Row {
    pub(crate) operation: &'static str,
    pub(crate) query: &'static str,
    pub(crate) sent: Sent,
    pub(crate) statuses: [u16; 5],
    /// With keys of another app, where the path names no app; where it does, each gets 403.
    pub(crate) of_another_app: [u16; 5],
    /// With an admin's key that is granted one crowd which is none of those in the calls.
    pub(crate) limited: u16,
}

const READ: [u16; 5] = [200, 200, 200, 403, 403];
const JUDGE: [u16; 5] = [200, 200, 200, 403, 200];
const WRITE: [u16; 5] = [200, 403, 403, 200, 403];
const ALL: [u16; 5] = [200; 5];

const fn edit(status: u16) -> [u16; 5] {
    [status, status, 403, 403, 403]
}

const fn administer(status: u16) -> [u16; 5] {
    [status, 403, 403, 403, 403]
}

const fn row(operation: &'static str, statuses: [u16; 5], query: &'static str, sent: Sent) -> Row {
    Row { operation, query, sent, statuses, of_another_app: statuses, limited: 403 }
}

const fn get(operation: &'static str, statuses: [u16; 5], query: &'static str) -> Row {
    row(operation, statuses, query, Sent::Nothing)
}

const fn json(operation: &'static str, statuses: [u16; 5], body: &'static str) -> Row {
    row(operation, statuses, "", Sent::Json(body))
}

/// A key with grants may make the call, and is answered with what they name: nothing.
const fn in_part(row: Row) -> Row {
    Row { limited: row.statuses[0], ..row }
}

/// A key of another app may make the call only where it is of its own.
const fn own(row: Row) -> Row {
    Row { of_another_app: [403; 5], ..row }
}

pub(crate) const ROWS: &[Row] = &[
    get("get_health", ALL, ""),
    get("get_liveness", ALL, ""),
    get("get_readiness", ALL, ""),
    get("get_metrics", READ, ""),
    get("get_schema", ALL, ""),
    get("get_openapi", ALL, ""),
    in_part(get("list_apps", JUDGE, "")),
    in_part(get("get_limits", ALL, "")),
    get("list_keys", administer(200), ""),
    own(json(
        "create_key",
        administer(201),
        r#"{"role": "judge", "app": "corner", "note": "made by a test"}"#,
    )),
    own(get("revoke_key", administer(204), "")),
    own(json("rotate_key", administer(200), r#"{"grace": "1h"}"#)),
    in_part(get("list_definitions", READ, "")),
    json(
        "apply_definitions",
        edit(200),
        r#"{"files": [{"path": "a.yaml", "text": "kind: crowd\nname: made\nexpression: purchases >= 1"}], "dry_run": true}"#,
    ),
    in_part(get("begin_upload", edit(201), "")),
    in_part(row(
        "send_file",
        edit(204),
        "name=orders-{number}.csv",
        Sent::File("id,user,event,time,sku,amount\n"),
    )),
    json("start_ingestion", edit(202), r#"{"source": "orders", "upload": "{upload}"}"#),
    json(
        "track",
        WRITE,
        r#"{"userId": "ann", "event": "visit", "timestamp": "2026-06-20T10:00:00Z"}"#,
    ),
    json(
        "send_metrics",
        ALL,
        r#"{"series": [{"type": "Counter", "metric": "analytics_js.invoke", "value": 1}]}"#,
    ),
    get("get_tracking_settings", ALL, ""),
    get("get_landing", READ, ""),
    get("get_live", READ, ""),
    get("follow_changes", READ, "follow=false&from=earliest"),
    get("list_sources", READ, ""),
    get("list_files", READ, "source=orders&limit=5"),
    get("list_rejected", READ, "source=orders&reason=bad_type&limit=5"),
    json("start_production", edit(202), r#"{"as_of": "2026-07-01T00:00", "tags": ["purchases"]}"#),
    json("start_parity", edit(202), r#"{"tag": "seen_live", "sample": 10}"#),
    get("list_runs", READ, ""),
    in_part(get("get_run", READ, "wait_ms=10")),
    in_part(get("cancel_run", edit(202), "")),
    in_part(get("list_tags", READ, "")),
    get("list_tag_values", READ, "limit=5"),
    in_part(get("list_crowds", READ, "")),
    get("get_crowd", READ, ""),
    get("list_crowd_versions", READ, ""),
    json("refresh_crowds", edit(202), r#"{"crowds": ["high_spenders"], "dependents": false}"#),
    json(
        "import_crowd",
        edit(202),
        r#"{"upload": "{upload}", "mode": "append", "batch": "made-{number}"}"#,
    ),
    get("pull_crowd", edit(400), ""),
    get("list_import_rows", READ, ""),
    get("compare_crowd_versions", READ, "from={version}&sample=5"),
    // The crowd is not split: whoever may read is told so.
    json("compare_arms", [400, 400, 400, 403, 403], r#"{"metric": "purchases"}"#),
    json("roll_back_crowd", edit(200), r#"{"version": {version}}"#),
    json("publish_crowd", edit(200), "{}"),
    json("roll_out_crowd", edit(200), r#"{"version": {version}, "share": "100%"}"#),
    get("pin_crowd_version", edit(200), ""),
    get("unpin_crowd_version", edit(200), ""),
    get("export_crowd", READ, ""),
    get("export_crowd", READ, "format=jsonl"),
    get("export_crowd", READ, "format=parquet"),
    get("export_crowd", READ, "format=roaring"),
    get("export_crowd", READ, "format=roaring64"),
    get("judge_user", JUDGE, "user=ann&crowd=others"),
    get("judge_user", JUDGE, "user=nobody&crowd=others"),
    json(
        "judge_users",
        JUDGE,
        r#"{"users": ["ann", "nobody"], "crowds": ["others", "high_spenders"]}"#,
    ),
    json(
        "judge_users",
        JUDGE,
        r#"{"users": ["ann"], "expressions": {"some": "purchases >= 1 && !crowd(\"others\")"}}"#,
    ),
    get("explain_judgment", JUDGE, "user=ann&crowd=others"),
    in_part(get("list_user_crowds", JUDGE, "")),
    in_part(get("get_profile", JUDGE, "user=ann")),
    get("get_profile", JUDGE, "user=ann&tags=purchases"),
    Row {
        of_another_app: [404, 404, 404, 403, 404],
        ..json("evaluate_flag", JUDGE, r#"{"context": {"targetingKey": "ann", "plan": "x"}}"#)
    },
    in_part(json("evaluate_flags", JUDGE, r#"{"context": {"targetingKey": "ann"}}"#)),
    in_part(get("follow_flags", JUDGE, "user=ann&limit=1")),
    json("count_users", READ, r#"{"expression": "purchases >= 1"}"#),
    json("count_users", READ, r#"{"expression": {"is_set": {"name": "band"}}}"#),
    get("count_users_by_url", READ, "expression=purchases%20is%20set"),
    json("estimate_count", READ, r#"{"expression": "purchases >= 1"}"#),
    json("stream_count", READ, r#"{"expression": "purchases >= 1"}"#),
    get("stream_count_by_url", READ, "expression=purchases%20is%20set"),
    json("list_users", READ, r#"{"expression": "purchases >= 1", "limit": 1}"#),
    json("sample_users", READ, r#"{"expression": "purchases >= 1", "size": 1, "seed": 7}"#),
    json("list_top_values", READ, r#"{"tag": "favourite"}"#),
    json(
        "list_top_values",
        READ,
        r#"{"tag": "spend_30d", "expression": "purchases >= 1", "limit": 1}"#,
    ),
    json(
        "group_users",
        READ,
        r#"{"rows": {"tag": "band"}, "columns": {"tag": "spend_30d", "limit": 2}}"#,
    ),
    json("get_histogram", READ, r#"{"tag": "spend_30d", "edges": [0, "50.00", 200]}"#),
    json("get_histogram", READ, r#"{"tag": "purchases", "expression": "purchases > 100"}"#),
    json(
        "get_overlap",
        READ,
        r#"{"rows": ["purchases >= 1", {"is_set": {"name": "band"}}], "jaccard": true}"#,
    ),
    json("get_overlap", READ, r#"{"rows": ["purchases >= 1"], "columns": ["band == \"low\""]}"#),
    json(
        "compare_crowd",
        READ,
        r#"{"expression": "crowd(\"high_spenders\")", "tags": ["band", "spend_30d"]}"#,
    ),
    json(
        "find_lookalikes",
        READ,
        r#"{"expression": "crowd(\"high_spenders\")", "among": "purchases >= 1", "tags": ["band", "spend_30d"]}"#,
    ),
    json(
        "change_tags",
        WRITE,
        r#"{"changes": [{"user": "bob", "tag": "city", "set": "Bonn"}, {"user": "bob", "tag": "mean", "set": 1.5}]}"#,
    ),
    get("list_activations", READ, ""),
    get("run_activation", edit(202), ""),
    get("list_activation_deliveries", READ, ""),
    get("list_activation_failures", READ, ""),
    get("list_deliveries", READ, "limit=5"),
    get("list_dead_letters", READ, "limit=5"),
    json("retry_dead_letters", edit(200), r#"{"limit": 5}"#),
    get("test_sink", edit(200), ""),
    get("get_identity", READ, "id=bob"),
    json("link_id", edit(200), r#"{"id": "{user}@mail", "id_type": "email", "user": "bob"}"#),
    json("unlink_id", edit(200), r#"{"id": "nobody@mail"}"#),
    get("export_user", READ, ""),
    get("delete_user", edit(200), ""),
    json("delete_users", edit(200), r#"{"users": ["{user}", "nobody"]}"#),
    json("suppress_ids", edit(200), r#"{"ids": ["{user}"], "delete": true}"#),
    json("lift_suppressions", edit(200), r#"{"ids": ["{user}"]}"#),
    get("list_suppressions", READ, "id=bob"),
    get("list_receipts", READ, "limit=5"),
    get("get_receipt", READ, ""),
    json("start_compaction", edit(202), "{}"),
    get("list_audit", administer(200), "limit=5"),
    get("list_house_audit", [403; 5], ""),
    json("create_backup", [403; 5], r#"{"folder": "today"}"#),
];
