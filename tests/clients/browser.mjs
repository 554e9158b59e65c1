// The packages of PACKAGES in a page of Chromium, which sends calls to the server at TAGHOUSE_URL from another origin, at PAGE_PORT.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const { TAGHOUSE_URL: url, TAGHOUSE_KEY: admin, PACKAGES, PAGE_PORT, CHROMIUM } = process.env;
const { Taghouse, dataOf } = await import(pathToFileURL(join(PACKAGES, 'taghouse/dist/index.js')));

const house = new Taghouse({ url, key: admin, app: 'pages' });
await house.apply(`
{kind: app, id: pages, time_zone: UTC}
---
{kind: source, name: site, format: segment}
---
{kind: tag, name: clicks, type: int, aggregate: {function: count, events: [click]}}
`);
const { secret: key } = dataOf(await house.rest.POST('/api/v1/keys', { body: { role: 'write', app: 'pages', note: '' } }));

const names = { taghouse: '/taghouse/dist/index.js', 'openapi-fetch': '/openapi-fetch/dist/index.mjs' };
const page = `<!doctype html><title>Shop</title><link rel="icon" href="data:,"><script type="importmap">${JSON.stringify({ imports: names })}</script>`;
const pages = createServer(async (request, answer) => {
  const { pathname } = new URL(request.url, 'http://page');
  const isPage = pathname === '/';
  answer.setHeader('content-type', isPage ? 'text/html' : 'text/javascript');
  answer.end(isPage ? page : await readFile(join(PACKAGES, pathname)));
}).listen(Number(PAGE_PORT), '127.0.0.1');

// --no-sandbox: Chromium's own sandbox does not start for root.
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
const shop = await browser.newPage();
await shop.goto(`http://127.0.0.1:${PAGE_PORT}/`);
const sent = await shop.evaluate(async ({ url, key }) => {
  const { Problem, Taghouse } = await import('taghouse');
  const site = new Taghouse({ url, key });
  const first = await site.track('ann', 'click', { button: 'buy' });
  const second = await site.send([{ type: 'track', anonymousId: 'somebody', event: 'click' }, { type: 'track', event: 'click' }]);
  const refused = await new Taghouse({ url, key: 'tgh_nobody' }).track('ann', 'click').catch((problem) => problem);
  return { first, second, code: refused instanceof Problem ? refused.code : String(refused) };
}, { url, key });
await browser.close();
pages.close();

assert.deepEqual(sent.first, { position: 1, rejected: [] });
assert.deepEqual([sent.second.position, sent.second.rejected.map((each) => each.reason)], [3, ['no_user_id']]);
assert.equal(sent.code, 'unauthenticated');
await house.produce();
assert.deepEqual(await house.profile('ann'), { clicks: 1 });
assert.equal(await house.count('clicks == 1'), 2);
