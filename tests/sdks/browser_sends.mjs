// Calls to TARGET from pages in Chromium, by @segment/analytics-next as npm and as its snippet load it, on a page server of its own at PAGE_PORT:
// another origin than TARGET, as in life. Only the write key and the place of the server are told to the library.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { chromium } from 'playwright-core';

const { TARGET, WRITE_KEY, PAGE_PORT, CHROMIUM } = process.env;
const library = join(dirname(createRequire(import.meta.url).resolve('@segment/analytics-next/package.json')), 'dist/umd');

const pages = createServer(async (request, answer) => {
  const name = new URL(request.url, 'http://page').pathname;
  if (name.endsWith('.js')) {
    answer.setHeader('content-type', 'text/javascript');
    answer.end(await readFile(join(library, basename(name))));
  } else {
    answer.setHeader('content-type', 'text/html');
    answer.end('<!doctype html><title>Shop</title><h1>Shop</h1>');
  }
}).listen(Number(PAGE_PORT), '127.0.0.1');

// --no-sandbox: Chromium's own sandbox does not start for root.
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });

// A page of a visitor of its own; what it asks of others than the two servers, or what is refused, is a fault.
const visit = async () => {
  const page = await (await browser.newContext()).newPage();
  const fault = (what) => { console.error(what); process.exitCode = 1; };
  page.on('pageerror', (error) => fault(`error in the page: ${error}`));
  page.on('console', (message) => { if (message.type() === 'error') fault(`console: ${message.text()}`); });
  page.on('request', (request) => {
    const { origin } = new URL(request.url());
    if (![TARGET, `http://127.0.0.1:${PAGE_PORT}`].includes(origin)) fault(`a request to ${request.url()}`);
  });
  page.on('response', (response) => { if (response.status() >= 400 && !response.url().endsWith('.ico')) fault(`${response.status()} for ${response.url()}`); });
  await page.route('**/favicon.ico', (route) => route.fulfill({ status: 204 }));
  await page.goto(`http://127.0.0.1:${PAGE_PORT}/`);
  return page;
};

const told = { TARGET, WRITE_KEY };

// As an app with a bundler loads it, with the place of the server as the place of its settings. A call is delivered when its promise is kept.
const standard = await visit();
await standard.addScriptTag({ url: '/index.js' });
await standard.evaluate(async ({ TARGET, WRITE_KEY }) => {
  const analytics = AnalyticsNext.AnalyticsBrowser.load({ writeKey: WRITE_KEY, cdnURL: TARGET });
  await analytics.identify('of-browser', { plan: 'pro', colours: ['red', 7] });
  await analytics.page('Home');
  await analytics.screen('Start');
  await analytics.group('acme');
  await analytics.alias('of-browser', 'of-browser-before');
  await analytics.track('Order Paid', { amount: 1 });
  await analytics.track('Order Paid', { amount: 2 });
}, told);

// With the place of the calls told too, in batches; the page is left before the last is sent.
const batching = await visit();
await batching.addScriptTag({ url: '/index.js' });
await batching.evaluate(async ({ TARGET, WRITE_KEY }) => {
  const apiHost = `${new URL(TARGET).host}/v1`;
  const deliveryStrategy = { strategy: 'batching', config: { size: 3, timeout: 600_000 } };
  const integrations = { 'Segment.io': { apiHost, protocol: 'http', deliveryStrategy } };
  window.analytics = AnalyticsNext.AnalyticsBrowser.load({ writeKey: WRITE_KEY, cdnURL: TARGET }, { integrations });
  await analytics.identify('of-batches', { plan: 'basic' });
  for (let amount = 1; amount <= 4; amount += 1) await analytics.track('Order Paid', { amount });
}, told);
await batching.goto(`http://127.0.0.1:${PAGE_PORT}/next`);

// By the snippet: what the page calls before the library has come is kept and sent.
const snippet = await visit();
await snippet.evaluate(({ TARGET, WRITE_KEY }) => {
  const analytics = window.analytics = [];
  for (const method of ['identify', 'track', 'page']) analytics[method] = (...rest) => analytics.push([method, ...rest]);
  analytics._writeKey = WRITE_KEY;
  analytics._cdn = TARGET;
  analytics.identify('of-snippet', { plan: 'basic' });
  analytics.track('Order Paid', { amount: 1 });
}, told);
await snippet.addScriptTag({ url: '/standalone.js' });
await snippet.waitForFunction(() => window.analytics.initialized);
await snippet.evaluate(() => window.analytics.track('Order Paid', { amount: 2 }));

// Without a library: a page that is left says so.
const beacon = await visit();
await beacon.evaluate(({ TARGET, WRITE_KEY }) => {
  const call = { writeKey: WRITE_KEY, userId: 'of-beacon', event: 'Order Paid', messageId: 'beacon-1', properties: { amount: 1 } };
  window.addEventListener('pagehide', () => navigator.sendBeacon(`${TARGET}/v1/t`, JSON.stringify(call)));
}, told);
await beacon.goto(`http://127.0.0.1:${PAGE_PORT}/next`);

// Kept open for what is still under way; whoever started this ends its input once all has come.
for await (const _ of process.stdin) { /* until the end */ }
await browser.close();
pages.close();
