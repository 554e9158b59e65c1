"""The group `dictionary`: 100 million ids, the text of a UUID each, in first-seen order.

- `size`: bytes on disk an id, both directions.
- `lookup`: ids to ordinals a second on one core, warm, in batches; `reverse` ordinals to ids, ascending, as an export asks. No peer: the figures are bounds.
"""
import json
import shutil

import crowd_data
import report
from process import output


def benchmarks(root, target, work):
    return {"size": lambda _: measure(target / "taghouse-bench", work)}


def folder(work):
    return work / f"dictionary-v{crowd_data.VERSION}-{crowd_data.USERS}"


def complete(work):
    """Beside the folder, which is the dictionary's alone."""
    return work / f"{folder(work).name}.complete"


def ask(binary, work):
    return json.loads(output(binary, "dictionary", folder(work), crowd_data.USERS))


def make(binary, work):
    """For others who need it: unless it is there."""
    if not complete(work).exists():
        shutil.rmtree(folder(work), ignore_errors=True)
        ask(binary, work)
        complete(work).touch()


def measure(binary, work):
    # Again, so that assigning is measured too.
    complete(work).unlink(missing_ok=True)
    shutil.rmtree(folder(work), ignore_errors=True)
    found = ask(binary, work)
    complete(work).touch()
    return [report.row("dictionary.size", "bytes/id", found["bytes"] / found["ids"], bound=48,
                       note=f"{found['ids']:,} ids; {found['memory_bytes'] / 2**20:.0f} MiB of memory, mapped files aside, after the look-ups"),
            report.row("dictionary.lookup", "ids/s", found["lookups_per_s"], bound=2_000_000, note=found["note"])]
