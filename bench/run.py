"""Runs the benchmarks and writes report.json and REPORT.md beside this file. `make bench` calls it, with the peers' interpreter.

    run.py [--only crowd] [--row nested] [--repeat 5]

The binaries are those of cargo's profile ${PROFILE:-release}; the report says so where it is another.

Ours and the peer take turns, so that a busy machine hits both; medians are compared. What is generated goes to
${TAGHOUSE_BENCH_DIR:-~/.cache/taghouse/bench}, never into the repository. With TAGHOUSE_BENCH_SCALE below 1 the groups crowd, dictionary, produce, serve and stream draw that
share of their users, to see that all runs; the report is then written beside what is generated, and the one of the repository stays.
"""
import argparse
import os
import pathlib
import subprocess
import sys

import crowd
import crowd_data
import dictionary
import index
import lake
import produce
import report
import serve
import spine
import stream

GROUPS = {"spine": spine.benchmarks, "crowd": crowd.benchmarks, "dictionary": dictionary.benchmarks, "index": index.benchmarks, "lake": lake.benchmarks,
          "produce": produce.benchmarks, "serve": serve.benchmarks, "stream": stream.benchmarks}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=GROUPS, help="one group")
    parser.add_argument("--row", help="of that group, the measurements whose name begins so")
    parser.add_argument("--repeat", type=int, default=5, help="rounds of the groups spine, produce, serve and stream, of which the median counts; the others repeat within a round")
    options = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parent.parent
    profile = os.environ.get("PROFILE", "release")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path.home() / ".cache/taghouse/target")) / profile
    work = pathlib.Path(os.environ.get("TAGHOUSE_BENCH_DIR", pathlib.Path.home() / ".cache/taghouse/bench"))
    work.mkdir(parents=True, exist_ok=True)
    rows, failed = [], False
    for group in [options.only] if options.only else GROUPS:
        for name, benchmark in GROUPS[group](root, target, work).items():
            if not name.startswith(options.row or ""):
                continue
            try:
                measured = benchmark(options.repeat) or []
            except (subprocess.CalledProcessError, AssertionError, OSError, ValueError) as error:
                print(f"{group}.{name}: {error}", file=sys.stderr)
                failed = True
                continue
            for row in measured if isinstance(measured, list) else [measured]:
                print(report.line(row), flush=True)
                rows.append(row)
    report.write(root / "bench" if crowd_data.SCALE == 1 else work, rows)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
