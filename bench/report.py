"""The report of the benchmarks: rows of report.json, the same as a table for people in REPORT.md, and the group `crowd` as a picture."""
import datetime
import json
import os
import platform
import subprocess

import plot


def machine():
    """What it ran on, without a name of its own."""
    model = platform.machine()
    try:
        with open("/proc/cpuinfo") as info:
            model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), model)
    except OSError:
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}"


def versions():
    """Of what ours was built by, as far as it can tell, and how, if not as a release."""
    try:
        compiler = " ".join(subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[:2])
    except (OSError, subprocess.CalledProcessError):
        compiler = "rustc unknown"
    profile = os.environ.get("PROFILE", "release")
    return compiler if profile == "release" else f"{compiler}, profile {profile}"


def row(id, unit, ours, peer=None, peer_name=None, target=None, bound=None, note=None, detail=None):
    """One measurement. With a peer, the ratio over 1 means that we are better; `target` is the ratio to reach. `bound` is a figure that ours must reach
    by itself. Rates (`…/s`) and gains (`×`) are better high, the rest (times, bytes) low. `note` says how it was measured where that is not
    plain; `detail` are the figures behind it, for the picture."""
    found = {"id": id, "unit": unit, "ours": significant(ours), "peer": None if peer is None else significant(peer), "peer_name": peer_name,
             "ratio": None if peer is None else significant(gain(unit, ours, peer)), "target": target, "bound": bound, "note": note, "detail": detail,
             "versions": versions(), "machine": machine(), "date": datetime.date.today().isoformat()}
    return {key: value for key, value in found.items() if value is not None}


def gain(unit, ours, other):
    high = unit.endswith("/s") or unit.startswith("×")
    return ours / other if high else other / ours


def reached(row):
    if "bound" in row:
        return gain(row["unit"], row["ours"], row["bound"]) >= 1
    return row["ratio"] >= row["target"]


def significant(number):
    """Three digits, which is more than a benchmark can tell."""
    rounded = float(f"{number:.3g}")
    return int(rounded) if rounded >= 100 else rounded


def wanted(row):
    """The target in words."""
    if "bound" in row:
        return f"{'≥' if gain(row['unit'], 2, 1) > 1 else '≤'} {row['bound']:,} {row['unit']}"
    return f"ratio ≥ {row['target']:g}"


def line(row):
    peer = f"; {row['peer_name']} {row['peer']:,} {row['unit']}, ratio {row['ratio']:g}" if "peer" in row else ""
    return f"{row['id']}: ours {row['ours']:,} {row['unit']}{peer}; target {wanted(row)}{'' if reached(row) else ', not reached'}"


def write(folder, rows):
    """Merge new rows into those of other groups and runs, by id."""
    path = folder / "report.json"
    known = {row["id"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    known.update((row["id"], row) for row in rows)
    ordered = [known[id] for id in sorted(known)]
    path.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")
    (folder / "REPORT.md").write_text(markdown(ordered))
    if any(row["id"].startswith("crowd.") for row in ordered):
        (folder / "crowd.svg").write_text(plot.crowd(ordered, gain))


def markdown(rows):
    head = """# Benchmarks

Written by `make bench`; the numbers are in `report.json` too. A ratio over 1 means that we are better than the peer in the same run. The target is the ratio
to reach, or a figure of our own. What each row measures, and how the peer is given its best form, is said in the head of its script.

| benchmark | ours | peer | ratio | target | |
|---|---|---|---|---|---|
"""
    table = "".join(
        f"| {row['id']} | {row['ours']:,} {row['unit']} | {peer_cell(row)} | {row.get('ratio', '')} | {wanted(row)} "
        f"| {'reached' if reached(row) else 'not reached'} |\n" for row in rows)
    notes = "".join(f"- {row['id']}: {row['note']}\n" for row in rows if "note" in row)
    picture = "\n![the group crowd](crowd.svg)\n" if any(row["id"].startswith("crowd.") for row in rows) else ""
    places = {}
    for row in rows:
        places.setdefault(f"{row['machine']}, {row['date']}{', ' + row['versions'] if 'versions' in row else ''}", []).append(row["id"])
    return head + table + picture + "\n" + notes + ("\n" if notes else "") + "".join(f"- {place}: {', '.join(ids)}\n" for place, ids in places.items())


def peer_cell(row):
    return f"{row['peer_name']}: {row['peer']:,} {row['unit']}" if "peer" in row else "none"
