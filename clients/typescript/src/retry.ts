// Requests that are tried again where that is safe.

import { retryAfter } from "./errors.js";

/**
 * How often a call is tried again, and how long that may be waited for.
 *
 * What the server answers with 429 or 503 is tried again after its `Retry-After`, else after `pauseMs`, doubled each
 * time, less up to half of it by chance. A connection that could not be made is too, where that can be told, as in
 * Node. One that broke otherwise is tried again only where the call may be made twice: GET, PUT, DELETE, and events,
 * which have ids.
 */
export interface Retries {
  attempts: number;
  pauseMs: number;
  longestPauseMs: number;
}

export const DEFAULT_RETRIES: Retries = { attempts: 5, pauseMs: 250, longestPauseMs: 30_000 };

/** Sends a request; as `fetch` does, it throws where there is no answer. */
export type Send = (request: Request) => Promise<Response>;

/** Nothing was done: too many calls at once, or what the call needs does not answer now. */
const AGAIN = [429, 503];
/** Codes of Node for connections that were not made. */
const UNSENT = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"];

/** Sends what `made` makes, at each attempt a new request, and gives up on an answer after `timeoutMs`. */
export async function sent(
  made: () => Request,
  send: Send,
  retries: Retries,
  timeoutMs: number,
): Promise<Response> {
  for (let tried = 1; ; tried += 1) {
    const request = made();
    const may = tried < retries.attempts;
    let pauseMs = pauseAfter(tried, retries);
    try {
      const answer = await withinTime(request, send, timeoutMs);
      const askedMs = (retryAfter(answer) ?? pauseMs / 1000) * 1000;
      if (!may || !AGAIN.includes(answer.status) || askedMs > retries.longestPauseMs) return answer;
      await answer.body?.cancel();
      pauseMs = askedMs;
    } catch (failure) {
      if (!may || !(isUnsent(failure) || mayBeRepeated(request))) throw failure;
    }
    await new Promise((resume) => setTimeout(resume, pauseMs));
  }
}

/** The answer's head comes within the time; what it brings may take longer. */
async function withinTime(request: Request, send: Send, timeoutMs: number): Promise<Response> {
  const abort = new AbortController();
  const leave = () => abort.abort(request.signal.reason);
  if (request.signal.aborted) leave();
  request.signal.addEventListener("abort", leave);
  const late = setTimeout(() => abort.abort(new DOMException(`no answer in ${timeoutMs} ms`, "TimeoutError")), timeoutMs);
  try {
    return await send(new Request(request, { signal: abort.signal }));
  } finally {
    clearTimeout(late);
  }
}

function pauseAfter(tried: number, retries: Retries): number {
  const longest = Math.min(retries.pauseMs * 2 ** (tried - 1), retries.longestPauseMs);
  return longest * (0.5 + Math.random() / 2);
}

function isUnsent(failure: unknown): boolean {
  const cause = failure instanceof Error ? failure.cause : undefined;
  return cause instanceof Error && "code" in cause && UNSENT.includes(String(cause.code));
}

/** What is asked, put in place or taken away; and calls of the tracking API, whose messages count once. */
function mayBeRepeated(request: Request): boolean {
  if (request.signal.aborted) return false;
  return ["GET", "PUT", "DELETE"].includes(request.method) || new URL(request.url).pathname.startsWith("/v1/");
}
