// All flags of a user at TARGET by @openfeature/ofrep-web-provider, which keeps them and asks again whether they changed. Prints `ready`, then
// what the flags of ann are each time that the provider says that they changed, and ends with its input.
import assert from 'node:assert/strict';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk';

// What the provider asks of the page that it is in: whether people see it.
globalThis.document = Object.assign(new EventTarget(), { visibilityState: 'visible' });

const { TARGET, KEY } = process.env;
const statuses = [];
const counting = async (...request) => {
  const response = await fetch(...request);
  statuses.push(response.status);
  return response;
};
const provider = new OFREPWebProvider({
  baseUrl: TARGET,
  headers: [['Authorization', `Bearer ${KEY}`]],
  changeDetection: 'polling',
  pollInterval: 200,
  cacheMode: 'disabled',
  fetchImplementation: counting,
});
await OpenFeature.setContext({ targetingKey: 'ann' });
await OpenFeature.setProviderAndWait(provider);
const flags = OpenFeature.getClient();
const shown = () => JSON.stringify({ pros: flags.getBooleanValue('pros', false), buyers: flags.getBooleanValue('buyers', false) });

assert.equal(flags.getBooleanDetails('pros', false).variant, 'in');
assert.equal(flags.getBooleanValue('pro', true), true, 'a flag that there is not has the default');
// Of a crowd without a version the application's own default counts.
assert.equal(flags.getBooleanValue('idle', true), true);
assert.equal(flags.getBooleanValue('idle', false), false);
flags.addHandler(ProviderEvents.ConfigurationChanged, () => console.log(shown()));
console.log('ready', shown());
process.stdin.resume();
await new Promise((ended) => process.stdin.on('end', ended));
assert.ok(statuses.filter((status) => status === 304).length > 2, `unchanged flags are not sent again: ${statuses}`);
await OpenFeature.close();
