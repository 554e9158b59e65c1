// What most programs need, against the real server.

import assert from "node:assert/strict";
import { openAsBlob } from "node:fs";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import { dataOf, Problem, RunFailed, Taghouse, type Sent } from "taghouse";
import { APP, house, opened, url, withRole } from "./shop.js";

let site: Taghouse;
before(async () => {
  site = await opened();
});

async function members(crowd: string): Promise<string[]> {
  const found: string[] = [];
  for await (const user of house.members(crowd)) found.push(user);
  return found.sort();
}

async function bytes(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The problem that a call is refused with. */
async function refused(call: Promise<unknown>): Promise<Problem> {
  try {
    await call;
  } catch (problem) {
    assert.ok(problem instanceof Problem, String(problem));
    return problem;
  }
  return assert.fail("it was not refused");
}

test("definitions are applied, all or none", async () => {
  const files = { "big.yaml": "{kind: crowd, name: big, expression: 'orders >= 2'}" };
  const tried = await house.apply(files, { dryRun: true });
  assert.equal(tried.applied, false);
  assert.deepEqual(tried.changes.map((change) => [change.name, change.action]), [["big", "create"]]);
  assert.equal((await house.apply(files)).applied, true);
  assert.equal((await house.apply(files)).changes[0]?.action, "unchanged");
});

test("mistakes in definitions are named with their places", async () => {
  const problem = await refused(house.apply({ "bad.yaml": "kind: crowd\nname: bad\nexpression: 'ordrs < 1'\n" }));
  assert.deepEqual([problem.status, problem.code], [400, "invalid"]);
  assert.deepEqual(problem.places.map((place) => [place.path, place.line]), [["bad.yaml", 3]]);
  assert.match(problem.places[0]?.message ?? "", /did you mean `orders`\?/);
});

test("events and files become tags", async () => {
  const ann = { orders: 2, spent: "10.00", plan: "pro", colours: ["blue", "red"], city: "Kiel" };
  assert.deepEqual(await house.profile("ann"), ann);
  assert.deepEqual(await house.profile("ann", ["plan", "city"]), { plan: "pro", city: "Kiel" });
  assert.equal(await house.count("orders >= 2"), 1);
  assert.equal(await house.count({ compare: { name: "plan", op: "==", literal: "free" } }), 1);
});

test("judgments", async () => {
  const judge = await withRole("judge");
  const judged = await judge.judge("ann", "pros");
  assert.deepEqual([judged.in_crowd, judged.version, judged.reason], [true, 1, null]);
  assert.equal((await judge.judge("nobody", "pros")).reason, "unknown_user");
  const many = await judge.judgeMany({
    users: ["ann", "ben"],
    crowds: ["pros"],
    expressions: { buys: "orders >= 1" },
  });
  assert.deepEqual(many.judgments, [
    { user: "ann", crowds: { pros: true }, expressions: { buys: true } },
    { user: "ben", crowds: { pros: false }, expressions: { buys: false } },
  ]);
});

test("a judgment holds what was acknowledged", async () => {
  for (let number = 0; number < 5; number += 1) {
    const user = `watcher-${number}`;
    const { position } = await site.track(user, "seen");
    assert.ok(position !== undefined);
    const judged = await house.judge(user, "watchers", { atLeast: position, waitMs: 10_000 });
    assert.deepEqual([judged.in_crowd, judged.live], [true, true], user);
  }
});

test("values changed by hand", async () => {
  const values = { plan: "pro", orders: 7, spent: "1.25", colours: ["red"] };
  assert.equal(typeof (await house.change("hand", values, { create: true })), "number");
  await house.change("hand", { spent: null });
  const ends = Date.now() + 20_000;
  const { spent: _, ...left } = values;
  const same = async () => JSON.stringify(Object.entries(await house.profile("hand")).sort());
  while ((await same()) !== JSON.stringify(Object.entries(left).sort())) {
    assert.ok(Date.now() < ends, await same());
  }
  assert.deepEqual((await house.delete("hand")).users, ["hand"]);
  const gone = await refused(house.profile("hand"));
  assert.deepEqual([gone.code, gone.status], ["not_found", 404]);
  assert.match(gone.detail, /there is no user "hand"/);
});

test("members come back as ids and as files", async () => {
  assert.deepEqual(await members("pros"), ["ann"]);
  const csv = await bytes(await house.export("pros", "csv"));
  assert.equal(new TextDecoder().decode(csv), "user_id\nann\n");
  const parquet = await bytes(await house.export("pros", "parquet", { version: 1 }));
  assert.equal(new TextDecoder().decode(parquet.slice(0, 4)), "PAR1");
  assert.match((await refused(house.export("prs", "csv"))).detail, /did you mean `pros`/);
});

test("a crowd is imported", async () => {
  const report = await house.importCrowd("club", ["ann", "ben", "ann", 'no"body', "a,b"], { batch: "first" });
  assert.deepEqual([report.rows, report.matched, report.duplicates, report.unknown], [5, 2, 1, 2]);
  assert.equal((await house.importCrowd("club", ["eve"], { batch: "first" })).repeated, true);
  const file = join(await mkdtemp(join(tmpdir(), "club-")), "joined.csv");
  await writeFile(file, "Member;City\neve;Bonn\n");
  const joined = await house.importCrowd("club", await openAsBlob(file), { mode: "append", column: "Member" });
  assert.equal(joined.size, 3);
  assert.deepEqual(await members("club"), ["ann", "ben", "eve"]);
  const params = { path: { app: APP, crowd: "club" } };
  assert.equal(dataOf(await house.rest.GET("/api/v1/apps/{app}/crowds/{crowd}", { params })).size, 3);

  await assert.rejects(house.importCrowd("club", ["nobody"]), (failed: unknown) => {
    assert.ok(failed instanceof RunFailed, String(failed));
    assert.equal(failed.run.state, "failed");
    assert.match(failed.message, /club/);
    return true;
  });
  assert.deepEqual(await members("club"), ["ann", "ben", "eve"]);
});

test("what is wrong with a call is told", async () => {
  const problem = await refused(house.count("order >= 1"));
  assert.equal(problem.code, "invalid");
  assert.match(problem.detail, /did you mean `orders`\?/);
  assert.match((await refused(house.rest.GET("/api/v1/apps/{app}/tags", { params: { path: { app: "no" } } }))).detail, /app/);
  await assert.rejects(new Taghouse({ url, key: "k" }).count("orders >= 1"), /name the app/);
  assert.throws(() => new Taghouse({ url: "127.0.0.1:7700", key: "k" }), /http/);
});

test("keys are refused", async () => {
  const stranger = await refused(new Taghouse({ url, key: "tgh_nobody", app: APP }).count("orders >= 1"));
  assert.deepEqual([stranger.status, stranger.code], [401, "unauthenticated"]);
  const denied = await refused((await withRole("judge")).produce());
  assert.deepEqual([denied.status, denied.code], [403, "denied"]);
  assert.match(denied.detail, /judge/);
});

test("invalid calls of a batch are named", async () => {
  const sent: Sent = await site.send([
    { type: "track", userId: "ben", event: "visit" },
    { type: "track", event: "visit", messageId: "nobody's" },
  ]);
  assert.deepEqual(sent.rejected.map((each) => [each.reason, each.call.messageId]), [["no_user_id", "nobody's"]]);
  assert.ok(sent.position !== undefined);
});

test("many events in few requests", async () => {
  let requests = 0;
  const send = (request: Request) => {
    requests += 1;
    return fetch(request);
  };
  const counted = await withRole("write", { send });
  const calls = Array.from({ length: 1_000 }, (_, number) => ({
    type: "track" as const,
    userId: `many-${number % 10}`,
    event: "order",
    properties: { amount: "0.10", note: "é".repeat(400) },
  }));
  assert.deepEqual((await counted.send(calls)).rejected, []);
  assert.ok(requests >= 4 && requests <= 6, String(requests));
  await house.produce();
  assert.equal(await house.count("orders == 100 && spent == 10"), 10);
});
