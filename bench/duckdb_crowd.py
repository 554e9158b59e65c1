"""The range of numbers within a 1% crowd, in DuckDB: users, and their sum. What `chdb_crowd.py range` asks. Prints one JSON object.

    duckdb_crowd.py range

One row a user, in their order, the number and whether the user is in the crowd, in memory and, with its compression, in a file; the faster form counts.
A third form joins the numbers with the crowd as a table of its own.
"""
import json
import os
import statistics
import tempfile
import time

import duckdb
import numpy
import pyarrow

import crowd_data

RUNS = 7
CHUNK = 10_000_000


def main():
    low, high = crowd_data.value_range()
    crowd = crowd_data.range_crowd().users()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TAGHOUSE_BENCH_DIR")) as folder:
        database = duckdb.connect(os.path.join(folder, "numbers.duckdb"))
        database.execute("ATTACH ':memory:' AS memory")
        fill(database, crowd)
        measured = {}
        for what, selected in ("count", "count(*)"), ("sum", "sum(value)"):
            wanted = f"value BETWEEN {low} AND {high}"
            forms = {"columns, in memory": f"SELECT {selected} FROM memory.numbers WHERE crowd AND {wanted}",
                     "columns, in a file": f"SELECT {selected} FROM numbers WHERE crowd AND {wanted}",
                     "columns joined with the crowd, in memory": f"SELECT {selected} FROM memory.numbers SEMI JOIN memory.members USING (id) WHERE {wanted}"}
            found = {form: times(database, sql) for form, sql in forms.items()}
            assert len({answer for answer, _ in found.values()}) == 1, f"the forms disagree: {found}"
            form = min(found, key=lambda form: found[form][1])
            measured[what] = {"form": form, "ms": found[form][1], "found": int(found[form][0])}
    print(json.dumps(measured))


def fill(database, crowd):
    for schema in "", "memory.":
        database.execute(f"CREATE TABLE {schema}numbers (id UINTEGER, value UINTEGER, crowd BOOLEAN)")
    for first in range(0, crowd_data.USERS, CHUNK):
        last = min(first + CHUNK, crowd_data.USERS)
        users = numpy.arange(first, last, dtype=numpy.uint64)
        values = crowd_data.mix(users + numpy.uint64(crowd_data.RANGE_SALT << 32)) & numpy.uint64((1 << crowd_data.RANGE_BITS) - 1)
        member = numpy.zeros(last - first, dtype=bool)
        member[crowd[numpy.searchsorted(crowd, first):numpy.searchsorted(crowd, last)].astype(numpy.int64) - first] = True
        chunk = pyarrow.table({"id": users.astype(numpy.uint32), "value": values.astype(numpy.uint32), "crowd": member})
        for schema in "", "memory.":
            database.execute(f"INSERT INTO {schema}numbers SELECT * FROM chunk")
    members = pyarrow.table({"id": crowd})
    database.execute("CREATE TABLE memory.members AS SELECT * FROM members")
    database.execute("CHECKPOINT")


def times(database, sql):
    """The answer, and the median of the times in ms; the first run is not among them."""
    answer = database.execute(sql).fetchone()[0]
    found = []
    for _ in range(RUNS):
        start = time.perf_counter()
        database.execute(sql).fetchone()
        found.append((time.perf_counter() - start) * 1000)
    return answer, statistics.median(found)


if __name__ == "__main__":
    main()
