"""A program of the Claude Agent SDK for Python behind Weighbridge.

    ANTHROPIC_BASE_URL=http://127.0.0.1:8484 \\
    WEIGHBRIDGE_HOOK_URL=http://127.0.0.1:8485/hooks \\
    WEIGHBRIDGE_HOOK_TOKEN=$(cat ~/.local/state/weighbridge/hook.token) \\
    python agent_sdk.py "Fix the tests"

The base URL alone records, prices and attributes every call: the SDK reads it by itself. The hooks
below add what the program did with each tool, and let rules deny a tool before it runs. Copy
`hooks()`, `to_weighbridge()` and `post()` into yours.

Without callbacks: `weighbridge hooks install` writes the same hooks into the user's settings, which
the SDK loads unless `setting_sources` is set without "user". Where both are, an event counts once.
"""

import asyncio
import json
import os
import sys
import urllib.request

from claude_agent_sdk import ClaudeAgentOptions, HookMatcher, ResultMessage, query

# Those that the SDK for Python names.
EVENTS = (
    "UserPromptSubmit", "PreToolUse", "PostToolUse", "PostToolUseFailure", "PermissionRequest",
    "SubagentStart", "SubagentStop", "PreCompact", "Notification", "Stop",
)
# An agent never waits longer for Weighbridge.
WAIT_S = 0.5
# Weighbridge is on this machine: no proxy is to see the token.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post(event):
    """Sends one event as it is; gives Weighbridge's answer, which may deny a tool or a prompt."""
    # To the byte what Claude Code's own hooks send, so that the same event counts once.
    body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    request = urllib.request.Request(os.environ["WEIGHBRIDGE_HOOK_URL"], body, {
        "Authorization": f"Bearer {os.environ['WEIGHBRIDGE_HOOK_TOKEN']}",
        "Content-Type": "application/json",
    })
    with DIRECT.open(request, timeout=WAIT_S) as answer:
        return json.load(answer)


async def to_weighbridge(event, _tool_use_id, _context):
    try:
        # The timeout of the request is for each read; this one is for all of it.
        return await asyncio.wait_for(asyncio.to_thread(post, event), WAIT_S)
    except Exception:
        # Not reachable, or no sense: the agent goes on, and its tool calls are `hook_missing`.
        return {}


def hooks():
    return {event: [HookMatcher(hooks=[to_weighbridge])] for event in EVENTS}


async def main(prompt):
    # What the program may do without asking; a rule of Weighbridge denies it all the same.
    options = ClaudeAgentOptions(allowed_tools=["Agent", "Bash", "WebFetch"], hooks=hooks())
    async for message in query(prompt=prompt, options=options):
        if isinstance(message, ResultMessage):
            print(message.result or message.subtype)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python agent_sdk.py PROMPT")
    asyncio.run(main(sys.argv[1]))
