// All flags of a user at TARGET by @openfeature/ofrep-web-provider without polling: it follows the server's events. Prints `ready`, then what
// the flags of ann are each time that the provider says that they changed, and ends with its input. Run it with --experimental-eventsource.
import assert from 'node:assert/strict';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk';

// What the provider asks of the page that it is in: whether people see it.
globalThis.document = Object.assign(new EventTarget(), { visibilityState: 'visible' });

const { TARGET, KEY } = process.env;
const calls = [];
const counting = async (...request) => {
  const response = await fetch(...request);
  calls.push(`${response.status} ${new URL(request[0].url ?? request[0]).search}`);
  return response;
};
const provider = new OFREPWebProvider({
  baseUrl: TARGET,
  headers: [['Authorization', `Bearer ${KEY}`]],
  cacheMode: 'disabled',
  fetchImplementation: counting,
});
await OpenFeature.setContext({ targetingKey: 'ann' });
await OpenFeature.setProviderAndWait(provider);
const flags = OpenFeature.getClient();
const shown = () => JSON.stringify({ pros: flags.getBooleanValue('pros', false), buyers: flags.getBooleanValue('buyers', false) });
flags.addHandler(ProviderEvents.ConfigurationChanged, () => console.log(shown()));
console.log('ready', shown());
process.stdin.resume();
await new Promise((ended) => process.stdin.on('end', ended));
// One call at the start, one when the stream began, and one for each change; with some to spare for changes that are told in two.
assert.ok(calls.length >= 3 && calls.length < 12, `it does not poll: ${calls}`);
assert.ok(calls.some((call) => call.startsWith('200 ?flagConfigEtag=')), `it was told: ${calls}`);
await OpenFeature.close();
