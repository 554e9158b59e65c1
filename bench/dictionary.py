"""The group `dictionary`: 100 million ids, the text of a UUID each, in first-seen order.

- `size`: bytes on disk an id, both directions.
- `lookup`: ids to ordinals a second on one core, warm, in batches; `reverse` ordinals to ids, ascending, as an export asks. No peer: the figures are bounds.
"""
import json

import crowd_data
import report
from process import output


def benchmarks(root, target, work):
    return {"size": lambda _: measure(target, work)}


def measure(target, work):
    folder = work / f"dictionary-v{crowd_data.VERSION}-{crowd_data.USERS}"
    found = json.loads(output(target / "taghouse-bench", "dictionary", folder, crowd_data.USERS))
    return [report.row("dictionary.size", "bytes/id", found["bytes"] / found["ids"], bound=48,
                       note=f"{found['ids']:,} ids, {found['memory_bytes'] / 2**20:.0f} MiB of memory at the end of the look-ups"),
            report.row("dictionary.lookup", "ids/s", found["lookups_per_s"], bound=2_000_000, note=found["note"])]
