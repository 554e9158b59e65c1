"""The group `serve`: the binary over HTTP, as a client sees it.

- `serve.judge_beside_produce`: judgments while all tags of the demonstration's shop are produced again and again. Four connections that stay open ask
  one judgment each every 10 ms; the figure is the 99th percentile from the sending to the whole answer, of all judgments asked while a production
  ran. The note says the median, the longest, and what a production takes with and without them.
- `serve.judge_beside_sql`, `…_compaction`, `…_ingest`, `…_track`: the same beside an sql tag's cross join that is cancelled after a while, renumbering,
  files of a million rows, and two connections that send 100 events a call as fast as they are answered. `serve.cancel`: until that join has ended.
- `serve.rates`: what one server answers to eight connections that stay open, each asking again at once: judgments of one user and crowd, of 100 users
  and 5 crowds, counts, profiles, events one by one and 100 a call. wrk asks (Debian's package of that name); the best round counts, for the load shares
  the cores.
- `serve.judge_http`, `…_http_350`, `…_ofrep`: one user and 5 crowds, one user and all of 350 crowds (which of them hold the user), one flag. `serve.judge_grpc`:
  one user and 5 crowds over gRPC; `…_grpc_many`: judgments a second of calls of 100 users and 100 crowds. The crowds are rules over the shop's tags.
- `serve.which_crowds`: which of 100,000 crowds of a million users hold a user, in process, every crowd's object on disk.

The load runs on the machine of the server, so its own waits for a core count too.
"""
import base64
import json
import re
import shutil
import signal
import socket
import statistics
import subprocess
import threading
import time
import urllib.request

import report
from crowd_data import SCALE
from process import output

APP, AS_OF = "shop", "2026-07-01T00:00"
USERS, EVENTS = 200_000, 5_000_000
CONNECTIONS = 4
EVERY_S = 0.010
CROWDS = ["big_spenders"]


def benchmarks(root, target, work):
    return {"judge_beside_produce": lambda repeat: judge_beside_produce(target, work, repeat),
            "judge_beside_work": lambda repeat: judge_beside_work(root, target, work),
            "rates": lambda repeat: rates(root, target, work, repeat),
            "judge_crowds": lambda repeat: judge_crowds(root, target, work, repeat),
            "which_crowds": lambda repeat: which_crowds(target, work)}


class Server:
    """`taghouse serve` on a port of its own."""

    def __init__(self, binary, data):
        self.key = json.loads(output(binary, "--data", data, "keys", "create", "--role", "admin", "--all-apps", "--json"))["secret"]
        self.process = subprocess.Popen([binary, "--data", data, "serve", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
        while True:
            line = self.process.stdout.readline()
            assert line, "the server did not start"
            if found := re.search(r"serving on http://([\d.]+):(\d+)", line):
                self.address = (found[1], int(found[2]))
                break
        self.url = f"http://{self.address[0]}:{self.address[1]}"
        self.base = f"{self.url}/api/v1/apps/"

    def call(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(self.base + path, data, headers, method=method), timeout=60) as answer:
            said = answer.read()
        return json.loads(said) if said else None

    def produce(self, app, as_of):
        """Seconds."""
        start = time.perf_counter()
        run = self.finish(self.call(f"{app}/produce", {"as_of": as_of}))
        assert run["state"] == "succeeded", run
        return time.perf_counter() - start

    def finish(self, run):
        """Waits for a run to end."""
        while run["state"] in ("pending", "running"):
            run = self.call(f"{APP}/runs/{run['id']}?wait_ms=30000")
        return run

    def end(self):
        """Seconds until it has."""
        start = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)
        return time.perf_counter() - start


class Judge(threading.Thread):
    """One connection that asks at its pace. `times` holds (when it was sent, seconds to the whole answer)."""

    def __init__(self, server, app, users, stop):
        super().__init__(daemon=True)
        self.server, self.app, self.users, self.stop = server, app, users, stop
        self.times, self.error = [], None

    def run(self):
        try:
            with socket.create_connection(self.server.address, timeout=60) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                place, due = 0, time.perf_counter()
                while not self.stop.is_set():
                    user, crowd = self.users[place % len(self.users)], CROWDS[place % len(CROWDS)]
                    self.times.append(self.ask(connection, user, crowd))
                    place, due = place + 1, max(due + EVERY_S, time.perf_counter())
                    time.sleep(max(0, due - time.perf_counter()))
        except (OSError, AssertionError) as error:
            self.error = error

    def ask(self, connection, user, crowd):
        request = (f"GET /api/v1/apps/{self.app}/judge?user={user}&crowd={crowd} HTTP/1.1\r\nhost: bench\r\n"
                   f"authorization: Bearer {self.server.key}\r\n\r\n").encode()
        sent = time.perf_counter()
        connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.more(connection)
        head, body = answer.split(b"\r\n\r\n", 1)
        length = int(re.search(rb"content-length: (\d+)", head.lower())[1])
        while len(body) < length:
            body += self.more(connection)
        seconds = time.perf_counter() - sent
        assert head.startswith(b"HTTP/1.1 200"), answer
        return sent, seconds

    @staticmethod
    def more(connection):
        received = connection.recv(65536)
        assert received, "the server closed the connection"
        return received


def judged(server, app, users, work):
    """Runs `work` beside judgments; gives the seconds of those that were sent while it ran, and what `work` gave."""
    stop = threading.Event()
    judges = [Judge(server, app, users[number::CONNECTIONS], stop) for number in range(CONNECTIONS)]
    for judge in judges:
        judge.start()
    time.sleep(0.5)
    start = time.perf_counter()
    done = work()
    end = time.perf_counter()
    stop.set()
    for judge in judges:
        judge.join(timeout=60)
        if judge.error:
            raise AssertionError(f"a judgment failed: {judge.error}")
    return [seconds for judge in judges for sent, seconds in judge.times if start <= sent <= end], done


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def judge_beside_produce(target, work, repeat):
    binary, data = target / "taghouse", work / "serve"
    shutil.rmtree(data, ignore_errors=True)
    output(binary, "--data", data, "demo", "--exit", "--users", int(USERS * SCALE), "--events", int(EVENTS * SCALE))
    server = Server(binary, data)
    try:
        asked = sorted(server.call(f"{APP}/list", {"expression": "country is set", "limit": 1000})["users"])
        alone = [server.produce(APP, AS_OF) for _ in range(repeat)]
        seconds, beside = judged(server, APP, asked, lambda: [server.produce(APP, AS_OF) for _ in range(repeat)])
    finally:
        ended = server.end()
    shutil.rmtree(data, ignore_errors=True)
    ms = [second * 1000 for second in seconds]
    alone_s, beside_s = statistics.median(alone), statistics.median(beside)
    note = (f"{len(ms):,} judgments, median {statistics.median(ms):.2f} ms, longest {max(ms):.1f} ms; a production takes {beside_s:.1f} s beside them, "
            f"{alone_s:.1f} s alone; the server ended in {ended:.1f} s")
    return report.row("serve.judge_beside_produce", "ms", percentile(ms, 0.99), bound=50, note=note)


JOINED = """kind: tag
name: joined
type: int
sql: SELECT a.user_id, count(*) AS value FROM events a CROSS JOIN events b WHERE a.price + b.price > 3 GROUP BY a.user_id
"""
JOIN_S = 10
LINES = 1_000_000


def judge_beside_work(root, target, work):
    binary, data = target / "taghouse", work / "serve-work"
    shutil.rmtree(data, ignore_errors=True)
    output(binary, "--data", data, "demo", "--exit", "--users", int(USERS * SCALE), "--events", int(EVENTS * SCALE))
    writer = json.loads(output(binary, "--data", data, "keys", "create", "--role", "write", "--app", APP, "--json"))["secret"]
    lines, calls = work / "events-bench.csv", work / "requests-beside.tsv"
    write_lines(lines)
    write_calls(calls, requests([], [])["track_100"])
    server = Server(binary, data)
    cancelled = []

    def join():
        server.call(f"{APP}/definitions", {"files": [{"path": "joined.yaml", "text": JOINED}]})
        run = server.call(f"{APP}/produce", {"as_of": AS_OF, "tags": ["joined"]})
        time.sleep(JOIN_S)
        start = time.perf_counter()
        server.call(f"{APP}/runs/{run['id']}", method="DELETE")
        ended = server.finish(run)
        cancelled.append(time.perf_counter() - start)
        assert ended["state"] == "cancelled", ended

    def compact():
        for _ in range(5):
            ended = server.finish(server.call(f"{APP}/compact", {}))
            assert ended["state"] == "succeeded", ended

    def ingest():
        output(binary, "--server", server.url, "--key", server.key, "--app", APP, "ingest", "--source", "events", lines)

    try:
        asked = sorted(server.call(f"{APP}/list", {"expression": "country is set", "limit": 1000})["users"])
        works = {"sql": join, "compaction": compact, "ingest": ingest,
                 "track": lambda: wrk(root, server, calls, basic(writer), connections=2)}
        found = {name: judged(server, APP, asked, do)[0] for name, do in works.items()}
    finally:
        server.end()
    shutil.rmtree(data, ignore_errors=True)
    lines.unlink()
    calls.unlink()
    return [beside(name, seconds) for name, seconds in found.items()] + [report.row("serve.cancel", "s", max(cancelled), bound=1)]


def beside(name, seconds):
    ms = [second * 1000 for second in seconds]
    note = f"{len(ms):,} judgments, median {statistics.median(ms):.2f} ms, longest {max(ms):.1f} ms"
    return report.row(f"serve.judge_beside_{name}", "ms", percentile(ms, 0.99), bound=50, note=note)


def write_lines(file):
    with open(file, "w") as out:
        out.write("message_id,user_id,event,time,sku,category,price,quantity,order_id,query,device,channel,campaign\n")
        for number in range(int(LINES * SCALE)):
            out.write(f"bench-{number},u{number % USERS:07},view,2026-06-{number % 28 + 1:02}T10:00:00Z,s{number % 5000},wine,,,,,mobile,mail,\n")


# A row's name, requests a second to reach, and what it counts for each request. The figures to reach were seen before the server had its limits.
RATES = {"judge": (29_000, 1), "judge_500": (5_300, 1), "count": (2_700, 1), "profile": (2_750, 1), "track": (5_200, 1), "track_100": (100_000, 100)}
SECONDS = 5
EXPRESSIONS = ['country == "DE" && orders_30d >= 2 && !(refunds_90d >= 1)', "spend_90d > 100", "orders >= 2 && email_opt_in is set", "spend_90d between 10 and 50 || carts_7d > 1"]


def requests(users, crowds):
    """The calls of each row: method, path, body."""
    of_app = f"/api/v1/apps/{APP}"
    event = {"userId": "u0000001", "event": "view", "messageId": "bench-{id}", "timestamp": "2026-06-20T10:00:00Z"}
    hundreds = [users[start:start + 100] for start in range(0, len(users) - 99, 100)]
    return {"judge": [("GET", f"{of_app}/judge?user={user}&crowd={CROWDS[0]}", None) for user in users],
            "judge_500": [("POST", f"{of_app}/judge", {"users": some, "crowds": crowds}) for some in hundreds],
            "count": [("POST", f"{of_app}/count", {"expression": expression}) for expression in EXPRESSIONS],
            "profile": [("GET", f"{of_app}/profile?user={user}", None) for user in users],
            "track": [("POST", "/v1/track", event)],
            "track_100": [("POST", "/v1/batch", {"batch": [{"type": "track", **event} for _ in range(100)]})]}


def rates(root, target, work, repeat):
    if not shutil.which("wrk"):
        raise OSError("wrk is missing: scripts/setup.sh bench")
    binary, data = target / "taghouse", work / "serve-rates"
    shutil.rmtree(data, ignore_errors=True)
    output(binary, "--data", data, "demo", "--exit", "--users", int(USERS * SCALE), "--events", int(EVENTS * SCALE))
    writer = json.loads(output(binary, "--data", data, "keys", "create", "--role", "write", "--app", APP, "--json"))["secret"]
    server = Server(binary, data)
    found = {name: [] for name in RATES}
    try:
        users = sorted(server.call(f"{APP}/list", {"expression": "country is set", "limit": 1000})["users"])
        crowds = sorted(crowd["name"] for crowd in server.call(f"{APP}/crowds")["crowds"])[:5]
        for name, calls in requests(users, crowds).items():
            file = work / f"requests-{name}.tsv"
            write_calls(file, calls)
            key = basic(writer) if name.startswith("track") else f"Bearer {server.key}"
            found[name] = [wrk(root, server, file, key) for _ in range(repeat)]
            file.unlink()
    finally:
        server.end()
    shutil.rmtree(data, ignore_errors=True)
    return [rate(name, rounds) for name, rounds in found.items()]


def basic(key):
    """The header's value."""
    return f"Basic {base64.b64encode(f'{key}:'.encode()).decode()}"


def write_calls(file, calls):
    file.write_text("".join(f"{method}\t{path}\t{'' if body is None else json.dumps(body)}\n" for method, path, body in calls))


def wrk(root, server, file, key, connections=8):
    said = output("wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", root / "bench" / "requests.lua", server.url, "--", file, key)
    found = json.loads(said.strip().splitlines()[-1])
    assert found["failed"] == 0, said
    return found


def rate(name, rounds):
    wanted, each = RATES[name]
    best = max(rounds, key=lambda found: found["requests"] / found["seconds"])
    note = f"8 connections: p50 {best['p50_ms']:.2f} ms, p99 {best['p99_ms']:.1f} ms"
    return report.row(f"serve.{name}", "events/s" if name.startswith("track") else "answers/s", best["requests"] / best["seconds"] * each, bound=wanted, note=note)


# Rows of many crowds: requests a second to reach, or judgments.
CROWD_RATES = {"judge_http": 50_000, "judge_http_350": 30_000, "judge_ofrep": 50_000, "judge_grpc": 40_000, "judge_grpc_many": 20_000_000}
MANY_CROWDS = 350


def judge_crowds(root, target, work, repeat):
    if not shutil.which("wrk"):
        raise OSError("wrk is missing: scripts/setup.sh bench")
    binary, data = target / "taghouse", work / "serve-crowds"
    shutil.rmtree(data, ignore_errors=True)
    output(binary, "--data", data, "demo", "--exit", "--users", int(USERS * SCALE), "--events", int(EVENTS * SCALE))
    server = Server(binary, data)
    names = [f"c{number:03}" for number in range(MANY_CROWDS)]
    texts = [f'kind: crowd\nname: {name}\nexpression: "orders >= {number % 20} || spend_90d > {number}"\n' for number, name in enumerate(names)]
    found = {name: [] for name in CROWD_RATES}
    asked = work / "users.txt"
    try:
        server.call(f"{APP}/definitions", {"files": [{"path": "bench.yaml", "text": "---\n".join(texts)}]})
        server.produce(APP, AS_OF)
        users = sorted(server.call(f"{APP}/list", {"expression": "country is set", "limit": 1000})["users"])
        asked.write_text("".join(f"{user}\n" for user in users))
        of_app, flags = f"/api/v1/apps/{APP}", "/ofrep/v1/evaluate/flags"
        context = [{"context": {"targetingKey": user}} for user in users]
        calls = {"judge_http": [("POST", f"{of_app}/judge", {"users": [user], "crowds": names[:5]}) for user in users],
                 "judge_http_350": [("GET", f"{of_app}/users/{user}/crowds", None) for user in users],
                 "judge_ofrep": [("POST", f"{flags}/{names[0]}", body) for body in context]}
        for name, requests in calls.items():
            file = work / f"requests-{name}.tsv"
            write_calls(file, requests)
            found[name] = [wrk(root, server, file, f"Bearer {server.key}") for _ in range(repeat)]
            file.unlink()
        for name, crowds, at_once in (("judge_grpc", names[:5], 1), ("judge_grpc_many", names[:100], 100)):
            arguments = (server.url, server.key, APP, asked, ",".join(crowds), at_once)
            found[name] = [json.loads(output(target / "taghouse-bench", "grpc", *arguments)) for _ in range(repeat)]
    finally:
        server.end()
        asked.unlink(missing_ok=True)
    shutil.rmtree(data, ignore_errors=True)
    return [crowd_rate(name, rounds) for name, rounds in found.items()]


def crowd_rate(name, rounds):
    counted, unit = ("judgments", "judgments/s") if name.endswith("_many") else ("requests", "answers/s")
    best = max(rounds, key=lambda found: found[counted] / found["seconds"])
    note = f"p50 {best['p50_ms']:.2f} ms, p99 {best['p99_ms']:.1f} ms; server and load share the cores"
    return report.row(f"serve.{name}", unit, best[counted] / best["seconds"], bound=CROWD_RATES[name], note=note)


def which_crowds(target, work):
    folder = work / "which-crowds"
    found = json.loads(output(target / "taghouse-bench", "which-crowds", folder, int(100_000 * SCALE)))
    shutil.rmtree(folder, ignore_errors=True)
    note = (f"{found['crowds']:,} crowds, {found['held']:.0f} hold a user; median {found['p50_ms']:.2f} ms, the first question {found['first_s']:.1f} s, "
            f"memory {found['memory_bytes'] / 2**20:,.0f} MiB")
    return report.row("serve.which_crowds", "ms", found["p99_ms"], bound=5, note=note)
