// A program of the Claude Agent SDK for TypeScript behind Weighbridge.
//
//   ANTHROPIC_BASE_URL=http://127.0.0.1:8484 \
//   WEIGHBRIDGE_HOOK_URL=http://127.0.0.1:8485/hooks \
//   WEIGHBRIDGE_HOOK_TOKEN=$(cat ~/.local/state/weighbridge/hook.token) \
//   node agent_sdk.mjs "Fix the tests"
//
// The base URL alone records, prices and attributes every call. The hooks below add what the program did
// with each tool, and let rules deny a tool before it runs. Copy `hooks` and `toWeighbridge` into yours.
import { query } from '@anthropic-ai/claude-agent-sdk';

const EVENTS = ['UserPromptSubmit', 'PreToolUse', 'PostToolUse', 'PostToolUseFailure', 'PostToolBatch',
  'PermissionRequest', 'PermissionDenied', 'SubagentStart', 'SubagentStop', 'PreCompact', 'PostCompact',
  'Notification', 'Stop', 'StopFailure', 'SessionStart', 'SessionEnd'];
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
    // Not reachable: the agent goes on, and the call is recorded as `hook_missing`.
    return {};
  }
}

const hooks = Object.fromEntries(EVENTS.map((event) => [event, [{ hooks: [toWeighbridge] }]]));

const options = {
  permissionMode: 'bypassPermissions', allowDangerouslySkipPermissions: true, hooks,
};
for await (const message of query({ prompt: process.argv[2], options })) {
  if (message.type === 'result') console.log(message.result);
}
