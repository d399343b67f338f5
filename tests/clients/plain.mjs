// A plain call, a stream and a call with a tool through the TypeScript SDK.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(process.env.TOOLS + '/package.json'));
const { default: Anthropic } = await import(pathToFileURL(require.resolve('@anthropic-ai/sdk')).href);

const client = new Anthropic();
const messages = [{ role: 'user', content: 'hi' }];
const request = { model: 'claude-opus-5-5', max_tokens: 64, messages };
const whole = await client.messages.create(request);
const streamed = await client.messages.stream(request).finalMessage();
const tools = [{ name: 'x', input_schema: { type: 'object' } }];
const tool = await client.messages.create({ ...request, tools });
console.log(JSON.stringify({ said: [whole, streamed, tool].map((m) => [m.content, m.usage]) }));
