"""The group `stream`: live tags, from durable calls to the index and the change feed.

- `stream.events`: twenty tags (of ten event names a count and an exact sum of thirty days by days), a million users, of whom the first does 9% and the
  others as Zipf's law has it, twenty million events evenly over forty days, so that windows move and days leave. The calls lie in the real log; the time
  begins with the first that is read and ends when all have landed in the lake, all states are checkpointed, and every value is in the index and the
  feed, synced. Landings and checkpoints are the server's: every ten seconds, or when as much waits as lands by one commit. Some users' values are then
  held against a plain count. The peer is Flink in one process (bench/flink), the same tags: its events are drawn before the time begins, it parses and
  lands nothing, finds no duplicates, and what it tells is discarded; it checkpoints every ten seconds. Each has one core (taskset).
- `stream.rows`: the same without the log, the finding of duplicates and the lake: rows as they are admitted, through the fold, to the index and the
  feed, with a checkpoint every ten seconds. It is what Flink's job does, and what is done besides is more than Flink's (an index, a feed).
- `stream.events_10m`: as `stream.events` with ten million users, and 1 GiB for states.
- `stream.restart`: the same folder, its process killed while 100,000 calls were in the log alone: from the start of the next one to the last value.
- `stream.catch_up`: 100 million calls come while the process is down, and a day goes by: from its start until all is landed and shown. The figure is
  the most memory that was resident; the states have 512 MiB of it.
- `stream.http`: events acknowledged through `/v1/batch`, 100 a call, eight connections, by a server that follows the same twenty tags; the whole machine,
  the load included. Then it is waited until all are landed and shown.
- `stream.state_bytes`: bytes of a user's count of 180 days as a checkpoint has it, of 65,536 users with three events
  a day on average (Poisson), timers included.
- `stream.skew`: rows as in `stream.rows`, a tenth of them one user's, against the same where all users have as many; what is lost.
- `stream.visible`: 20,000 events a second: from the acknowledgement of a new user's call until a judgment of a live crowd has the user. Log, stream and
  crowds are in one process with whoever asks: HTTP is not in it.
- `stream.live_crowds`: 10,000 events a second beside 5,000 live crowds, until the feed says that a new user entered.
- `stream.midnight`: 5,000,000 events of as many users, whose day leaves all windows at one instant, while 1,000 events a second go on to come: until
  all is applied, and how long a new user's call takes meanwhile until its value is in the index.

With TAGHOUSE_BENCH_SCALE below 1, that share of events and users. `cpu` in notes is the time that all threads had of the core, which says more than the
clock where others use the machine.
"""
import json
import os
import shutil
import subprocess
import sys
import time

import report
import serve
from crowd_data import SCALE
from process import output

DAYS = 40
CORE = "0"
FLINK_VERSION = "2.3.0"


def benchmarks(root, target, work):
    binary = target / "taghouse-bench"
    return {"events": lambda repeat: events(root, binary, work, repeat),
            "rows": lambda repeat: rows(root, binary, work, repeat),
            "10m": lambda repeat: events_10m(root, binary, work, repeat),
            "catch_up": lambda _: catch_up(binary, work),
            "http": lambda repeat: http(root, target, work, repeat),
            "state_bytes": lambda _: state_bytes(binary, work),
            "skew": lambda repeat: skew(binary, work, repeat),
            "visible": lambda _: visible(binary, work),
            "live_crowds": lambda _: live_crowds(binary, work),
            "midnight": lambda _: midnight(binary, work)}


def traffic(events, users, share):
    return f"{int(events * SCALE)},{max(2, int(users * SCALE))},{DAYS},{share}"


class Folder:
    """A data folder that goes when it is done with."""

    def __init__(self, work):
        self.path = work / "stream"

    def __enter__(self):
        shutil.rmtree(self.path, ignore_errors=True)
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def ask(binary, name, *arguments, pinned=False):
    pin = ["taskset", "-c", CORE] if pinned else []
    return json.loads(output(*pin, binary, "stream", name, *arguments))


def ours(binary, work, drawn, budget_mib, name="catch-up"):
    """Events a second, and what was measured besides."""
    with Folder(work) as folder:
        if name == "rows":
            return ask(binary, "rows", folder, drawn, budget_mib, pinned=True)
        ask(binary, "write", folder, drawn)
        os.sync()
        return ask(binary, "catch-up", folder, drawn, budget_mib, 0, pinned=True)


def flink(root, work, drawn, backend, heap_gib):
    classes, folder = work / "flink-classes", work / "flink"
    tools = work / "flink-jars"
    pom = root / "bench/flink/pom.xml"
    for tool in ("java", "javac", "mvn", "taskset"):
        if not shutil.which(tool):
            raise OSError(f"{tool} is missing, which the peer runs by: apt-get install default-jdk-headless maven util-linux")
    if not (tools / ".installed").exists():
        print("fetching Apache Flink (once, about a minute)", file=sys.stderr)
        subprocess.run(["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={tools}"], check=True)
        (tools / ".installed").touch()
    subprocess.run(["javac", "-d", classes, "-cp", f"{tools}/*", root / "bench/flink/src/main/java/TagsJob.java"], check=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        # Flink looks into classes of Java that are closed to others.
        opens = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.util", "java.lang")]
        return json.loads(subprocess.run(
            ["taskset", "-c", CORE, "java", f"-Xmx{heap_gib}g", *opens, "-cp", f"{classes}:{tools}/*", "TagsJob", *drawn.split(","), backend, folder],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def noted(found, peer=None):
    beside = f"; the peer's cpu {peer['cpu_seconds']:.0f} s" if peer else ""
    return (f"{found['events']:,} events, {found['users']:,} users; {found['values']:,} values shown, {found['checked']:,} of them checked; cpu "
            f"{found['cpu_seconds']:.0f} s; states {found['state_bytes'] / 2**20:.0f} MiB on disk, peak {found['peak_bytes'] / 2**20:.0f} MiB{beside}")


def turns(repeat, *runs):
    """In turns, so that a busy machine hits all; of each the run of the median rate."""
    found = [[] for _ in runs]
    for _ in range(repeat):
        for results, run in zip(found, runs):
            results.append(run())
    return [sorted(results, key=lambda result: result["events_per_s"])[len(results) // 2] for results in found]


def events(root, binary, work, repeat):
    drawn = traffic(20_000_000, 1_000_000, 9)
    own, heap, rocksdb = turns(repeat, lambda: ours(binary, work, drawn, 256),
                               lambda: flink(root, work, drawn, "hashmap", 6), lambda: flink(root, work, drawn, "rocksdb", 3))
    name = f"Flink {FLINK_VERSION}"
    return [report.row("stream.events", "events/s", own["events_per_s"], heap["events_per_s"], f"{name}, heap", target=2, note=noted(own, heap)),
            report.row("stream.events_rocksdb", "events/s", own["events_per_s"], rocksdb["events_per_s"], f"{name}, RocksDB", target=10,
                       note=noted(own, rocksdb))]


def rows(root, binary, work, repeat):
    drawn = traffic(20_000_000, 1_000_000, 9)
    own, heap = turns(repeat, lambda: ours(binary, work, drawn, 256, "rows"), lambda: flink(root, work, drawn, "hashmap", 6))
    return report.row("stream.rows", "events/s", own["events_per_s"], heap["events_per_s"], f"Flink {FLINK_VERSION}, heap", target=2, note=noted(own, heap))


TAIL = 100_000


def events_10m(root, binary, work, repeat):
    drawn = traffic(20_000_000, 10_000_000, 9)
    tail = int(TAIL * SCALE)
    with Folder(work) as folder:
        ask(binary, "write", folder, drawn)
        os.sync()
        own = ask(binary, "catch-up", folder, drawn, 1024, tail, pinned=True)
        again = ask(binary, "restart", folder, drawn, 1024)
    heap = turns(repeat, lambda: flink(root, work, drawn, "hashmap", 12))[0]
    note = f"{again['replayed']:,} records replayed, {own['users']:,} users with states; {again['checked']:,} values checked"
    return [report.row("stream.events_10m", "events/s", own["events_per_s"], heap["events_per_s"], f"Flink {FLINK_VERSION}, heap", target=1.5,
                       note=noted(own, heap)),
            report.row("stream.restart", "s", again["seconds"], bound=10, note=note)]


def catch_up(binary, work):
    """States of a tenth of the calls, and the rest in the log alone."""
    events = int(100_000_000 * SCALE)
    drawn = f"{events + events // 10},{max(2, int(1_000_000 * SCALE))},{DAYS},9"
    with Folder(work) as folder:
        ask(binary, "write", folder, drawn)
        os.sync()
        ask(binary, "catch-up", folder, drawn, 512, events)
        found = ask(binary, "late", folder, drawn, 512)
    note = (f"{found['replayed']:,} records in {found['seconds']:,.0f} s, {found['users']:,} users, states {found['state_bytes'] / 2**20:.0f} MiB on disk; "
            f"{found['checked']:,} values checked")
    return report.row("stream.catch_up", "MiB", found["peak_bytes"] / 2**20, bound=2048, note=note)


TAGS = "".join(f"""---
{{kind: tag, name: count_{name}, type: int, mode: stream, aggregate: {{events: [event_{name}], function: count, window: 30d}}}}
---
{{kind: tag, name: sum_{name}, type: decimal, mode: stream, aggregate: {{events: [event_{name}], function: sum, value: amount, window: 30d}}}}
""" for name in range(10))
APP = f"""kind: app
id: bench
time_zone: UTC
---
kind: source
name: live
format: segment
properties:
  amount: {{ column: amount, type: decimal, scale: 2 }}
{TAGS}"""


def http(root, target, work, repeat):
    binary, data, files = target / "taghouse", work / "stream-http", work / "stream-http.yaml"
    shutil.rmtree(data, ignore_errors=True)
    files.write_text(APP)
    output(binary, "--data", data, "--app", "bench", "apply", "-f", files)
    writer = json.loads(output(binary, "--data", data, "keys", "create", "--role", "write", "--app", "bench", "--json"))["secret"]
    calls = work / "requests-stream.tsv"
    server, rounds = serve.Server(binary, data), []
    live = lambda: server.call("bench/live")
    try:
        for number in range(repeat):
            # Message ids of their own, for one that was there before is dropped.
            serve.write_calls(calls, [("POST", "/v1/batch", {"batch": [event(number, call * 100 + place) for place in range(100)]}) for call in range(500)])
            rounds.append(serve.wrk(root, server, calls, serve.basic(writer)))
        sent = sum(found["requests"] for found in rounds) * 100
        start = time.perf_counter()
        ended = until(live, lambda live: live["lag_records"] == 0 and live["waiting_records"] == 0)
        settled = time.perf_counter() - start
        assert ended["log_end"] >= sent, f"{sent} events were acknowledged, and the log has {ended['log_end']}"
    finally:
        server.end()
        calls.unlink(missing_ok=True)
    shutil.rmtree(data, ignore_errors=True)
    rates = sorted(found["requests"] * 100 / found["seconds"] for found in rounds)
    note = (f"{sent:,} events acknowledged, all shown and landed {settled:.1f} s after the last round; best round {rates[-1]:,.0f}/s, "
            f"p99 of a call {max(found['p99_ms'] for found in rounds):.0f} ms")
    return report.row("stream.http", "events/s", rates[len(rates) // 2], bound=100_000, note=note)


def event(number, place):
    return {"type": "track", "userId": f"u{place % 49_999:07}", "event": f"event_{place % 10}", "messageId": f"{number}-{place}-{{id}}",
            "properties": {"amount": place % 1000 / 100}}


def until(ask, enough, seconds=600):
    end = time.perf_counter() + seconds
    while not enough(found := ask()):
        assert time.perf_counter() < end, f"only {found}"
        time.sleep(0.5)
    return found


def state_bytes(binary, work):
    users = max(2, int(65_536 * SCALE))
    with Folder(work) as folder:
        found = ask(binary, "state-bytes", folder, f"{users * 540},{users},180,even")
    note = f"{found['events']:,} events of {found['users']:,} users; {found['checked']:,} counts checked"
    return report.row("stream.state_bytes", "bytes", found["state_bytes"] / found["users"], bound=200, note=note)


def skew(binary, work, repeat):
    even, skewed = turns(repeat, lambda: ours(binary, work, traffic(5_000_000, 1_000_000, "even"), 256, "rows"),
                         lambda: ours(binary, work, traffic(5_000_000, 1_000_000, 10), 256, "rows"))
    lost = 100 * (1 - skewed["events_per_s"] / even["events_per_s"])
    note = f"{skewed['events_per_s']:,.0f} events/s; {even['events_per_s']:,.0f} where all users have the same"
    return report.row("stream.skew", "% lost", max(lost, 0.1), bound=20, note=note)


def visible(binary, work):
    with Folder(work) as folder:
        found = ask(binary, "visible", folder, traffic(20_000_000, 1_000_000, 9), 20_000)
    note = f"{found['per_s']:,.0f} events/s, {found['markers']:,} calls looked for, longest {found['max_ms']:.0f} ms"
    return [report.row("stream.visible_p50", "ms", found["p50_ms"], bound=150, note=note),
            report.row("stream.visible_p99", "ms", found["p99_ms"], bound=1000)]


def live_crowds(binary, work):
    with Folder(work) as folder:
        found = ask(binary, "crowds", folder, traffic(20_000_000, 1_000_000, 9), 10_000, 5_000)
    note = (f"{found['crowds']:,} crowds, {found['per_s']:,.0f} events/s; {found['told']:,} entered or left, {found['markers']:,} looked for, p50 "
            f"{found['p50_ms']:.0f} ms; peak {found['peak_bytes'] / 2**20:.0f} MiB")
    return report.row("stream.live_crowds", "ms", found["p99_ms"], bound=1000, note=note)


def midnight(binary, work):
    users = int(5_000_000 * SCALE)
    drawn = f"{users},{users},1,even"
    with Folder(work) as folder:
        ask(binary, "write", folder, drawn)
        found = ask(binary, "midnight", folder, drawn, 1_000)
    note = f"{found['due']:,} values of users to look at; {found['markers']:,} calls looked for, p50 {found['p50_ms']:.0f} ms; peak {found['peak_bytes'] / 2**20:.0f} MiB"
    return [report.row("stream.midnight", "s", found["seconds"], bound=60, note=note),
            report.row("stream.midnight_p99", "ms", found["p99_ms"], bound=1000)]
