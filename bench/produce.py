"""The group `produce`: tags of many events, by files.

- `produce.tags30`: of ten event names a count of 7 days, an exact sum of 30 and a count of different values of 90, over 100 million events of a million
  users in 90 days, against the same in SQL, each a table of users and values. DuckDB is given two forms, and the faster counts: thirty aggregates in one
  pass, and one pass for counts and sums beside one over different (user, event, value). Ours writes the tables of tags and users, the index and the
  day's crowds; both read what they have taken in before, and are timed from opening to closing. Totals of all tags must agree.

With TAGHOUSE_BENCH_SCALE below 1, that share of events and users.
"""
import json
import shutil
import statistics
import time

import report
from crowd_data import SCALE
from process import output, peer, peer_name

EVENTS, USERS = 100_000_000, 1_000_000
AS_OF = "2026-07-01T00:00"
SOURCE = """kind: app
id: tags30
time_zone: UTC
---
kind: source
name: events
format: parquet
files: "*.parquet"
user_id: user_id
event: { column: event }
time: time
properties:
  sku: sku
  amount: { column: amount, type: decimal, scale: 2 }
"""


def benchmarks(root, target, work):
    return {"tags30": lambda repeat: tags30(root, target, work, repeat)}


def tags():
    for name in range(10):
        for kind, form in (("count", "int, aggregate: {function: count, window: 7d"),
                           ("sum", "decimal, scale: 2, aggregate: {function: sum, value: amount, window: 30d"),
                           ("distinct", "int, aggregate: {function: count_distinct, value: sku, window: 90d")):
            yield f"---\n{{kind: tag, name: {kind}_{name}, type: {form}, events: [event_{name}]}}}}\n"


def tags30(root, target, work, repeat):
    folder = work / "tags30"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    definitions, files, data, database = folder / "tags30.yaml", folder / "files", folder / "data", folder / "tags30.duckdb"
    definitions.write_text(SOURCE + "".join(tags()))
    try:
        peer(root, "duckdb_tags30.py", "draw", files, int(EVENTS * SCALE), max(2, int(USERS * SCALE)))
        ours = lambda *arguments: output(target / "taghouse", "--data", data, "--app", "tags30", *arguments)
        ours("apply", "-f", definitions)
        ours("ingest", "--source", "events", files)
        peer(root, "duckdb_tags30.py", "ingest", database, files)
        our_seconds, forms = [], {}
        for _ in range(repeat):
            start = time.perf_counter()
            ours("produce", "--as-of", AS_OF, "--json")
            our_seconds.append(time.perf_counter() - start)
            for form in ("one", "two"):
                answer = peer(root, "duckdb_tags30.py", "produce", database, form)
                forms.setdefault(form, []).append(answer["seconds"])
        found = {tag["name"]: [tag["users"], tag["sum"]] for tag in json.loads(ours("tags", "--json"))["tags"]}
        assert found == answer["answers"], f"ours {found}, the peer's {answer['answers']}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    medians = {form: statistics.median(seconds) for form, seconds in forms.items()}
    best = min(medians, key=medians.get)
    note = f"{int(EVENTS * SCALE):,} events; the peer's forms: one pass {medians['one']:.1f} s, two passes {medians['two']:.1f} s"
    return report.row("produce.tags30", "s", statistics.median(our_seconds), medians[best], peer_name("duckdb", "DuckDB"), target=1, note=note)
