"""Runs the benchmarks and writes report.json and REPORT.md beside this file. `make bench` calls it, with the peers' interpreter.

    run.py [--only spine] [--repeat 5]

Ours and the peer take turns, so that a busy machine hits both; medians are compared. What is generated goes to
${TAGHOUSE_BENCH_DIR:-~/.cache/taghouse/bench}, never into the repository.
"""
import argparse
import os
import pathlib
import subprocess
import sys

import report
import spine

GROUPS = {"spine": spine.benchmarks}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=GROUPS, help="one group")
    parser.add_argument("--repeat", type=int, default=5, help="rounds, of which the median counts")
    options = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parent.parent
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path.home() / ".cache/taghouse/target")) / "release"
    work = pathlib.Path(os.environ.get("TAGHOUSE_BENCH_DIR", pathlib.Path.home() / ".cache/taghouse/bench"))
    work.mkdir(parents=True, exist_ok=True)
    rows, failed = [], False
    for group in [options.only] if options.only else GROUPS:
        for benchmark in GROUPS[group](root, target, work):
            try:
                row = benchmark(options.repeat)
            except (subprocess.CalledProcessError, AssertionError, OSError) as error:
                print(f"{group}: {error}", file=sys.stderr)
                failed = True
                continue
            if row:
                print(report.line(row), flush=True)
                rows.append(row)
    report.write(root / "bench", rows)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
