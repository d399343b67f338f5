// A program of the Claude Agent SDK for TypeScript behind Weighbridge.
//
//   ANTHROPIC_BASE_URL=http://127.0.0.1:8484 \
//   WEIGHBRIDGE_HOOK_URL=http://127.0.0.1:8485/hooks \
//   WEIGHBRIDGE_HOOK_TOKEN=$(cat ~/.local/state/weighbridge/hook.token) \
//   node agent_sdk.mjs "Fix the tests"
//
// The base URL alone records, prices and attributes every call: the SDK reads it by itself. The
// hooks below add what the program did with each tool, and let rules deny a tool before it runs.
// Copy `hooks` and `toWeighbridge` into yours.
//
// Without callbacks: `weighbridge hooks install` writes the same hooks into the user's settings,
// which the SDK loads unless `settingSources` is set without 'user'. Where both are, an event
// counts once.
import { HOOK_EVENTS, query } from '@anthropic-ai/claude-agent-sdk';

// An agent never waits longer for Weighbridge.
const WAIT_MS = 500;

/** Sends one event as it is; gives Weighbridge's answer, which may deny a tool or a prompt. */
async function toWeighbridge(event) {
  const { WEIGHBRIDGE_HOOK_URL: url, WEIGHBRIDGE_HOOK_TOKEN: token } = process.env;
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(event),
      signal: AbortSignal.timeout(WAIT_MS),
    });
    return answer.ok ? await answer.json() : {};
  } catch {
    // Not reachable, or no sense: the agent goes on, and its tool calls are `hook_missing`.
    return {};
  }
}

// A hook on WorktreeCreate would have to make the worktree itself.
const events = HOOK_EVENTS.filter((event) => event !== 'WorktreeCreate');
const hooks = Object.fromEntries(events.map((event) => [event, [{ hooks: [toWeighbridge] }]]));

// What the program may do without asking; a rule of Weighbridge denies it all the same.
const options = { allowedTools: ['Agent', 'Bash', 'WebFetch'], hooks };

const prompt = process.argv[2];
if (!prompt) {
  console.error('usage: node agent_sdk.mjs PROMPT');
  process.exit(2);
}
for await (const message of query({ prompt, options })) {
  if (message.type === 'result') console.log(message.result ?? message.subtype);
}
