"""Calls every route by a generated client: client.py DOCUMENT BASE KEY SHOP WORK

Generates a client of the document into the folder WORK, and drives it against the server at BASE, which holds no app yet: the definitions of the
folder SHOP are applied by the client too. Each call must succeed, with an answer that the client understands. Fails for an operation of the
document that is not called.
"""

import importlib
import io
import json
import pathlib
import subprocess
import sys

APP = "corner"
ORDERS = b"""id,user,event,time,sku,amount
1,ann,purchase,2026-06-20T10:00:00,s1,60.10
2,ann,purchase,2026-06-21T10:00:00,s1,50.00
3,bob,purchase,2026-06-20T10:00:00,s2,20.00
4,eve,visit,2026-06-20T10:00:00,,
"""
LIVE = "{kind: tag, name: seen_live, type: int, mode: stream, aggregate: {events: [seen], function: count}}\n---\n{kind: crowd, name: listed, import: {}}"
TREE = {"compare": {"name": "purchases", "op": ">=", "literal": 1}}


class Caller:
    """The generated client, by operationId."""

    def __init__(self, document, client, models):
        self.tags = {op["operationId"]: op["tags"][0] for item in document["paths"].values() for op in item.values()}
        self.client, self.models, self.called = client, models, set()

    def __call__(self, name, /, *path, success=200, **arguments):
        """What the client makes of the answer."""
        module = importlib.import_module(f"taghouse_client.api.{self.tags[name]}.{name}")
        answer = module.sync_detailed(*path, client=self.client, **arguments)
        assert answer.status_code == success, f"{name}: {answer.status_code} {answer.content[:500]}"
        assert answer.parsed is not None or not answer.content, f"{name}: the client does not understand {answer.content[:500]}"
        assert type(answer.parsed).__name__ != "Problem", f"{name}: {answer.content[:500]}"
        self.called.add(name)
        return answer.parsed

    def refused(self, name, /, *path, status, **arguments):
        """Why a call is refused, as the client reads it."""
        module = importlib.import_module(f"taghouse_client.api.{self.tags[name]}.{name}")
        answer = module.sync_detailed(*path, client=self.client, **arguments)
        assert answer.status_code == status, f"{name}: {answer.status_code} {answer.content[:500]}"
        assert type(answer.parsed).__name__ == "Problem", f"{name}: {answer.content[:500]}"
        self.called.add(name)
        return answer.parsed.detail

    def body(self, model, values):
        """A request of the model's type, as the client reads it."""
        return getattr(self.models, model).from_dict(values)

    def run(self, started):
        """The run, once it has succeeded."""
        run = self("get_run", APP, started.id, wait_ms=30_000)
        while run.state == "running":  # on a busy machine
            run = self("get_run", APP, started.id, wait_ms=30_000)
        assert run.state == "succeeded", run
        return run


def definitions(call, shop):
    files = [{"path": path.name, "text": path.read_text()} for path in sorted(pathlib.Path(shop).glob("*.yaml"))]
    files.append({"path": "live.yaml", "text": LIVE})
    plan = call("apply_definitions", APP, body=call.body("ApplyRequest", {"files": files}))
    assert plan.applied and plan.changes
    assert [state.name for state in plan.states] == ["seen_live"], plan.states
    assert len(call("list_definitions", APP).definitions) == len(plan.changes)
    assert [app.id for app in call("list_apps").apps] == [APP]


def keys(call):
    key = call("create_key", success=201, body=call.body("NewKey", {"role": "judge", "app": APP, "note": "of the generated client"}))
    assert key.secret.startswith("tgh_")
    assert key.id in [known.id for known in call("list_keys").keys]
    rotated = call("rotate_key", key.id, body=call.body("RotateRequest", {"grace": "1h"}))
    assert rotated.id == key.id and rotated.secret != key.secret and rotated.former_until_ms
    call("revoke_key", key.id, success=204)
    assert {limit.name for limit in call("get_limits", APP).limits} >= {"requests", "questions", "uploads", "page"}


def backup(call):
    written = call("create_backup", success=201, body=call.body("NewBackup", {"folder": "by-client"}))
    assert written.files > 0 and written.folder.endswith("/by-client")


def data(call, file):
    upload = call("begin_upload", APP, success=201)
    call("send_file", APP, upload.id, success=204, name="orders-1.csv", body=file(payload=io.BytesIO(ORDERS)))
    run = call.run(call("start_ingestion", APP, success=202, body=call.body("IngestRequest", {"source": "orders", "upload": upload.id})))
    assert run.tasks[0].result.accepted_total == 4, run
    run = call.run(call("start_production", APP, success=202, body=call.body("ProduceRequest", {"as_of": "2026-07-01T00:00"})))
    call("cancel_run", APP, run.id, success=202)
    assert run.id in [known.id for known in call("list_runs", APP).runs]
    run = call.run(call("start_parity", APP, success=202, body=call.body("ParityRequest", {"tag": "seen_live", "sample": 10})))
    assert run.tasks[0].result.defects == 0, run


def questions(call):
    for expression in ("purchases >= 1", TREE):
        body = call.body("CountRequest", {"expression": expression})
        answer = call("count_users", APP, body=body)
        assert (answer.count, answer.json.to_dict()) == (2, TREE), answer
        assert call("estimate_count", APP, body=body).at_most >= 2
        assert json.loads(call("stream_count", APP, body=body).splitlines()[-1])["count"] == 2
        assert sorted(call("list_users", APP, body=call.body("PageRequest", {"expression": expression})).users) == ["ann", "bob"]
        assert call("sample_users", APP, body=call.body("SampleRequest", {"expression": expression, "size": 1})).count == 2
        top = call("list_top_values", APP, body=call.body("TopRequest", {"tag": "favourite", "expression": expression}))
        assert sorted(value.value for value in top.values) == ["s1", "s2"]
        overlap = call("get_overlap", APP, body=call.body("OverlapRequest", {"rows": [expression, "band == \"low\""], "jaccard": True}))
        assert overlap.counts == [[2, 1], [1, 1]], overlap
    assert call("count_users_by_url", APP, expression="purchases >= 1").count == 2
    assert '"count":2' in call("stream_count_by_url", APP, expression="purchases >= 1")
    group = call("group_users", APP, body=call.body("GroupRequest", {"rows": {"tag": "band"}, "columns": {"tag": "spend_30d", "buckets": "equal_widths"}}))
    assert group.users == 3
    histogram = call("get_histogram", APP, body=call.body("HistogramRequest", {"tag": "spend_30d", "edges": [0, "50.00", 200]}))
    assert [each.users for each in histogram.bins] == [1, 1] and histogram.sum_ == "130.10", histogram
    compared = call("compare_crowd", APP, body=call.body("ComparisonRequest", {"expression": "crowd(\"high_spenders\")", "tags": ["band"], "order": "index"}))
    assert (compared.crowd, compared.base) == (1, 3)
    alike = call("find_lookalikes", APP, body=call.body("LookalikeRequest", {"expression": "crowd(\"high_spenders\")", "tags": ["band"]}))
    assert (alike.seed, alike.candidates) == (1, 2)


def tags_and_crowds(call, file):
    tags = {tag.name: tag for tag in call("list_tags", APP).tags}
    assert tags["purchases"].sum_ == "3", tags
    values = call("list_tag_values", APP, "purchases", limit=5).values
    assert sorted((value.value, value.users) for value in values) == [(1, 1), (2, 1)], values
    assert {crowd.name for crowd in call("list_crowds", APP).crowds} == {"high_spenders", "listed", "others"}
    assert call("get_crowd", APP, "others").size == 2
    version = call("list_crowd_versions", APP, "others").versions[0].version
    assert call.run(call("refresh_crowds", APP, success=202, body=call.body("RefreshRequest", {"crowds": ["high_spenders"]}))).kind == "refresh"
    upload = call("begin_upload", APP, success=201)
    call("send_file", APP, upload.id, success=204, name="ids.csv", body=file(payload=io.BytesIO(b"ann\nann\n")))
    run = call.run(call("import_crowd", APP, "listed", success=202, body=call.body("ImportRequest", {"upload": upload.id})))
    assert (run.tasks[0].result.matched, run.tasks[0].result.duplicates) == (1, 1), run
    assert call("list_import_rows", APP, "listed", run.tasks[0].result.version).splitlines()[1:] == ['2,2,"its user stands in an earlier row"']
    unsplit = call.refused("compare_arms", APP, "others", status=400, body=call.body("EffectRequest", {"metric": "purchases"}))
    assert "is not split" in unsplit, unsplit
    unlinked = call.refused("pull_crowd", APP, "listed", status=400)
    assert "has no link" in unlinked, unlinked
    difference = call("compare_crowd_versions", APP, "others", from_=version)
    assert (difference.to, difference.entered.count, difference.left.sample) == (version, 0, [])
    assert call("pin_crowd_version", APP, "others", version).versions[0].pinned
    assert not call("unpin_crowd_version", APP, "others", version).versions[0].pinned
    assert call("roll_back_crowd", APP, "others", body=call.body("PublishRequest", {"version": version})).held
    assert call("publish_crowd", APP, "others", body=call.body("PublishRequest", {})).held is None
    assert call("roll_out_crowd", APP, "others", body=call.body("RolloutRequest", {"share": "100%"})).rollout is None
    formats = importlib.import_module("taghouse_client.models.export_crowd_format").ExportCrowdFormat
    for name in formats:
        exported = call("export_crowd", APP, "others", format_=name, version=version)
        assert len(exported if isinstance(exported, str) else exported.payload.read()) > 0, name
    assert call("judge_user", APP, user="ann", crowd="high_spenders").in_crowd
    batch = call("judge_users", APP, body=call.body("JudgeRequest", {"users": ["ann", "bob"], "crowds": ["others"]}))
    assert [judged.crowds.to_dict() for judged in batch.judgments] == [{"others": False}, {"others": True}], batch
    batch = call("judge_users", APP, body=call.body("JudgeRequest", {"users": ["ann", "bob"], "expressions": {"some": "purchases >= 1 && !crowd('others')"}}))
    assert [judged.expressions.to_dict() for judged in batch.judgments] == [{"some": True}, {"some": False}], batch
    why = call("explain_judgment", APP, user="ann", crowd="high_spenders")
    assert why.in_crowd and why.rule.holds and not why.differs, why
    assert "high_spenders" in [crowd.crowd for crowd in call("list_user_crowds", APP, "ann").crowds]
    flag = call("evaluate_flag", "high_spenders", body=call.body("FlagRequest", {"context": {"targetingKey": "ann"}}), taghouse_app=APP)
    assert flag.value and flag.variant == "in", flag
    flags = call("evaluate_flags", body=call.body("FlagRequest", {"context": {"targetingKey": "ann"}}), taghouse_app=APP)
    assert {flag.key: flag.value for flag in flags.flags}["high_spenders"], flags
    call("follow_flags", user="ann", app=APP, limit=1)
    assert call("get_profile", APP, user="ann", tags="purchases").tags.to_dict().keys() == {"purchases"}
    assert call("get_profile", APP, user="ann").tags.to_dict()["spend_30d"] == "110.10"


def users(call):
    changes = [
        {"user": "ann", "tag": "city", "set": "Bonn"},
        {"user": "bob", "tag": "spend_30d", "set": 12.5},
        {"user": "bob", "tag": "city", "unset": True},
    ]
    assert call("change_tags", APP, body=call.body("ChangesRequest", {"changes": changes})).changes == 3
    kind = importlib.import_module("taghouse_client.models.track_kind").TrackKind
    event = {"userId": "dee", "event": "purchase", "properties": {"sku": "s1", "amount": 5}}
    call("track", kind.TRACK, body=call.body("TrackBody", event))
    call("track", kind.BATCH, body=call.body("TrackBody", {"batch": [{**event, "type": "track"}]}))
    call("track", kind.B, body=call.body("TrackBody", {"batch": [{**event, "type": "track"}]}))
    call("send_metrics", body=call.body("SendMetricsBody", {"series": []}))
    key = call("create_key", success=201, body=call.body("NewKey", {"role": "write", "app": APP, "note": "of a page"}))
    assert call("get_tracking_settings", key.secret)["integrations"]["Segment.io"]["apiKey"] == key.secret
    assert call("get_landing", APP).last_error is None
    assert call("get_live", APP).live_tags == 1
    assert not call("follow_changes", APP, follow=False, from_="latest")
    assert "taghouse_uptime_seconds" in call("get_metrics")
    assert [source.name for source in call("list_sources", APP).sources]
    assert call("list_files", APP, source="orders", limit=5).files
    assert isinstance(call("list_rejected", APP, limit=5).rows, list)
    assert call("link_id", APP, body=call.body("LinkRequest", {"id": "bob@mail", "id_type": "email", "user": "bob"})).user == "bob"
    identity = call("get_identity", APP, id="bob@mail")
    assert identity.user == "bob" and [line.event for line in identity.log] == ["link"], identity
    assert call("unlink_id", APP, body=call.body("UnlinkRequest", {"id": "bob@mail"})).user == "bob@mail"
    assert call("export_user", APP, "eve").splitlines()[-1].startswith('{"kind":"end"')
    receipt = call("delete_user", APP, "eve")
    assert receipt.users == ["eve"]
    receipt = call("delete_users", APP, body=call.body("DeleteRequest", {"users": ["ann", "nobody"]}))
    assert (receipt.users, receipt.unknown) == (["ann"], ["nobody"]) and receipt.tags, receipt
    suppressed = call("suppress_ids", APP, body=call.body("SuppressRequest", {"ids": ["gone"], "delete": True}))
    assert suppressed.ids == ["gone"] and suppressed.deletion.unknown == ["gone"], suppressed
    assert len(call("list_suppressions", APP, id="gone").suppressions) == 1
    assert call("lift_suppressions", APP, body=call.body("LiftRequest", {"ids": ["gone"]})).ids == ["gone"]
    assert call("list_suppressions", APP, limit=5).count == 0
    assert [each.kind for each in call("list_receipts", APP, limit=2).receipts] == ["lift", "suppression"]
    assert call("get_receipt", APP, receipt.receipt).kind == "deletion"
    call.run(call("start_compaction", APP, success=202, body=call.body("CompactRequest", {"expire": {"is_set": {"name": "band"}}})))


def sinks(call):
    hook = """{kind: sink, name: hook, webhook: {url: "http://127.0.0.1:9/", secret: "${WEBHOOK_NONE}"}}"""
    call("apply_definitions", APP, body=call.body("ApplyRequest", {"files": [{"path": "hook.yaml", "text": hook}]}))
    tested = call("test_sink", APP, "hook")
    assert not tested.delivered and "WEBHOOK_NONE" in tested.error, tested
    assert call("list_deliveries", APP, "hook", limit=5).deliveries[0].outcome == "failed"
    assert call("list_dead_letters", APP, "hook").total == 0
    assert call("retry_dead_letters", APP, "hook", body=call.body("ResendRequest", {"limit": 5})).remaining == 0


def activations(call):
    out = "{kind: activation, name: out, crowd: high_spenders, to: {file: {path: out.csv}}}"
    call("apply_definitions", APP, body=call.body("ApplyRequest", {"files": [{"path": "out.yaml", "text": out}]}))
    assert call.run(call("run_activation", APP, "out", success=202)).kind == "activate"
    assert [(one.name, one.last.state) for one in call("list_activations", APP).activations] == [("out", "succeeded")]
    assert call("list_activation_deliveries", APP, "out").deliveries[0].delivery == 1
    assert call("list_activation_failures", APP, "out", 1).startswith("user_id,change")


def audit(call):
    lines = call("list_audit", APP, action="definitions.apply", limit=5).lines
    assert lines and lines[0].outcome == "done", lines
    assert call("list_house_audit", actor="serve").lines[0].action == "key.create"


def keyless(call):
    call("get_health")
    call("get_liveness")
    call("get_readiness")
    call("get_schema")
    call("get_openapi")


def main(document_file, base, key, shop, work):
    made = pathlib.Path(work) / "taghouse_client"
    generator = pathlib.Path(sys.executable).with_name("openapi-python-client")
    config = pathlib.Path(__file__).with_name("client.yaml")
    subprocess.run(
        [generator, "generate", "--path", document_file, "--output-path", made, "--meta", "none", "--config", config, "--fail-on-warning"],
        check=True,
    )
    sys.path.insert(0, str(made.parent))
    package, models, types = (importlib.import_module(f"taghouse_client{part}") for part in ("", ".models", ".types"))
    with open(document_file, encoding="utf-8") as text:
        document = json.load(text)
    call = Caller(document, package.AuthenticatedClient(base_url=base, token=key, raise_on_unexpected_status=True, timeout=60), models)
    keyless(call)
    definitions(call, shop)
    keys(call)
    backup(call)
    data(call, types.File)
    questions(call)
    tags_and_crowds(call, types.File)
    users(call)
    sinks(call)
    activations(call)
    audit(call)
    missed = sorted(set(call.tags) - call.called)
    sys.exit(f"client.py does not call: {', '.join(missed)}" if missed else None)


main(*sys.argv[1:])
