"""One query of the Python Agent SDK; prints what a user would see."""

import asyncio
import json

from claude_agent_sdk import AssistantMessage, ClaudeAgentOptions, ResultMessage, query


async def main() -> None:
    options = ClaudeAgentOptions(permission_mode="bypassPermissions", max_turns=6)
    said = []
    async for message in query(prompt="Please run echo hello", options=options):
        if isinstance(message, AssistantMessage):
            said += [getattr(b, "text", getattr(b, "name", "thinking")) for b in message.content]
        if isinstance(message, ResultMessage):
            fields = ("subtype", "is_error", "num_turns", "result", "total_cost_usd", "session_id")
            print(json.dumps({"said": said, **{name: getattr(message, name) for name in fields}}))


asyncio.run(main())
