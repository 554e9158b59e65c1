// Events and traits on their way in, as Segment's tracking API names them.

/** One call. A user is named by `userId`, `anonymousId` or both. */
export interface Call {
  type: "track" | "identify" | "page" | "screen" | "group" | "alias";
  userId?: string;
  anonymousId?: string;
  previousId?: string;
  groupId?: string;
  event?: string;
  name?: string;
  properties?: Readonly<Record<string, unknown>>;
  traits?: Readonly<Record<string, unknown>>;
  /** ISO 8601. Default: now. */
  timestamp?: string;
  /** It counts once, however often it is sent. Default: a new one, kept while the call is tried again. */
  messageId?: string;
}

/** A call that the server refused as invalid; the others of its batch were taken. */
export interface Rejected {
  call: Call;
  /** Its class, as in the table `rejected_events`. */
  reason: string;
  detail: string;
}

/** Calls that are durable now. */
export interface Sent {
  /** The last one's place in the log: `atLeast` of a judgment. Undefined: nothing was taken. */
  position: number | undefined;
  rejected: Rejected[];
}

/** Of one request; the server takes 500 KiB. */
const BATCH_CALLS = 250;
const BATCH_BYTES = 400_000;

interface Encoded {
  call: Call;
  json: string;
}

/** The call with an id and a time, so that it means the same whenever it arrives. */
export function identified(call: Call): Call {
  return { messageId: randomId(), timestamp: new Date().toISOString(), ...call };
}

/** Calls in groups that one request takes. */
export function* batches(calls: Iterable<Call>): Generator<Encoded[]> {
  let group: Encoded[] = [];
  let bytes = 0;
  for (const call of calls) {
    const json = JSON.stringify(call);
    const size = new TextEncoder().encode(json).length + 1;
    if (group.length > 0 && (group.length === BATCH_CALLS || bytes + size > BATCH_BYTES)) {
      yield group;
      [group, bytes] = [[], 0];
    }
    group.push({ call, json });
    bytes += size;
  }
  if (group.length > 0) yield group;
}

/** `crypto.randomUUID` is missing in pages that are not served by https. */
function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
