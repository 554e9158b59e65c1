"""The report of the benchmarks: rows of report.json, and the same as a table for people in REPORT.md."""
import datetime
import json
import os
import platform


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


def row(id, unit, ours, peer, peer_name, target):
    """One comparison. A ratio over 1 means that we are better; `target` is the ratio to reach. Rates (`…/s`) are better high, times low."""
    ratio = ours / peer if unit.endswith("/s") else peer / ours
    return {"id": id, "unit": unit, "ours": significant(ours), "peer": significant(peer), "peer_name": peer_name,
            "ratio": significant(ratio), "target": target, "machine": machine(), "date": datetime.date.today().isoformat()}


def significant(number):
    """Three digits, which is more than a benchmark can tell."""
    rounded = float(f"{number:.3g}")
    return int(rounded) if rounded >= 100 else rounded


def line(row):
    return (f"{row['id']}: ours {row['ours']:,} {row['unit']}, {row['peer_name']} {row['peer']:,} {row['unit']}, "
            f"ratio {row['ratio']:g}, target {row['target']:g}")


def write(folder, rows):
    """Merge new rows into those of other groups and runs, by id."""
    path = folder / "report.json"
    known = {row["id"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    known.update((row["id"], row) for row in rows)
    ordered = [known[id] for id in sorted(known)]
    path.write_text(json.dumps(ordered, indent=1) + "\n")
    (folder / "REPORT.md").write_text(markdown(ordered))


def markdown(rows):
    head = """# Benchmarks

Written by `make bench`; the numbers are in `report.json` too. A ratio over 1 means that we are better than the peer in the same run; the target is the
ratio to reach. What each row measures, and how the peer is given its best form, is said in the head of its script.

| benchmark | ours | peer | ratio | target | |
|---|---|---|---|---|---|
"""
    table = "".join(
        f"| {row['id']} | {row['ours']:,} {row['unit']} | {row['peer_name']}: {row['peer']:,} {row['unit']} | {row['ratio']:g} | {row['target']:g} "
        f"| {'reached' if row['ratio'] >= row['target'] else 'not reached'} |\n" for row in rows)
    places = sorted({f"- {row['machine']}, {row['date']}: {', '.join(r['id'] for r in rows if (r['machine'], r['date']) == (row['machine'], row['date']))}"
                     for row in rows})
    return head + table + "\n" + "\n".join(places) + "\n"
