// Calls that are tried again: failures are put between the client and the real server.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { dataOf, Problem, Taghouse, type Send } from "taghouse";
import { APP, house, opened, url, withRole } from "./shop.js";

const QUICK = { attempts: 3, pauseMs: 10, longestPauseMs: 2_000 };

before(async () => {
  await opened();
});

/** Fails as told, one failure a request, then passes requests on. */
class Flaky {
  requests = 0;

  constructor(readonly failures: Send[]) {}

  readonly send: Send = (request) => {
    this.requests += 1;
    return (this.failures.shift() ?? fetch)(request);
  };
}

function refusal(status: 429 | 503, retryAfter: string): Send {
  const type = status === 429 ? "too_many_requests" : "unavailable";
  return async () =>
    Response.json({ type, status, detail: "busy" }, { status, headers: { "retry-after": retryAfter } });
}

/** The server gets the request, and its answer is lost. */
const thenBreaks: Send = async (request) => {
  await (await fetch(request)).arrayBuffer();
  throw new TypeError("fetch failed");
};

const unreachable: Send = async () => {
  const cause = Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
  throw new TypeError("fetch failed", { cause });
};

test("what the server cannot take now is sent again", async () => {
  const flaky = new Flaky([refusal(429, "1"), unreachable]);
  const viewer = await withRole("viewer", { retries: QUICK, send: flaky.send });
  const began = Date.now();
  assert.equal(await viewer.count('plan == "pro"'), 1);
  assert.ok(Date.now() - began >= 990, "Retry-After is waited for");
  assert.equal(flaky.requests, 3);
});

test("after some attempts the refusal is thrown", async () => {
  const flaky = new Flaky([refusal(503, "0"), refusal(503, "0"), refusal(503, "0")]);
  const viewer = await withRole("viewer", { retries: QUICK, send: flaky.send });
  await assert.rejects(viewer.count("orders >= 1"), (problem: unknown) => {
    assert.ok(problem instanceof Problem);
    assert.deepEqual([problem.code, problem.retryAfter], ["unavailable", 0]);
    return true;
  });
  assert.equal(flaky.requests, 3);
});

test("a wait that is too long is left to the caller", async () => {
  const flaky = new Flaky([refusal(429, "3600")]);
  const viewer = await withRole("viewer", { retries: QUICK, send: flaky.send });
  await assert.rejects(viewer.count("orders >= 1"), { name: "Problem", retryAfter: 3600 });
  assert.equal(flaky.requests, 1);
});

test("an event whose answer was lost counts once", async () => {
  const flaky = new Flaky([thenBreaks, thenBreaks]);
  const site = await withRole("write", { retries: QUICK, send: flaky.send });
  await site.track("once", "order", { amount: "1.00" });
  assert.equal(flaky.requests, 3);
  await house.produce();
  assert.equal((await house.profile("once"))["orders"], 1);
});

/** From newest to oldest. */
async function productions() {
  const runs = await house.rest.GET("/api/v1/apps/{app}/runs", { params: { path: { app: APP } } });
  return dataOf(runs).runs.filter((run) => run.kind === "produce");
}

test("what may not be done twice is not", async () => {
  const flaky = new Flaky([thenBreaks]);
  const editor = await withRole("editor", { retries: QUICK, send: flaky.send });
  const before = await productions();
  await assert.rejects(editor.produce(), /fetch failed/);
  assert.equal(flaky.requests, 1);
  const begun = (await productions()).slice(0, -before.length);
  assert.equal(begun.length, 1, "it goes on, although its answer was lost");
  for (const run of begun) await house.wait(run);
});

test("a file is sent from its beginning again", async () => {
  const failures: Send[] = [];
  const flaky = new Flaky(failures);
  const send: Send = async (request) => {
    // Before the file, its upload was begun.
    if (request.method === "PUT" && flaky.requests === 1) {
      await request.body?.getReader().read();
      failures.push(refusal(503, "0"));
    }
    return flaky.send(request);
  };
  const editor = await withRole("editor", { retries: QUICK, send });
  const rows = Array.from({ length: 1_000 }, (_, number) => `city-${number},Ulm\n`);
  await editor.ingest("people", { "cities.csv": new Blob(["user,city\n", ...rows]) });
  await editor.produce({ tags: ["city"] });
  assert.equal(await editor.count('city == "Ulm"'), 1_000);
});

test("a server that does not answer is given up", async () => {
  const send: Send = (request) =>
    new Promise((_, reject) => request.signal.addEventListener("abort", () => reject(request.signal.reason)));
  const slow = new Taghouse({ url, key: "k", app: APP, timeoutMs: 20, retries: { attempts: 1 }, send });
  await assert.rejects(slow.profile("ann"), /no answer in 20 ms/);
});

test("an answer that is not of Taghouse is still a problem", async () => {
  const send: Send = async () => new Response("<h1>Bad Gateway</h1>", { status: 502 });
  await assert.rejects(new Taghouse({ url, key: "k", app: APP, send }).count("orders >= 1"), {
    name: "Problem",
    code: "not_taghouse",
    detail: "<h1>Bad Gateway</h1>",
  });
});
