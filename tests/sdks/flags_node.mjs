// Crowds as flags, evaluated at TARGET by @openfeature/ofrep-provider, as its users do.
import assert from 'node:assert/strict';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { ErrorCode, OpenFeature } from '@openfeature/server-sdk';

const { TARGET, KEY, OTHER_KEY, WRITE_KEY } = process.env;
const provider = (headers) => new OFREPProvider({ baseUrl: TARGET, headers });
const client = async (domain, headers) => {
  await OpenFeature.setProviderAndWait(domain, provider(headers));
  return OpenFeature.getClient(domain);
};
const flags = await client('bearer', [['Authorization', `Bearer ${KEY}`]]);

const ann = await flags.getBooleanDetails('pros', false, { targetingKey: 'ann', plan: 'passed over' });
assert.deepEqual([ann.value, ann.reason, ann.variant, ann.errorCode], [true, 'TARGETING_MATCH', 'in', undefined]);
assert.equal(ann.flagMetadata.version, 1);
assert.equal(ann.flagMetadata.live, false);
assert.match(ann.flagMetadata.asOf, /^20\d\d-/);
assert.equal(typeof ann.flagMetadata.ageMs, 'number');
const bob = await flags.getBooleanDetails('pros', true, { targetingKey: 'bob' });
assert.deepEqual([bob.value, bob.reason, bob.variant], [false, 'TARGETING_MATCH', 'out']);
const nobody = await flags.getBooleanDetails('pros', true, { targetingKey: 'nobody' });
assert.deepEqual([nobody.value, nobody.flagMetadata.unknownUser], [false, true]);
const live = await flags.getBooleanDetails('buyers', false, { targetingKey: 'bob' });
assert.deepEqual([live.value, live.flagMetadata.live, live.flagMetadata.version], [true, true, 0]);
assert.equal(await flags.getBooleanValue('pros', false, { targetingKey: 'a/1' }), true, 'any id of the user');

// Errors give the application's own default, and say what is wrong.
const failed = async (key, context, code, words, of = flags) => {
  const details = await of.getBooleanDetails(key, true, context);
  assert.equal(details.value, true);
  assert.deepEqual([details.reason, details.errorCode], ['ERROR', code], `${key}: ${details.errorMessage}`);
  assert.match(details.errorMessage ?? '', words);
};
await failed('pro', { targetingKey: 'ann' }, ErrorCode.FLAG_NOT_FOUND, /.*/);
await failed('pros', {}, ErrorCode.TARGETING_KEY_MISSING, /.*/);
await failed('pros', { targetingKey: 'x'.repeat(600) }, ErrorCode.INVALID_CONTEXT, /.*/);
const text = await flags.getStringDetails('pros', 'mine', { targetingKey: 'ann' });
assert.deepEqual([text.value, text.errorCode], ['mine', ErrorCode.TYPE_MISMATCH]);

// Keys in the other header, of every app, and such as may not judge.
const byHeader = await client('api-key', [['X-API-Key', KEY]]);
assert.equal(await byHeader.getBooleanValue('pros', false, { targetingKey: 'ann' }), true);
const ofAll = await client('all', [['Authorization', `Bearer ${OTHER_KEY}`], ['Taghouse-App', 't']]);
assert.equal(await ofAll.getBooleanValue('pros', false, { targetingKey: 'ann' }), true);
const unnamed = await client('unnamed', [['Authorization', `Bearer ${OTHER_KEY}`]]);
await failed('pros', { targetingKey: 'ann' }, ErrorCode.GENERAL, /.*/, unnamed);
const write = await client('write', [['Authorization', `Bearer ${WRITE_KEY}`]]);
await failed('pros', { targetingKey: 'ann' }, ErrorCode.GENERAL, /.*/, write);
