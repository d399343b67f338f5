"""The agents of the made-up fleet: tools, hooks, rules, queries.

Their last hours have something for each panel: for 20 minutes the hooks of one sidecar do not arrive, the
server of an MCP tool is away, and an agent repeats itself until a rule stops it.
"""

from synthetic_series import CALL_BOUNDS, HOUR, Chance

# tool: (its part of the tool calls, share that fails, median seconds)
TOOLS = {
    "Read": (0.27, 0.012, 0.04), "Bash": (0.22, 0.07, 2.2), "Edit": (0.16, 0.03, 0.06),
    "Grep": (0.12, 0.004, 0.12), "mcp__tickets__search": (0.08, 0.02, 0.9), "Glob": (0.06, 0.002, 0.08),
    "Agent": (0.035, 0.01, 55.0), "Write": (0.03, 0.01, 0.05), "WebFetch": (0.015, 0.09, 1.8),
    "mcp__crm__lookup": (0.006, 0.03, 0.6), "other": (0.004, 0.02, 0.5),
}
# (team, rule, action, of its tool calls); a denied tool is one of the tool calls.
RULES = (
    ("search", "tools_denied", "denied", 0.004), ("research", "permission_modes", "denied", 0.003),
    ("support", "mcp_servers_allowed", "denied", 0.008), ("research", "models_allowed", "refused", 0.002),
    ("support", "usd_per_session_max", "refused", 0.002), ("search", "inference_geo", "observed", 0.005),
    ("research", "calls_per_turn_max", "observed", 0.003),
)
DENIED_TOOL = {"tools_denied": "WebFetch", "permission_modes": "Bash", "mcp_servers_allowed": "mcp__crm__lookup",
               "repeated_calls_max": "Bash"}
AGENT_TYPES = {"Explore": 0.6, "general-purpose": 0.3, "Plan": 0.1}
OUTCOMES = {"answered": 0.95, "failed": 0.02, "left": 0.03}
# Calls of a query, tool calls of a call.
CALLS, TOOL_CALLS = 14, 0.8
REJECTED = {"token": 0.002, "malformed": 0.0005, "origin": 0.0003}
# Hook events of a query beside those of its tools.
EVENTS = {"UserPromptSubmit": 1.0, "Stop": 0.95, "StopFailure": 0.02, "SessionStart": 0.2, "SessionEnd": 0.2,
          "other": 0.01}


class Agents:
    def __init__(self, out, end):
        self.out, self.end, self.chance = out, end, Chance(11)

    def step(self, labels, calls, now, seconds):
        """What the answered calls of one team and model bring with them."""
        who = {"instance": labels["instance"], "team": labels["team"]}
        before = (self.end - now) / HOUR
        deaf = who["team"] == "support" and 2.2 < before < 2.55
        loops = (who["team"], labels["model"]) == ("research", "claude-opus-5-5") and 0.25 < before < 0.6
        made = calls * TOOL_CALLS * self.slow((who["team"], labels["model"]), 0.15, seconds)
        for tool, (part, *_) in TOOLS.items():
            ill = tool == "mcp__tickets__search" and 0.9 < before < 1.25
            heard = 1 - self.missing(who, tool, deaf, seconds)
            self.tool(who, tool, made * part, heard, self.ran((tool, *labels.values()), ill, seconds))
        queries = calls / CALLS
        if loops:
            self.loop(who, seconds)
            queries *= 0.2
        self.rules(who, made, now)
        median = 70 * self.slow((*labels.values(), "query"), 0.25, seconds)
        self.queries(who, queries, made, 0.05 if deaf else 1.0, median)

    def slow(self, key, spread, seconds):
        return self.chance.wobble(key, spread, seconds, HOUR)

    def missing(self, who, tool, deaf, seconds):
        """The share of its calls whose hooks do not arrive."""
        if deaf:
            return 0.95
        if who["team"] == "unattributed":
            return min(0.3 * self.slow("unattributed", 0.3, seconds), 1)
        return 0.08 if tool == "Agent" else 0.0

    def ran(self, key, ill, seconds):
        """The share that fails, and the median of seconds."""
        _, failing, median = TOOLS[key[0]]
        failing = 0.75 if ill else failing * self.slow((key, "fails"), 0.3, seconds)
        return failing, median * self.slow((key, "takes"), 0.25, seconds)

    def tool(self, who, tool, count, heard, ran):
        failing, median = ran
        parts = {"hook_missing": 1 - heard, "not_executed": 0.012 * (tool == "Bash"),
                 "output_rewritten": 0.006 * (tool == "WebFetch"), "failed": failing * heard}
        out, told = self.out, count * heard
        for state, part in parts.items():
            if part:
                out.add("claude_tool_calls_total", count * part, tool=tool, state=state, **who)
        complete = count * max(1 - sum(parts.values()), 0.0)
        out.add("claude_tool_calls_total", complete, tool=tool, state="complete", **who)
        at = {"instance": who["instance"]}
        out.observe("claude_tool_duration_seconds", CALL_BOUNDS, median, told, spread=0.8, tool=tool, **at)
        self.events(at, {"PreToolUse": told, "PostToolUse": told * (1 - failing),
                         "PostToolUseFailure": told * failing})

    def events(self, at, counts):
        for event, count in counts.items():
            self.out.add("claude_hook_events_total", count, event=event, result="recorded", **at)
            self.out.add("claude_hook_events_total", count * 0.003, event=event, result="replayed", **at)

    def loop(self, who, seconds):
        """An agent runs the same command again and again; the rule denies all but the first ones."""
        count = seconds / 12
        at = {"instance": who["instance"]}
        self.out.add("claude_tool_calls_total", count * 0.2, tool="Bash", state="failed", **who)
        self.events(at, {"PreToolUse": count * 0.2, "PostToolUseFailure": count * 0.2})
        self.decide(who, "repeated_calls_max", "denied", count * 0.8)

    def decide(self, who, rule, action, count):
        self.out.add("claude_rule_decisions_total", count, rule=rule, action=action, **who)
        if action == "denied":
            self.out.add("claude_tool_calls_total", count, tool=DENIED_TOOL[rule], state="denied", **who)
            self.events({"instance": who["instance"]}, {"PreToolUse": count})

    def rules(self, who, made, now):
        for team, rule, action, part in RULES:
            if team == who["team"]:
                self.decide(who, rule, action, made * part)
        # One hour with hook events that nothing on the wire explains.
        if who["team"] == "search" and 3.0 < (self.end - now) / HOUR < 3.5:
            self.out.add("claude_tool_calls_total", made * 0.05, tool="Bash", state="unverified", **who)

    def queries(self, who, count, made, heard, median):
        out, at = self.out, {"instance": who["instance"]}
        for outcome, part in OUTCOMES.items():
            out.add("claude_queries_total", count * part, outcome=outcome, **who)
        out.observe("claude_query_duration_seconds", CALL_BOUNDS, median, count, spread=0.9, **at)
        for agent_type, part in AGENT_TYPES.items():
            out.add("claude_agents_total", made * TOOLS["Agent"][0] * part, agent_type=agent_type, **who)
        self.events(at, {event: count * part * heard for event, part in EVENTS.items()})
        agents = made * TOOLS["Agent"][0] * heard
        self.events(at, {"SubagentStart": agents, "SubagentStop": agents})
        for reason, part in REJECTED.items():
            out.add("weighbridge_hook_posts_rejected_total", made * part, reason=reason, **at)

    def open(self, instance, rate, seconds):
        """Tool calls that run now, at so many API calls a second."""
        now = rate * TOOL_CALLS * 9 * self.chance.wobble((instance, "open"), 0.2, seconds)
        self.out.set("weighbridge_tool_calls_open", round(now), instance=instance)
