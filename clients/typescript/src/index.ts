/**
 * Client of Taghouse. `Taghouse` has what most programs need; its `rest` has every operation of the API, typed by the
 * server's OpenAPI document.
 */

export { Problem, RunFailed, type Code, type Place, type Run } from "./errors.js";
export {
  dataOf,
  Taghouse,
  type AtLeast,
  type Content,
  type Expression,
  type ImportReport,
  type Judgment,
  type Judgments,
  type Options,
  type Plan,
  type Receipt,
  type TagValue,
} from "./house.js";
export type { Retries, Send } from "./retry.js";
export type { components, operations, paths } from "./schema.js";
export type { Call, Rejected, Sent } from "./tracking.js";
