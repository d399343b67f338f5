// One query of the TypeScript Agent SDK; prints what a user would see.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

// The packages are installed in .tools, not beside this file.
const require = createRequire(pathToFileURL(process.env.TOOLS + '/package.json'));
const sdk = await import(pathToFileURL(require.resolve('@anthropic-ai/claude-agent-sdk')).href);

const options = { permissionMode: 'bypassPermissions', allowDangerouslySkipPermissions: true };
const said = [];
for await (const message of sdk.query({ prompt: 'Please run echo hello', options })) {
  if (message.type === 'assistant') {
    for (const block of message.message.content) said.push(block.text ?? block.name ?? block.type);
  }
  if (message.type === 'result') {
    const { subtype, is_error, num_turns, result, total_cost_usd, session_id } = message;
    console.log(JSON.stringify({ said, subtype, is_error, num_turns, result, total_cost_usd, session_id }));
  }
}
