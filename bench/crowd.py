"""The group `crowd`: counts over 100 million users and a billion points, in process, against chdb, DuckDB and PostgreSQL.

What is measured lies in bench/engine for ours, a file a measurement, and in chdb_crowd.py, duckdb_crowd.py and postgres_crowd.py for the peers; what it is
measured on in crowd_data.py. Both sides draw the same users, and a count that differs fails the row. Times are warm, query text to number.

- `nested_median`, `nested_worst`: 30 expressions of 2 to 20 leaves over 20 sets. Of the 30 ratios the median and the least; the times are that expression's.
- `dense5_floor`: 50% and (10% or 10%) and not 1% and 30% on one core, against one pass over the words of five plain arrays in the same process;
  `dense5_cores`: how much faster it is on two.
- `build`: from (tag, user) in Native files, which both read, to the index on disk; `build_memory` our peak meanwhile. `disk`: what then lies there.
- `scenario_1b_p50`, `scenario_1b_p99`: 200 expressions of 2 to 10 of 10,000 tags, 1 B points; against chdb's p50 and p99. `scenario_1b_postgres`: our p50
  against PostgreSQL's at 1 million users and 10 million points, times 100.
- `range_count`, `range_sum`: users, and sum, of a range of 20-bit numbers within a 1% crowd; the faster of chdb's and DuckDB's columns.
- `overlap`: 1,000 × 1,000 tags, ms a pair.
- `member`: is this user in that crowd, of its computed set, as a judgment asks; `profile`: a user's tags of 10,000. p99 of both.
- `live`: adds and removes a second, durable, while the scenario is asked; `live_queries`: its p99 then, as a multiple of its p99 before.
- `load_points`, `load_rows`: the loader on one core, from (ordinal, value) and from (user id, value).
- `open`: from nothing to the first answer, 1 B points and 100 M ids.
"""
import json
import os
import shutil
import statistics

import crowd_data
import dictionary
import report
from process import output, peer, peer_name


class Bench:
    def __init__(self, root, target, work):
        self.root, self.binary = root, target / "taghouse-bench"
        self.work = work
        self.folder = work / f"crowd-v{crowd_data.VERSION}-{crowd_data.USERS}"
        self.spec, self.points, self.index, self.chdb = (self.folder / name for name in ("spec.json", "points", "index", "chdb"))
        self.chdb_name = peer_name("chdb", "chdb")

    def ours(self, name, *arguments):
        self.folder.mkdir(parents=True, exist_ok=True)
        if crowd_data.write(self.spec):
            # What is cached was drawn from another spec.
            shutil.rmtree(self.points, ignore_errors=True)
        return json.loads(output(self.binary, "crowd", name, self.spec, *arguments))

    def peer(self, name, *arguments):
        self.folder.mkdir(parents=True, exist_ok=True)
        return peer(self.root, "chdb_crowd.py", name, *arguments)

    def make_points(self):
        if not (self.points / "complete").exists():
            shutil.rmtree(self.points, ignore_errors=True)
            self.ours("points", self.points)
            (self.points / "complete").touch()

    def make_index(self):
        """Ours, from the points, unless it is there."""
        if not (self.index / "complete").exists():
            self.build_ours()

    def build_ours(self):
        self.make_points()
        shutil.rmtree(self.index, ignore_errors=True)
        found = self.ours("build", self.points, self.index)
        (self.index / "complete").write_text(json.dumps(found))
        return found

    def make_table(self):
        """chdb's, from the points, unless it is there."""
        if not (self.chdb / "complete").exists():
            self.build_peer()

    def build_peer(self):
        self.make_points()
        shutil.rmtree(self.chdb, ignore_errors=True)
        found = self.peer("build", self.chdb, self.points)
        (self.chdb / "complete").write_text(json.dumps(found))
        return found


def benchmarks(root, target, work):
    bench = Bench(root, target, work)
    measurements = (nested, dense5, range_in_crowd, build, disk, scenario, postgres, overlap, member, live, load, opening)
    names = {"range_in_crowd": "range", "opening": "open"}
    return {names.get(measure.__name__, measure.__name__): lambda _, measure=measure: measure(bench) for measure in measurements}


def same(what, ours, theirs):
    assert ours == theirs, f"{what}: ours {ours}, the peer's {theirs}"


def most_used(queries):
    """The form that was the best most often, and how many others were."""
    forms = [query["form"] for query in queries]
    form = statistics.mode(forms)
    return f"best of its forms each time, {form} in {forms.count(form)} of {len(forms)}"


def nested(bench):
    ours = bench.ours("nested", bench.folder / "nested")["queries"]
    theirs = bench.peer("nested")["queries"]
    same("nested counts", [query["count"] for query in ours], [query["count"] for query in theirs])
    pairs = sorted(((ours["ms"], theirs["ms"]) for ours, theirs in zip(ours, theirs)), key=lambda pair: pair[1] / pair[0])
    name = f"{bench.chdb_name} ({most_used(theirs)})"
    detail = [[theirs["leaves"], report.significant(ours["ms"]), report.significant(theirs["ms"])] for ours, theirs in zip(ours, theirs)]
    scratch = max(query["scratch_bytes"] for query in ours)
    reads = statistics.median(query["reads_bytes"] for query in ours)
    note = ("ours is the median of 15 runs, chdb's of 8 or, where one takes over 200 ms, of 4, or, over 2 s, of 2; "
            f"ours needs at most {scratch / 2**20:.1f} MiB a thread for results in between, and its leaves are "
            f"{reads / 2**20:.0f} MiB at the median, of which what cannot matter is not read")
    return [report.row("crowd.nested_median", "ms", *pairs[len(pairs) // 2], name, target=30, note=note, detail=detail),
            report.row("crowd.nested_worst", "ms", *pairs[0], name, target=10)]


def dense5(bench):
    found = bench.ours("dense5", bench.folder / "dense5")
    return [report.row("crowd.dense5_floor", "ms", found["one_thread_ms"], found["floor_ms"],
                       "one pass over the words of five arrays, one thread, same process", target=0.625),
            report.row("crowd.dense5_cores", "× one core", found["one_thread_ms"] / found["two_threads_ms"], bound=1.8,
                       note=f"{report.significant(found['one_thread_ms'])} ms on one core, {report.significant(found['two_threads_ms'])} ms on two; "
                            f"the bare pass: {report.significant(found['floor_ms'])} and {report.significant(found['floor_two_threads_ms'])} ms, "
                            f"{found['floor_ms'] / found['floor_two_threads_ms']:.2f} times faster on two")]


def range_in_crowd(bench):
    ours = bench.ours("range", bench.folder / "range")
    peers = {bench.chdb_name: bench.peer("range"), peer_name("duckdb", "DuckDB"): peer(bench.root, "duckdb_crowd.py", "range")}
    rows = []
    for what in "count", "sum":
        for name, theirs in peers.items():
            same(f"range {what}, {name}", ours[what]["found"], theirs[what]["found"])
        name = min(peers, key=lambda name: peers[name][what]["ms"])
        others = ", ".join(f"{other} {report.significant(peers[other][what]['ms'])} ms" for other in peers if other != name)
        rows.append(report.row(f"crowd.range_{what}", "ms", ours[what]["ms"], peers[name][what]["ms"], f"{name} ({peers[name][what]['form']})", target=10,
                               note=f"the slower peer: {others}"))
    return rows


def build(bench):
    theirs, ours = bench.build_peer(), bench.build_ours()
    same("points built", ours["points"], theirs["points"])
    return [report.row("crowd.build", "points/s", ours["points"] / ours["seconds"], theirs["points"] / theirs["seconds"],
                       f"{bench.chdb_name} (INSERT … SELECT tag, groupBitmapState(user) FROM file(…, Native) GROUP BY tag)", target=2,
                       note=f"{ours['points']:,} points, tag by tag and users ascending for both; chdb's peak memory {theirs['peak_bytes'] / 2**30:.1f} GiB"),
            report.row("crowd.build_memory", "GiB", ours["peak_bytes"] / 2**30, bound=4)]


def disk(bench):
    bench.make_index()
    bench.make_table()
    ours, theirs = (json.loads((folder / "complete").read_text()) for folder in (bench.index, bench.chdb))
    return report.row("crowd.disk", "bytes", ours["disk_bytes"], theirs["disk_bytes"], f"{bench.chdb_name} (MergeTree, its default LZ4)", target=1,
                      note=f"with CODEC(ZSTD(1)) chdb has {report.significant(theirs['disk_zstd_bytes']):,} bytes")


def percentile(times, share):
    return sorted(times)[min(int(len(times) * share), len(times) - 1)]


def scenario(bench):
    bench.make_index()
    bench.make_table()
    ours = bench.ours("scenario", bench.index)["queries"]
    theirs = bench.peer("scenario", bench.chdb)["queries"]
    same("scenario's counts", [query["count"] for query in ours], [query["count"] for query in theirs])
    name = f"{bench.chdb_name} ({most_used(theirs)})"
    (bench.folder / "scenario.json").write_text(json.dumps(ours))
    return [report.row(f"crowd.scenario_1b_p{share}", "ms", *(percentile([query["ms"] for query in found], share / 100) for found in (ours, theirs)), name,
                       bound=bound, note="over 200 expressions, of each the median of its runs; ours has the 10,000 as values of ten set tags, chdb as rows of one table")
            for share, bound in ((50, 5), (99, 50))]


def postgres(bench):
    bench.make_index()
    ours = bench.ours("scenario", bench.index)["queries"]
    bench.folder.mkdir(parents=True, exist_ok=True)
    theirs = peer(bench.root, "postgres_crowd.py", bench.folder / "postgres")
    factor = crowd_data.USERS / theirs["users"]
    p50, p99 = (percentile(theirs["times_ms"], share) for share in (0.5, 0.99))
    forms = ", ".join(f"{form} {report.significant(ms)} ms" for form, ms in theirs["medians_ms"].items())
    return report.row("crowd.scenario_1b_postgres", "ms", percentile([query["ms"] for query in ours], 0.5), p50 * factor,
                      f"PostgreSQL {theirs['version']} ({theirs['form']}; scaled)", bound=5,
                      note=f"PostgreSQL at {theirs['users']:,} users and a hundredth of the points: p50 {report.significant(p50)} ms, p99 {report.significant(p99)} ms, "
                           f"of execution alone, here times {factor:g}; its forms' p50: {forms}")


def overlap(bench):
    bench.make_index()
    bench.make_table()
    theirs = bench.peer("overlap", bench.chdb)
    ours = bench.ours("overlap", bench.index)
    same("the sum of the overlap matrix", ours["sum"], theirs["sum"])
    name = f"{bench.chdb_name} ({theirs['form']}, {theirs['pairs']:,} pairs)"
    note = f"{ours['pairs']:,} pairs in {report.significant(ours['seconds'])} s"
    return [report.row("crowd.overlap", "ms/pair", ours["pair_ms"], theirs["pair_ms"], name, target=100, note=note),
            report.row("crowd.overlap_pair", "ms/pair", ours["pair_ms"], bound=0.1)]


def member(bench):
    bench.make_index()
    found = bench.ours("member", bench.index)
    return [report.row("crowd.member", "µs", found["member_p99_us"], bound=1,
                       note=f"p50 {report.significant(found['member_p50_us'])} µs, in the set of a computed crowd; an expression over stored tags asked of one user: p50 "
                            f"{report.significant(found['evaluate_p50_us'])} µs, p99 {report.significant(found['evaluate_p99_us'])} µs"),
            report.row("crowd.profile", "ms", found["profile_p99_ms"], bound=2, note=f"p50 {report.significant(found['profile_p50_ms'])} ms")]


def live(bench):
    bench.make_index()
    found = bench.ours("live", bench.index, bench.folder / "live")
    shutil.rmtree(bench.folder / "live")
    before, during = (found[when]["p99_ms_and_of_snapshots"] for when in ("before", "during"))
    return [report.row("crowd.live", "points/s", found["points_per_s"], bound=1_000_000,
                       note=f"{found['points']:,} points, half added, half removed, paced at 1.1 M/s; the last ones seen {report.significant(found['seen_after_ms'])} ms after their acknowledgement"),
            report.row("crowd.live_queries", "of its p99 at rest", during[0] / before[0], bound=1.2,
                       note=f"p99 {report.significant(before[0])} ms at rest, {report.significant(during[0])} ms meanwhile, of which taking the newest snapshot "
                            f"has a p99 of {report.significant(during[1])} ms; {found['during']['asked']} asked")]


def load(bench):
    found = bench.ours("load", bench.folder / "load")
    return [report.row("crowd.load_points", "points/s", found["points_per_s"], bound=10_000_000, note=found["points_note"]),
            report.row("crowd.load_rows", "rows/s", found["rows_per_s"], bound=1_500_000, note=found["rows_note"])]


def opening(bench):
    bench.make_index()
    dictionary.make(bench.binary, bench.work)
    folders = bench.index, dictionary.folder(bench.work)
    cold, warm = [], []
    for _ in range(5):
        for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
            forget(path)
        cold.append(bench.ours("open", *folders)["seconds"])
        warm.append(bench.ours("open", *folders)["seconds"])
    return report.row("crowd.open", "s", statistics.median(cold), bound=1,
                      note=f"index and dictionary opened in a new process, then a count, an id looked up, and whether it is in; the files not in the "
                           f"page cache; with them there {report.significant(statistics.median(warm))} s")


def forget(path):
    """Take a file out of the page cache, as far as the system follows."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
