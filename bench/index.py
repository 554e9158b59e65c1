"""The group `index`: what every question pays before it is asked.

- `snapshot`: taking the newest snapshot of an index of 3,000 tags with 8 readers at once, in time of a core; `snapshot_flat`: as a multiple of what it
  takes at 30 tags.
"""
import json

import report
from process import output

TAGS = 3_000


def snapshot(binary, work):
    found = json.loads(output(binary, "snapshot", work / "index-snapshot"))
    us = {reading["tags"]: reading["us"] for reading in found["readings"]}
    few = min(us)
    return [report.row("index.snapshot", "µs", us[TAGS], bound=2, note=f"{TAGS:,} tags, {found['readers']} readers; {report.significant(us[few])} µs at {few} tags"),
            report.row("index.snapshot_flat", f"of that at {few} tags", us[TAGS] / us[few], bound=1.5)]


def benchmarks(root, target, work):
    return {"snapshot": lambda _: snapshot(target / "taghouse-bench", work)}
