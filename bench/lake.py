"""The group `lake`: three days of landings of live calls, one every ten seconds of a simulated clock, with a server's upkeep beside them.

- `landing`: what a commit takes in the last hour over what it took in the first one; `landing_metadata` the same of the bytes of metadata that lie
  there. No peer: that they stay as they are is the point.
"""
import json
import shutil

import crowd_data
import report
from process import output

LANDINGS = 3 * 24 * 360


def benchmarks(root, target, work):
    return {"landing": lambda _: measure(target / "taghouse-bench", work)}


def measure(binary, work):
    folder = work / "lake-landings"
    shutil.rmtree(folder, ignore_errors=True)
    # A share of the days, where all runs are only to be seen.
    landings = max(720, int(LANDINGS * min(1, crowd_data.SCALE)))
    found = json.loads(output(binary, "lake-landing", folder, landings))
    shutil.rmtree(folder)
    note = (f"{found['landings']:,} landings of 50 events and 5 attributes; a commit {found['first_ms']:.1f} ms in the first hour (median "
            f"{found['first_p50_ms']:.1f}), {found['last_ms']:.1f} in the last ({found['last_p50_ms']:.1f}); upkeep {found['upkeep_ms']:.0f} ms a minute; "
            f"{found['files']} data files of events, {found['snapshots']} snapshots; peak {found['memory_bytes'] / 2**20:.0f} MiB")
    metadata = f"{found['first_bytes'] / 2**20:.1f} MiB after the first hour, {found['last_bytes'] / 2**20:.1f} at the end, both tables"
    return [report.row("lake.landing", "of the first hour's time", found["last_ms"] / found["first_ms"], bound=2, note=note),
            report.row("lake.landing_metadata", "of the first hour's bytes", found["last_bytes"] / found["first_bytes"], bound=2, note=metadata)]
