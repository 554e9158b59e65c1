"""Thirty tags in DuckDB, for `produce.tags30`.

    duckdb_tags30.py draw FOLDER EVENTS USERS      events of 90 days as Parquet files, in the order of time
    duckdb_tags30.py ingest DATABASE FOLDER        the files into a new database file
    duckdb_tags30.py produce DATABASE one|two      the tags as of 2026-07-01, each a table

Prints one JSON object: the seconds from opening the file to closing it, and answers that must equal ours. Python's own start is not timed.
"""
import json
import os
import sys
import time

import duckdb

FILES = 30
AS_OF = "TIMESTAMPTZ '2026-07-01T00:00:00Z'"

# hash() is not that of a user's place in the file, so users come in no order.
DRAW = """
COPY (SELECT 'u' || lpad(CAST(hash(i) % {users} AS VARCHAR), 8, '0') AS user_id, 'event_' || CAST(hash(i + 1000000007) % 10 AS VARCHAR) AS event,
    {as_of} - INTERVAL 90 DAY + to_microseconds(CAST(i * (90.0 * 86400 * 1000000 / {events}) AS BIGINT)) AS time,
    CAST((hash(i + 2000000011) % 100000) / 100 AS DECIMAL(18, 2)) AS amount, 's' || CAST(hash(i + 3000000019) % 5000 AS VARCHAR) AS sku
  FROM range({first}, {last}) t(i)) TO '{folder}/{number:02}.parquet' (FORMAT parquet, COMPRESSION zstd);
"""


def begin(days):
    return f"({AS_OF} - INTERVAL {days} DAY)"


def draw(folder, events, users):
    os.makedirs(folder)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    events = int(events)
    for number in range(FILES):
        connection.execute(DRAW.format(users=int(users), events=events, as_of=AS_OF, folder=folder, number=number,
                                       first=events * number // FILES, last=events * (number + 1) // FILES))
    return {"files": FILES}


def ingest(database, folder):
    connection = duckdb.connect(database)
    connection.execute(f"SET TimeZone = 'UTC'; CREATE TABLE events AS SELECT * FROM read_parquet('{folder}/*.parquet'); CHECKPOINT")
    return {"rows": connection.execute("SELECT count(*) FROM events").fetchone()[0]}


def one():
    """All aggregates in one pass."""
    parts = [part for name in range(10) for part in (
        f"count(*) FILTER (event = 'event_{name}' AND time >= {begin(7)}) AS count_{name}",
        f"sum(amount) FILTER (event = 'event_{name}' AND time >= {begin(30)}) AS sum_{name}",
        f"count(DISTINCT sku) FILTER (event = 'event_{name}') AS distinct_{name}")]
    yield f"CREATE TEMP TABLE wide AS SELECT user_id, {', '.join(parts)} FROM events WHERE time >= {begin(90)} AND time < {AS_OF} GROUP BY user_id"
    for name in range(10):
        for kind in ("count", "sum", "distinct"):
            holds = f"{kind}_{name} IS NOT NULL" if kind == "sum" else f"{kind}_{name} > 0"
            yield f"CREATE OR REPLACE TABLE tag_{kind}_{name} AS SELECT user_id, {kind}_{name} AS value FROM wide WHERE {holds}"


def two():
    """Counts and sums by user and event; different values on their own."""
    yield (f"CREATE TEMP TABLE sums AS SELECT user_id, event, count(*) FILTER (time >= {begin(7)}) AS n, sum(amount) AS total FROM events "
           f"WHERE time >= {begin(30)} AND time < {AS_OF} GROUP BY user_id, event")
    yield (f"CREATE TEMP TABLE kinds AS SELECT user_id, event, count(*) AS n FROM (SELECT DISTINCT user_id, event, sku FROM events "
           f"WHERE time >= {begin(90)} AND time < {AS_OF}) GROUP BY user_id, event")
    for name in range(10):
        of = f"event = 'event_{name}'"
        yield f"CREATE OR REPLACE TABLE tag_count_{name} AS SELECT user_id, n AS value FROM sums WHERE {of} AND n > 0"
        yield f"CREATE OR REPLACE TABLE tag_sum_{name} AS SELECT user_id, total AS value FROM sums WHERE {of}"
        yield f"CREATE OR REPLACE TABLE tag_distinct_{name} AS SELECT user_id, n AS value FROM kinds WHERE {of}"


def produce(database, form):
    start = time.perf_counter()
    connection = duckdb.connect(database)
    connection.execute("SET TimeZone = 'UTC'")
    for query in {"one": one, "two": two}[form]():
        connection.execute(query)
    connection.execute("CHECKPOINT")
    connection.close()
    seconds = time.perf_counter() - start
    check = duckdb.connect(database, read_only=True)
    answer = lambda tag: check.execute(f"SELECT count(*), CAST(sum(value) AS VARCHAR) FROM tag_{tag}").fetchone()
    return {"seconds": seconds, "answers": {f"{kind}_{name}": list(answer(f"{kind}_{name}")) for name in range(10) for kind in ("count", "sum", "distinct")}}


print(json.dumps({"draw": draw, "ingest": ingest, "produce": produce}[sys.argv[1]](*sys.argv[2:])))
