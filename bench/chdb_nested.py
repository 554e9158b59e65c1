"""Counts a nested set expression over generated bitmaps in chdb: what `taghouse-bench nested-count` is compared with.

    chdb_nested.py USERS

User i has a tag of share p (in a thousand) when xxh3(i + tag * 2^32) modulo 1000 is below p: bench/engine draws the same bitmaps, so both must find
the same count. Several forms are timed and the best one counts: as one row or as rows of 2^20 users, in memory or in MergeTree.
Prints one JSON object.
"""
import json
import statistics
import sys
import time

from chdb import session

TAGS = {"half": 500, "tenth_a": 100, "tenth_b": 100, "hundredth": 10, "third": 300}
QUERY = "bitmapAndCardinality(bitmapAndnot(bitmapAnd(half, bitmapOr(tenth_a, tenth_b)), hundredth), third)"
RUNS = 15

users = int(sys.argv[1])
chdb = session.Session()
chdb.query("CREATE DATABASE bench ENGINE = Atomic")
states = ", ".join(
    f"groupBitmapStateIf(toUInt32(number), xxh3(toUInt64(number + {tag} * 4294967296)) % 1000 < {share}) AS {name}"
    for tag, (name, share) in enumerate(TAGS.items(), 1))
columns = ", ".join(f"{name} AggregateFunction(groupBitmap, UInt32)" for name in TAGS)
forms = {}
for rows, shard in ("one row", "0"), ("rows of 2^20 users", "intDiv(number, 1048576)"):
    for engine in "Memory", "MergeTree ORDER BY shard":
        table = f"bench.t{len(forms)}"
        chdb.query(f"CREATE TABLE {table} (shard UInt32, {columns}) ENGINE = {engine}")
        chdb.query(f"INSERT INTO {table} SELECT {shard} AS shard, {states} FROM numbers({users}) GROUP BY shard ORDER BY shard")
        forms[f"{rows}, {engine.split()[0]}"] = f"SELECT sum({QUERY}) FROM {table}"

counts, medians = set(), {}
for form, query in forms.items():
    counts.add(int(chdb.query(query).bytes()))
    times_ms = []
    for _ in range(RUNS):
        start = time.perf_counter()
        chdb.query(query)
        times_ms.append((time.perf_counter() - start) * 1000)
    medians[form] = statistics.median(times_ms)
assert len(counts) == 1, f"the forms disagree: {counts}"
form = min(medians, key=medians.get)
print(json.dumps({"count": counts.pop(), "median_ms": medians[form], "form": form, "medians_ms": medians}))
