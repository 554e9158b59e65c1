"""The scenario of `crowd_data` in PostgreSQL at 1 million users: 10,000 tags, 10 million points, and the two hundred expressions.

    postgres_crowd.py FOLDER

Starts a private server by scripts/postgres.sh, loads four forms, once (kept in the folder), and times each expression in each form, warm, by what
EXPLAIN ANALYZE calls execution time, which has no parsing, planning or connection in it:

- bits: a row a tag, bit(1000000), not compressed; bits, lz4: the same, compressed by lz4. `bit_count(a & (b | c) & ~d)`
- arrays: a row a tag, the sorted int[] of its users, by intarray. `icount(a & (b | c) - d)`
- users: a row a user, the int[] of its tags with intarray's GIN index. `count(*) … WHERE tags @@ '1&(2|3)&!4'`

An expression's users are counted in every form alike, and the fastest form of all by its median counts. Prints one JSON object.
"""
import json
import os
import pathlib
import statistics
import struct
import subprocess
import sys

import numpy

import algebra
import crowd_data

USERS = crowd_data.POSTGRES_USERS
RUNS = 3
# The form of one row a user takes up to a second an expression.
RUNS_OF = {"users": 1}


class Psql:
    def __init__(self, place):
        self.environment = os.environ | {"PGHOST": place}

    def __call__(self, sql):
        return self.run(sql.encode()).decode()

    def run(self, feed, *arguments):
        command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "bench", "-d", "bench", *arguments]
        done = subprocess.run(command, input=feed, stdout=subprocess.PIPE, check=True, env=self.environment)
        return done.stdout

    def copy(self, table, rows):
        """Binary rows, each a list of (bytes of) fields."""
        command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "bench", "-d", "bench", "-c", f"COPY {table} FROM STDIN (FORMAT binary)"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=self.environment)
        process.stdin.write(b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0))
        for fields in rows:
            process.stdin.write(struct.pack("!h", len(fields)) + b"".join(struct.pack("!i", len(field)) + field for field in fields))
        process.stdin.write(struct.pack("!h", -1))
        process.stdin.close()
        if process.wait() != 0:
            raise RuntimeError(f"PostgreSQL did not take the rows of {table}")


def integers(values):
    """An int[] on the wire: one dimension, no nulls, element type int4 (oid 23)."""
    if len(values) == 0:
        return struct.pack("!iii", 0, 0, 23)
    pairs = numpy.empty((len(values), 2), dtype=">i4")
    pairs[:, 0], pairs[:, 1] = 4, values
    return struct.pack("!iiiii", 1, 0, 23, len(values), 1) + pairs.tobytes()


def bits(users):
    present = numpy.zeros(USERS, dtype=bool)
    present[users] = True
    return struct.pack("!i", USERS) + numpy.packbits(present).tobytes()


def load(psql):
    """The four tables, unless they are there in this version."""
    stamp = f"{crowd_data.VERSION}/{USERS}"
    if psql("SELECT count(*) FROM pg_tables WHERE tablename = 'loaded'").strip() == "1" and psql("SELECT stamp FROM loaded").strip() == stamp:
        return
    psql(f"""
        CREATE EXTENSION IF NOT EXISTS intarray;
        DROP TABLE IF EXISTS loaded, bits, bits_lz4, arrays, users;
        CREATE TABLE bits (tag int PRIMARY KEY, users bit({USERS}));
        ALTER TABLE bits ALTER users SET STORAGE EXTERNAL;
        CREATE TABLE bits_lz4 (tag int PRIMARY KEY, users bit({USERS}) COMPRESSION lz4);
        CREATE TABLE arrays (tag int PRIMARY KEY, users int[]);
        ALTER TABLE arrays ALTER users SET STORAGE EXTERNAL;
        CREATE TABLE users (id int PRIMARY KEY, tags int[]);""")
    tags = [tag.users() for tag in crowd_data.scenario_tags(USERS)]
    psql.copy("bits", ([struct.pack("!i", tag), bits(users)] for tag, users in enumerate(tags)))
    psql("INSERT INTO bits_lz4 SELECT * FROM bits")
    psql.copy("arrays", ([struct.pack("!i", tag), integers(users)] for tag, users in enumerate(tags)))
    points_user = numpy.concatenate(tags)
    points_tag = numpy.repeat(numpy.arange(len(tags), dtype=numpy.int32), [len(users) for users in tags])
    order = numpy.argsort(points_user, kind="stable")
    ends = numpy.cumsum(numpy.bincount(points_user, minlength=USERS))
    sorted_tags = points_tag[order]
    psql.copy("users", ([struct.pack("!i", user), integers(found)] for user, found in enumerate(numpy.split(sorted_tags, ends[:-1]))))
    psql(f"""
        CREATE INDEX ON users USING gin (tags gin__int_ops);
        VACUUM (ANALYZE) bits; VACUUM (ANALYZE) bits_lz4; VACUUM (ANALYZE) arrays; VACUUM (ANALYZE) users;
        CREATE TABLE loaded AS SELECT '{stamp}' AS stamp""")


def queries(tree, size):
    """The query of each form."""
    def of(table):
        return lambda tag: f"(SELECT users FROM {table} WHERE tag = {tag})"
    return {"bits": f"SELECT bit_count({algebra.infix(tree, of('bits'), size, '|', '& ~')})",
            "bits, lz4": f"SELECT bit_count({algebra.infix(tree, of('bits_lz4'), size, '|', '& ~')})",
            "arrays": f"SELECT icount({algebra.infix(tree, of('arrays'), size, '|', '-')})",
            "users": f"SELECT count(*) FROM users WHERE tags @@ '{algebra.array_query(tree)}'::query_int"}


def execution_ms(psql, sqls):
    """Of each, in one connection."""
    found = psql("".join(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT json) {sql};\n" for sql in sqls))
    decoder, place, times = json.JSONDecoder(), 0, []
    while place < len(found):
        plan, place = decoder.raw_decode(found, place)
        times.append(plan[0]["Execution Time"])
        place += len(found[place:]) - len(found[place:].lstrip())
    return times


def main():
    folder = pathlib.Path(sys.argv[1])
    script = pathlib.Path(__file__).resolve().parent.parent / "scripts/postgres.sh"
    place = subprocess.run([script, "start", folder], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    try:
        psql = Psql(place)
        load(psql)
        tags = crowd_data.scenario_tags(USERS)
        trees = crowd_data.scenario_trees()
        forms = [queries(tree, lambda tag: tags[tag].size) for tree in trees]
        answers, times = {}, {}
        for form in forms[0]:
            sqls = [found[form] for found in forms]
            answers[form] = [int(line) for line in psql(";\n".join(sqls) + ";").split()]
            rounds = [execution_ms(psql, sqls) for _ in range(RUNS_OF.get(form, RUNS))]
            times[form] = [statistics.median(found) for found in zip(*rounds)]
        assert len({tuple(found) for found in answers.values()}) == 1, "the forms disagree"
        version = psql("SHOW server_version").split()[0]
    finally:
        subprocess.run([script, "stop", folder], check=True)
    form = min(times, key=lambda form: statistics.median(times[form]))
    print(json.dumps({"version": version, "users": USERS, "form": form, "counts": answers[form], "times_ms": times[form],
                      "medians_ms": {form: statistics.median(found) for form, found in times.items()}}))


if __name__ == "__main__":
    main()
