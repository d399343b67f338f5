"""A plain call, a stream and a call with a tool through the Python SDK."""

import json

import anthropic

client = anthropic.Anthropic()
request = {
    "model": "claude-opus-5-5",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "hi"}],
}
whole = client.messages.create(**request)
with client.messages.stream(**request) as stream:
    streamed = stream.get_final_message()
tool = client.messages.create(tools=[{"name": "x", "input_schema": {"type": "object"}}], **request)
said = [[json.loads(m.to_json())[key] for key in ("content", "usage")] for m in (whole, streamed, tool)]
print(json.dumps({"said": said}))
