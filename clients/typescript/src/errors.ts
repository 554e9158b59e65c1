// What goes wrong, each with a class of its own.

import type { components } from "./schema.js";

/** The stable words for what is wrong with a call; `not_taghouse` is the answer of something before the server. */
export type Code = components["schemas"]["Problem"]["type"] | "not_taghouse" | (string & {});

/** Where in a definition something is wrong; line and column count from 1. */
export type Place = components["schemas"]["Place"];

/** A run and its tasks. */
export type Run = components["schemas"]["RunBody"];

/** The server refused a call, or failed at it (RFC 9457). The message says what is wrong and how to fix it. */
export class Problem extends Error {
  override readonly name = "Problem";

  constructor(
    readonly status: number,
    /** For programs. */
    readonly code: Code,
    /** For people: what is wrong and how to fix it. */
    readonly detail: string,
    /** Each mistake of refused definitions. */
    readonly places: readonly Place[] = [],
    /** Seconds until the server says it is worth another try. */
    readonly retryAfter: number | undefined = undefined,
  ) {
    super(`${code} (${status}): ${detail}`);
  }

  /** Of an answer that is no success. */
  static async of(answer: Response): Promise<Problem> {
    const text = await answer.text();
    const waits = retryAfter(answer);
    const body = parsed(text);
    if (body === undefined) {
      const detail = text.trim().slice(0, 500) || answer.statusText || "an answer without an explanation";
      return new Problem(answer.status, "not_taghouse", detail, [], waits);
    }
    // Flags are answered in the form of OFREP.
    const code = body.type ?? body.errorCode?.toLowerCase() ?? "not_taghouse";
    const detail = body.detail ?? body.errorDetails ?? text.slice(0, 500);
    return new Problem(answer.status, code, detail, body.errors ?? [], waits);
  }
}

/** A run ended otherwise than with success. */
export class RunFailed extends Error {
  override readonly name = "RunFailed";

  constructor(readonly run: Run) {
    const failed = run.tasks.filter((task) => task.error !== null).map((task) => `${task.name}: ${task.error}`);
    super(`run ${run.id} (${run.kind}) ${run.state}: ${failed.join("; ") || "no task says why"}`);
  }
}

interface ProblemBody {
  type?: string;
  detail?: string;
  errors?: Place[];
  errorCode?: string;
  errorDetails?: string;
}

function parsed(text: string): ProblemBody | undefined {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null && !Array.isArray(body) ? body : undefined;
  } catch {
    return undefined;
  }
}

/** Seconds, as Taghouse gives them. */
export function retryAfter(answer: Response): number | undefined {
  const text = answer.headers.get("retry-after");
  const seconds = Number(text);
  return text === null || text.trim() === "" || !Number.isFinite(seconds) ? undefined : Math.max(seconds, 0);
}
