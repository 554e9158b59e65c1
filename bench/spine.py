"""The group `spine`: files in, tags, nested counts.

- `spine.ingest_csv`: the Online Retail files (305 gzipped CSV files, 541,909 lines) into a new data folder, against DuckDB into a new database file.
- `spine.produce_retail`: the twelve tags of examples/online-retail, against the same in SQL, each a table. Ours includes the index and the crowds.
- `spine.nested_count`: 50% and (10% or 10%) and not 1% and 30% of 10 million users, counted, against chdb's best form.

Ours is timed from the start of the process to its end, DuckDB from opening its file to closing it; for the count both are warm, query text to number.
"""
import json
import os
import pathlib
import shutil
import statistics
import sys
import time

import report
from process import output, peer, peer_name

USERS = 10_000_000
LINES = 541_909
AS_OF = "2011-12-10T00:00"


def benchmarks(root, target, work):
    return {"ingest_csv": lambda repeat: retail_ingest(root, target, work, repeat),
            "produce_retail": lambda repeat: retail_produce(root, target, work, repeat),
            "nested_count": lambda repeat: nested_count(root, target, work, repeat)}


def retail_files(root):
    """The folder of the files, or None where there is none."""
    folder = pathlib.Path(os.environ.get("TAGHOUSE_RETAIL", root.parent / "shared/data/online-retail"))
    if folder.is_dir():
        return folder
    print(f"skipped: no Online Retail files in {folder}; set TAGHOUSE_RETAIL to their folder", file=sys.stderr)
    return None


class Ours:
    """The binary on a data folder of its own."""

    def __init__(self, root, target, data):
        self.root, self.binary, self.data = root, target / "taghouse", data

    def __call__(self, *arguments):
        return output(self.binary, "--data", self.data, "--app", "retail", *arguments)

    def renew(self):
        shutil.rmtree(self.data, ignore_errors=True)
        self("apply", "-f", self.root / "examples/online-retail", "--json")

    def ingest(self, folder):
        """Seconds."""
        start = time.perf_counter()
        answer = json.loads(self("ingest", "--source", "online_retail", folder, "--json"))
        seconds = time.perf_counter() - start
        assert (answer["accepted_total"], answer["rejected_total"]) == (406_829, 135_080), f"not what the files hold: {answer}"
        return seconds

    def produce(self):
        """Seconds."""
        start = time.perf_counter()
        self("produce", "--as-of", AS_OF, "--json")
        return time.perf_counter() - start


def retail_ingest(root, target, work, repeat):
    folder = retail_files(root)
    if folder is None:
        return None
    ours, database = Ours(root, target, work / "retail"), work / "retail.duckdb"
    our_seconds, peer_seconds = [], []
    for _ in range(repeat):
        ours.renew()
        our_seconds.append(ours.ingest(folder))
        answer = peer(root, "duckdb_retail.py", "ingest", database, folder)
        assert (answer["accepted"], answer["rejected"]) == (406_829, 135_080), f"the peer reads something else: {answer}"
        peer_seconds.append(answer["seconds"])
    return report.row("spine.ingest_csv", "rows/s", LINES / statistics.median(our_seconds), LINES / statistics.median(peer_seconds),
                      peer_name("duckdb", "DuckDB"), target=0.5)


def retail_produce(root, target, work, repeat):
    folder = retail_files(root)
    if folder is None:
        return None
    ours, database = Ours(root, target, work / "retail"), work / "retail.duckdb"
    ours.renew()
    ours.ingest(folder)
    peer(root, "duckdb_retail.py", "ingest", database, folder)
    our_seconds, peer_seconds = [], []
    for _ in range(repeat):
        our_seconds.append(ours.produce())
        answer = peer(root, "duckdb_retail.py", "produce", database)
        peer_seconds.append(answer["seconds"])
    tags = {tag["name"]: tag for tag in json.loads(ours("tags", "--json"))["tags"]}
    found = {expression: ours("count", expression).strip() for expression in answer["answers"] if ">=" in expression}
    found |= {"spend_365d users": str(tags["spend_365d"]["users"]), "spend_365d total": tags["spend_365d"]["sum"]}
    assert found == answer["answers"], f"ours {found}, the peer's {answer['answers']}"
    return report.row("spine.produce_retail", "s", statistics.median(our_seconds), statistics.median(peer_seconds),
                      peer_name("duckdb", "DuckDB"), target=0.5)


def nested_count(root, target, work, repeat):
    folder = work / "nested"
    our_ms, peer_ms = [], []
    for _ in range(repeat):
        shutil.rmtree(folder, ignore_errors=True)
        ours = json.loads(output(target / "taghouse-bench", "nested-count", folder, USERS))
        theirs = peer(root, "chdb_nested.py", USERS)
        assert ours["count"] == theirs["count"], f"ours {ours['count']}, chdb's {theirs['count']}"
        our_ms.append(ours["median_ms"])
        peer_ms.append(theirs["median_ms"])
    shutil.rmtree(folder, ignore_errors=True)
    return report.row("spine.nested_count", "ms", statistics.median(our_ms), statistics.median(peer_ms),
                      f"{peer_name('chdb', 'chdb')} ({theirs['form']})", target=10)
