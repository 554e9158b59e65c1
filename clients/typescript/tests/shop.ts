// A real server, which whoever runs the tests has started: TAGHOUSE_URL and TAGHOUSE_KEY of role admin.

import { dataOf, Taghouse, type components, type Options } from "taghouse";

export const APP = "clients";

const DEFINITIONS = `
kind: app
id: clients
time_zone: UTC
---
kind: source
name: site
format: segment
properties:
  amount: { column: amount, type: decimal, scale: 2 }
attributes:
  plan: plan
  colours: { column: colours, type: set }
---
kind: source
name: people
format: csv
user_id: user
attributes: { city: city }
---
{kind: tag, name: orders, type: int, aggregate: {function: count, events: [order]}}
---
{kind: tag, name: spent, type: decimal, scale: 2, aggregate: {function: sum, value: amount, events: [order]}}
---
{kind: tag, name: plan, type: enum, attribute: plan}
---
{kind: tag, name: colours, type: set, attribute: colours}
---
{kind: tag, name: city, type: enum, attribute: city}
---
{kind: tag, name: seen, type: int, mode: stream, aggregate: {function: count, events: [seen]}}
---
{kind: crowd, name: pros, expression: 'plan == "pro"'}
---
{kind: crowd, name: watchers, live: true, expression: 'seen >= 1'}
---
{kind: crowd, name: club, import: {}}
`;

function environment(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: tests/clients.rs starts a server and sets it`);
  return value;
}

export const url = environment("TAGHOUSE_URL");

export const house = new Taghouse({ url, key: environment("TAGHOUSE_KEY"), app: APP });

/** Makes a key of a role. */
export async function key(role: components["schemas"]["KeyRole"]): Promise<string> {
  return dataOf(await house.rest.POST("/api/v1/keys", { body: { role, app: APP, note: "" } })).secret;
}

/** With a key of a role, which need not be the default one. */
export async function withRole(
  role: components["schemas"]["KeyRole"],
  more: Partial<Options> = {},
): Promise<Taghouse> {
  return new Taghouse({ url, key: await key(role), app: APP, ...more });
}

/** ann and ben with orders and plans, eve from a file; all tags are produced. Gives what sends events. */
export async function opened(): Promise<Taghouse> {
  await house.apply(DEFINITIONS);
  const site = new Taghouse({ url, key: await key("write") });
  await site.identify("ann", { plan: "pro", colours: ["red", "blue"] });
  await site.identify("ben", { plan: "free" });
  await site.track("ann", "order", { amount: "9.95" });
  await site.track("ann", "order", { amount: "0.05" });
  await house.ingest("people", { "people.csv": "user,city\neve,Bonn\nann,Kiel\n" });
  await house.produce();
  return site;
}
