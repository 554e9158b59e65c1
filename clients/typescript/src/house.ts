// One app of a server.

import createClient, { type Client } from "openapi-fetch";
import { Problem, RunFailed, type Run } from "./errors.js";
import { DEFAULT_RETRIES, sent, type Retries, type Send } from "./retry.js";
import type { components, paths } from "./schema.js";
import { batches, identified, type Call, type Rejected, type Sent } from "./tracking.js";

type Schemas = components["schemas"];

export type Expression = Schemas["Expression"];
/** A number that is not whole, a day and an instant are texts, so that no digit is lost; a set is an array. */
export type TagValue = Schemas["TagValue"];
export type Plan = Schemas["Plan"];
export type Judgment = Schemas["JudgmentBody"];
export type Judgments = Schemas["Judgments"];
export type ImportReport = Schemas["ImportReport"];
export type Receipt = Schemas["ReceiptBody"];
/** What a file would contain. In Node, `openAsBlob(path)` of `node:fs` gives a file without reading it whole. */
export type Content = Blob | string | Uint8Array<ArrayBuffer>;

export interface Options {
  /** Where the server answers, such as `http://127.0.0.1:7700`. */
  url: string;
  key: string;
  /** May be left out with a write key, which tells it. */
  app?: string;
  retries?: Partial<Retries>;
  /** How long to wait for the head of an answer. Default: a minute. */
  timeoutMs?: number;
  /** How requests are sent, in place of `fetch`. */
  send?: Send;
}

/** What a judgment must hold: what was written at this position, as writes return it. Of live crowds. */
export interface AtLeast {
  atLeast?: number;
  /** How long the server may wait for that, 10,000 at most. Default: 2,000. */
  waitMs?: number;
}

/** How long the server holds a question for a run that has not ended. */
const LONGEST_WAIT_MS = 20_000;

/**
 * An app of a server, with a key.
 *
 * Every method throws a `Problem` where the server refuses the call, and what `fetch` throws where there is no answer.
 */
export class Taghouse {
  /** Every operation of the API, typed by its document. It tries again and throws like the methods here. */
  readonly rest: Client<paths>;

  readonly #options: Required<Omit<Options, "app" | "retries">> & { retries: Retries };
  readonly #app: string | undefined;

  constructor(options: Options) {
    if (!/^https?:\/\//.test(options.url)) {
      throw new TypeError(`the server's url begins with http:// or https://, not as "${options.url}"`);
    }
    this.#app = options.app;
    this.#options = {
      timeoutMs: 60_000,
      send: (request) => fetch(request),
      ...options,
      url: options.url.replace(/\/+$/, ""),
      retries: { ...DEFAULT_RETRIES, ...options.retries },
    };
    this.rest = createClient<paths>({
      baseUrl: this.#options.url,
      headers: { authorization: `Bearer ${options.key}` },
      fetch: (request) => this.#answer(() => request.clone()),
    });
  }

  /** The app that calls are for. */
  get app(): string {
    if (this.#app === undefined) {
      throw new TypeError('name the app that this call is for: new Taghouse({ url, key, app: "shop" })');
    }
    return this.#app;
  }

  // Definitions

  /** Applies YAML, all or none: one text, or the texts of files by their names. */
  async apply(
    yaml: string | Readonly<Record<string, string>>,
    options: { prune?: boolean; dryRun?: boolean } = {},
  ): Promise<Plan> {
    const named = typeof yaml === "string" ? { "definitions.yaml": yaml } : yaml;
    const files = Object.entries(named).map(([path, text]) => ({ path, text }));
    const body = { files, prune: options.prune ?? false, dry_run: options.dryRun ?? false };
    return dataOf(await this.rest.POST("/api/v1/apps/{app}/definitions", { params: this.#path, body }));
  }

  // Data in

  /** Sends an event. It is durable once this has answered. */
  async track(
    userId: string,
    event: string,
    properties: Readonly<Record<string, unknown>> = {},
    more: Partial<Call> = {},
  ): Promise<Sent> {
    return this.send([{ ...more, type: "track", userId, event, properties }]);
  }

  /** Sends attributes of a user. */
  async identify(
    userId: string,
    traits: Readonly<Record<string, unknown>>,
    more: Partial<Call> = {},
  ): Promise<Sent> {
    return this.send([{ ...more, type: "identify", userId, traits }]);
  }

  /**
   * Sends calls of the tracking API, in as few requests as take them, with a key of role `write`.
   *
   * Invalid calls are named in the answer; all others were taken. Where a request fails, those before it were taken:
   * send all of them again, with the same `messageId`s, and each counts once.
   */
  async send(calls: Iterable<Call>): Promise<Sent> {
    let position: number | undefined;
    const rejected: Rejected[] = [];
    for (const group of batches(Array.from(calls, identified))) {
      const body = `{"batch":[${group.map((each) => each.json).join(",")}]}`;
      const answer = await this.#call("POST", "/v1/batch", body, "application/json");
      position = positionOf(answer) ?? position;
      const { rejected: refused = [] } = (await answer.json()) as Schemas["Tracked"];
      for (const { index, reason, detail } of refused) {
        const call = group[index]?.call;
        if (call !== undefined) rejected.push({ call, reason, detail });
      }
    }
    return { position, rejected };
  }

  /** Sends files, by their names, and ingests them into a source; answers when that has ended. */
  async ingest(
    source: string,
    files: Readonly<Record<string, Content>>,
    options: { replace?: boolean; allowRejects?: boolean } = {},
  ): Promise<Run> {
    const upload = await this.#upload(files);
    const body = {
      source,
      upload,
      replace: options.replace ?? false,
      allow_rejects: options.allowRejects ?? false,
    };
    return this.wait(dataOf(await this.rest.POST("/api/v1/apps/{app}/ingest", { params: this.#path, body })));
  }

  async #upload(files: Readonly<Record<string, Content>>): Promise<string> {
    const { id } = dataOf(await this.rest.POST("/api/v1/apps/{app}/uploads", { params: this.#path }));
    const place = `/api/v1/apps/${encodeURIComponent(this.app)}/uploads/${id}/files`;
    for (const [name, content] of Object.entries(files)) {
      const query = new URLSearchParams({ name });
      await this.#call("PUT", `${place}?${query}`, content, "application/octet-stream");
    }
    return id;
  }

  // Runs

  /** Computes tags and the crowds of them; answers when that has ended. Default: all, as of now. */
  async produce(options: { asOf?: string | Date; tags?: readonly string[] } = {}): Promise<Run> {
    const asOf = options.asOf instanceof Date ? options.asOf.toISOString() : options.asOf;
    const body = { as_of: asOf ?? null, tags: options.tags === undefined ? null : [...options.tags] };
    return this.wait(dataOf(await this.rest.POST("/api/v1/apps/{app}/produce", { params: this.#path, body })));
  }

  /** Computes crowds of the values of now; answers when that has ended. */
  async refresh(crowds: readonly string[], options: { dependents?: boolean } = {}): Promise<Run> {
    const body = { crowds: [...crowds], dependents: options.dependents ?? false };
    return this.wait(dataOf(await this.rest.POST("/api/v1/apps/{app}/refresh", { params: this.#path, body })));
  }

  /** The run once it has ended well. Throws `RunFailed` if it ended otherwise. */
  async wait(run: Pick<Run, "id">, options: { signal?: AbortSignal } = {}): Promise<Run> {
    const path = { ...this.#path.path, id: run.id };
    const wait_ms = Math.min(LONGEST_WAIT_MS, Math.floor(this.#options.timeoutMs / 2));
    for (;;) {
      const asked = { params: { path, query: { wait_ms } }, ...options };
      const found = dataOf(await this.rest.GET("/api/v1/apps/{app}/runs/{id}", asked));
      if (found.state === "succeeded" || found.state === "succeeded_with_warnings") return found;
      if (found.state !== "running") throw new RunFailed(found);
    }
  }

  // Questions

  /** How many users match. */
  async count(expression: Expression): Promise<number> {
    const body = { expression };
    return dataOf(await this.rest.POST("/api/v1/apps/{app}/count", { params: this.#path, body })).count;
  }

  /** Whether a user is in a crowd. */
  async judge(user: string, crowd: string, options: AtLeast = {}): Promise<Judgment> {
    const query = { user, crowd, ...heldAtLeast(options) };
    return dataOf(await this.rest.GET("/api/v1/apps/{app}/judge", { params: { ...this.#path, query } }));
  }

  /** Many users, crowds and expressions in one answer, each crowd of one version. */
  async judgeMany(
    asked: {
      users: readonly string[];
      crowds?: readonly string[];
      expressions?: Readonly<Record<string, Expression>>;
    },
    options: AtLeast = {},
  ): Promise<Judgments> {
    const body = {
      users: [...asked.users],
      crowds: [...(asked.crowds ?? [])],
      expressions: { ...asked.expressions },
      ...heldAtLeast(options),
    };
    return dataOf(await this.rest.POST("/api/v1/apps/{app}/judge", { params: this.#path, body }));
  }

  /** The tag values of a user; what has no value is absent. */
  async profile(user: string, tags?: readonly string[]): Promise<Record<string, TagValue>> {
    const query = { user, ...(tags === undefined ? {} : { tags: tags.join(",") }) };
    return dataOf(await this.rest.GET("/api/v1/apps/{app}/profile", { params: { ...this.#path, query } })).tags;
  }

  // Users

  /** Sets values by hand, all or none; `null` removes one. Answers with the position in the log, for `atLeast`. */
  async change(
    user: string,
    values: Readonly<Record<string, TagValue | null>>,
    options: { create?: boolean } = {},
  ): Promise<number | undefined> {
    const changes = Object.entries(values).map(([tag, value]) =>
      value === null ? { user, tag, unset: true } : { user, tag, set: value },
    );
    const body = { changes, create: options.create ?? false };
    const answer = await this.rest.POST("/api/v1/apps/{app}/changes", { params: this.#path, body });
    return dataOf(answer).log_position ?? undefined;
  }

  /** Deletes a user from tags and crowds, with a receipt. */
  async delete(user: string): Promise<Receipt> {
    const path = { ...this.#path.path, user };
    return dataOf(await this.rest.DELETE("/api/v1/apps/{app}/users/{user}", { params: { path } }));
  }

  // Crowds

  /** Imports ids, or a file as a `Blob`, into a crowd, and waits for it. A `batch` is imported once. */
  async importCrowd(
    crowd: string,
    ids: readonly string[] | Blob,
    options: { mode?: "replace" | "append" | "remove"; batch?: string; column?: string } = {},
  ): Promise<ImportReport> {
    const [name, content] = ids instanceof Blob ? [nameOf(ids), ids] : ["ids.csv", asCsv(ids)];
    const upload = await this.#upload({ [name]: content });
    const path = { ...this.#path.path, crowd };
    const body = { mode: "replace" as const, ...options, upload };
    const begun = await this.rest.POST("/api/v1/apps/{app}/crowds/{crowd}/import", { params: { path }, body });
    const run = await this.wait(dataOf(begun));
    const report = run.tasks.map((task) => task.result).find(isImportReport);
    if (report === undefined) throw new RunFailed(run);
    return report;
  }

  /** A crowd's members as a file, as it comes in. */
  async export(
    crowd: string,
    format: "csv" | "jsonl" | "parquet" | "roaring",
    options: { version?: number } = {},
  ): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    const place = [this.app, "crowds", crowd].map(encodeURIComponent).join("/");
    const query = new URLSearchParams({ format });
    if (options.version !== undefined) query.set("version", String(options.version));
    const answer = await this.#call("GET", `/api/v1/apps/${place}/export?${query}`);
    return answer.body ?? new Blob([]).stream();
  }

  /** The ids of a crowd's members, as they come in. */
  async *members(crowd: string, options: { version?: number } = {}): AsyncGenerator<string, void, undefined> {
    const bytes = await this.export(crowd, "jsonl", options);
    const reader = bytes.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    try {
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
        const lines = (rest + piece.value).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) yield (JSON.parse(line) as { user_id: string }).user_id;
      }
    } finally {
      await reader.cancel();
    }
    if (rest !== "") yield (JSON.parse(rest) as { user_id: string }).user_id;
  }

  get #path(): { path: { app: string } } {
    return { path: { app: this.app } };
  }

  async #call(method: string, place: string, body?: Content, type?: string): Promise<Response> {
    const headers = new Headers({ authorization: `Bearer ${this.#options.key}` });
    if (type !== undefined) headers.set("content-type", type);
    const made = () => new Request(this.#options.url + place, { method, headers, body: body ?? null });
    return this.#answer(made);
  }

  async #answer(made: () => Request): Promise<Response> {
    const { send, retries, timeoutMs } = this.#options;
    const answer = await sent(made, send, retries, timeoutMs);
    if (answer.status >= 400) throw await Problem.of(answer);
    return answer;
  }
}

/** What an operation of `rest` answered. Refusals are thrown before that. */
export function dataOf<T>(answer: { data?: T; response: Response }): T {
  if (answer.data === undefined) {
    throw new TypeError(`the answer ${answer.response.status} of ${answer.response.url} has no body`);
  }
  return answer.data;
}

function positionOf(answer: Response): number | undefined {
  const position = answer.headers.get("taghouse-position");
  return position === null ? undefined : Number(position);
}

function heldAtLeast({ atLeast, waitMs }: AtLeast): { at_least?: number; wait_ms?: number } {
  return {
    ...(atLeast === undefined ? {} : { at_least: atLeast }),
    ...(waitMs === undefined ? {} : { wait_ms: waitMs }),
  };
}

function nameOf(file: Blob): string {
  return "name" in file && typeof file.name === "string" ? file.name : "ids.csv";
}

/** A file of ids with a header. */
function asCsv(ids: readonly string[]): string {
  const lines = ids.map((id) => `"${id.replaceAll('"', '""')}"`);
  return ["user_id", ...lines, ""].join("\n");
}

function isImportReport(result: Schemas["TaskBody"]["result"]): result is ImportReport {
  return result !== null && "imported" in result;
}
