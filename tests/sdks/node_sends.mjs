// Calls of every kind to TARGET by @segment/analytics-node, as its users make them.
import { Analytics } from '@segment/analytics-node';

const { TARGET, WRITE_KEY } = process.env;
const analytics = new Analytics({ writeKey: WRITE_KEY, host: TARGET });
analytics.on('error', (error) => { console.error(error); process.exitCode = 1; });

const userId = 'of-node';
analytics.identify({ userId, traits: { plan: 'pro', colours: ['red', 7] } });
analytics.page({ userId, name: 'Home', properties: { url: 'https://shop.example.com/' } });
analytics.screen({ userId, name: 'Start' });
analytics.group({ userId, groupId: 'acme' });
analytics.alias({ userId, previousId: 'of-node-before' });
// More than one batch, on their way at one time.
for (let amount = 1; amount <= 40; amount += 1) analytics.track({ userId, event: 'Order Paid', properties: { amount } });
await analytics.closeAndFlush();
