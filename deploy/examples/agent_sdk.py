"""A program of the Claude Agent SDK for Python behind Weighbridge.

    ANTHROPIC_BASE_URL=http://127.0.0.1:8484 \\
    WEIGHBRIDGE_HOOK_URL=http://127.0.0.1:8485/hooks \\
    WEIGHBRIDGE_HOOK_TOKEN=$(cat ~/.local/state/weighbridge/hook.token) \\
    python agent_sdk.py "Fix the tests"

The base URL alone records, prices and attributes every call. The hooks below add what the program did with
each tool, and let rules deny a tool before it runs. Copy `hooks()` and `to_weighbridge()` into your program.
"""

import asyncio
import json
import os
import sys
import urllib.request

from claude_agent_sdk import ClaudeAgentOptions, HookMatcher, ResultMessage, query

# Those that the SDK for Python has; without them the traffic still shows each tool call.
EVENTS = ("UserPromptSubmit", "PreToolUse", "PostToolUse", "PostToolUseFailure", "PermissionRequest",
          "SubagentStart", "SubagentStop", "PreCompact", "Notification", "Stop")
# An agent never waits longer for Weighbridge.
WAIT_S = 0.5


def post(event):
    """Sends one event as it is; gives Weighbridge's answer, which may deny a tool or a prompt."""
    request = urllib.request.Request(os.environ["WEIGHBRIDGE_HOOK_URL"], json.dumps(event).encode(), {
        "Authorization": f"Bearer {os.environ['WEIGHBRIDGE_HOOK_TOKEN']}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
        return json.load(answer)


async def to_weighbridge(event, _tool_use_id, _context):
    try:
        return await asyncio.to_thread(post, event)
    except OSError:
        # Not reachable, or no: the agent goes on, and the call is recorded as `hook_missing`.
        return {}


def hooks():
    return {event: [HookMatcher(hooks=[to_weighbridge])] for event in EVENTS}


async def main():
    options = ClaudeAgentOptions(permission_mode="bypassPermissions", hooks=hooks())
    async for message in query(prompt=sys.argv[1], options=options):
        if isinstance(message, ResultMessage):
            print(message.result)


asyncio.run(main())
