"""Agents and tools: is every tool call accounted for, what fails, what was denied, does an agent loop."""

from grafana import (COUNT, GREEN, ORANGE, PER_MINUTE, PLAIN, RED, SECONDS, SHARE, YELLOW, Board, bars, column,
                     equals, increase, less, lines, per_minute, pick, quantile, ratio, series, stat, steps, table)
from shared import filters, restarts

# As docs/metrics.md has them. What hooks speak of and the traffic does not know is no call of ours.
SETTLED, GAP = 'state!="unverified"', 'state=~"hook_missing|not_executed"'
RAN, FAILED = 'state=~"complete|failed|output_rewritten"', 'state="failed"'
STATES = {"complete": "green", "denied": "blue", "failed": "orange", "output_rewritten": "purple",
          "hook_missing": "red", "not_executed": "yellow", "unverified": "dark-red"}
DONE = 'action=~"denied|refused"'
LIMITS = 'rule=~"repeated_calls_max|calls_per_turn_max|turns_per_session_max|parallel_agents_max"'
OWN = ("instance",)
TEAM = ("instance", "team")
# The window of the alerts on tools: a graph shows what the alert sees.
WINDOW = "30m"
# Rows of the table of tools, and lines of the graphs beside it.
TOOLS_SHOWN, LINES_SHOWN = 12, 6
NO_TOOL, NO_RULE, NO_HOOK = "no tool call ended", "no rule decided", "no hook event: see `weighbridge hooks check`"


def graph(title, pairs, **more):
    """Tools and queries are few: at a finer step each single one would be a peak."""
    return lines(title, pairs, interval="2m", **more)


def tools(*matchers):
    return pick("claude_tool_calls_total", *matchers, by=("instance", "team", "tool"))


def decisions(*matchers):
    return pick("claude_rule_decisions_total", *matchers, by=TEAM)


def hooks(*matchers):
    return pick("claude_hook_events_total", *matchers, by=OWN)


def completeness(window="$__range", by=""):
    """What is accounted for of all that the traffic knows; without a gap the gap's counter is not there."""
    settled = increase(tools(SETTLED), window, by)
    return ratio(less(settled, increase(tools(GAP), window, by)), settled)


def of_most_used(expr, most):
    """Only the tools with most calls of the whole range, the same ones at each point of a graph."""
    calls = f"sum by (tool) (increase({tools()}[$__range] @ end()))"
    return f"({expr}) and on (tool) topk ({most}, {calls})"


def accounted(board):
    failed = ratio(increase(tools(FAILED)), increase(tools(RAN)))
    board.row("Is every tool call accounted for?")
    board.place(
        4,
        (6, stat("Completeness", completeness(), unit=SHARE, decimals=1, none=NO_TOOL,
                 thresholds=steps(RED, (0.95, YELLOW), (0.99, GREEN)),
                 shows="Tool calls that are accounted for, of all that the traffic knows: asked for by the "
                       "model, announced by the hook, done or denied, result sent back.",
                 act="*Tool calls with a gap* names the team and tool; below 95 % the alert "
                     "WeighbridgeHooksMissing says what to do.")),
        (3, stat("Tool calls", increase(tools(SETTLED)), unit=COUNT, decimals=1, none=NO_TOOL,
                 shows="Tool calls that ended in the range, however they ended.",
                 act="many more without more work is a loop: see *Is an agent looping?* below.")),
        (3, stat("Hook missing", f"{increase(tools(equals('state', 'hook_missing')))} > 0", unit=COUNT,
                 decimals=0, none="none", thresholds=steps(PLAIN, (1e-9, ORANGE)),
                 shows="Tool calls that ran, as their results show, while not all of their hooks did. No rule "
                       "could deny them.",
                 act="the client runs without our hooks: `weighbridge hooks check` there.")),
        (3, stat("Unverified", f"{increase(tools(equals('state', 'unverified')))} > 0", unit=COUNT, decimals=0,
                 none="none", thresholds=steps(PLAIN, (1e-9, RED)),
                 shows="Tool calls that only hook events tell of. The model's traffic did not pass here, or "
                       "somebody forged the event.",
                 act="see the alert WeighbridgeToolsUnverified: find the session, and its base URL.")),
        (3, stat("Denied", f"{increase(tools(equals('state', 'denied')))} > 0", unit=COUNT, decimals=0,
                 none="none", shows="Tool calls that were denied and did not run: by our rules, or by the client, "
                                    "its user or another hook.",
                 act="*Denied and refused, by rule* has ours; the rest is the client's own.")),
        (3, stat("Failed", failed, unit=SHARE, decimals=1, none="none",
                 thresholds=steps(GREEN, (0.1, YELLOW), (0.3, RED)),
                 shows="Share of the tools that ran and failed.",
                 act="the table *Tools* names the tool that fails.")),
        (3, stat("Open now", f"sum ({pick('weighbridge_tool_calls_open', by=OWN)})", unit=COUNT, decimals=0,
                 none="no sidecar tells this",
                 shows="Tool calls that the model asked for and that have not ended. Only the sidecar filter "
                       "applies.",
                 act="it climbs while calls do not: tools hang, or people are asked and do not answer.")),
    )
    board.place(8, (8, by_state()), (6, completeness_by_team()), (10, gaps()))


def by_state():
    return graph(
        "Tool calls by state", [("{{state}}", per_minute(tools(), "state"))], unit=PER_MINUTE, stack=True,
        none=NO_TOOL, overrides=[series(state, color=colour) for state, colour in STATES.items()],
        shows="Tool calls per minute by how they ended. `complete`: seen from all sides. `hook_missing`: it ran "
              "and its hooks did not. `not_executed`: asked for, and nothing says that it ran. "
              "`unverified`: only hooks tell of it.",
        act="red that stays: hooks do not arrive, see *Do hooks arrive?*. Orange: a tool fails, see *Tools*.")


def completeness_by_team():
    return graph(
        "Completeness, by team", [("{{team}}", completeness(WINDOW, "team"))], unit=SHARE, least=0, most=1,
        none=NO_TOOL, shows="The same figure over the last 30 minutes at each point, for each team.",
        act="one team falls: its clients lost their hooks. All of a sidecar's fall: its admin listener is "
            "not reached.")


def gaps():
    by, keys = "team, tool", {"team": "Team", "tool": "Tool"}
    each = [(name, f"{increase(tools(equals('state', state)), by=by)} > 0") for name, state in
            (("No hook", "hook_missing"), ("Not run", "not_executed"), ("Unverified", "unverified"),
             ("Rewritten", "output_rewritten"))]
    found = 'state=~"hook_missing|not_executed|unverified|output_rewritten"'
    looks = [column("Team", width=100), column("Tool", width=165), column("All", COUNT, 55, 0),
             column("No hook", COUNT, 75, 0), column("Not run", COUNT, 70, 0),
             column("Unverified", COUNT, 82, 0, cell={"type": "color-text"}, thresholds=steps(PLAIN, (1e-9, RED))),
             column("Rewritten", COUNT, 84, 0)]
    return table(
        "Tool calls with a gap", keys, [("All", f"{increase(tools(found), by=by)} > 0"), *each],
        unit=COUNT, sort=("All", True), looks=looks, none="none: every tool call is accounted for",
        shows="What is not as it should be, by team and tool. *Rewritten*: the model got something else than the "
              "tool gave, as a hook may do; it is accounted for. A column without any figure is left out.",
        act="`weighbridge sessions ID` shows the calls of a session with their gaps. *Unverified* in red is "
            "the one to ask about first.")


def which_tools(board):
    calls = increase(tools(), by="tool")
    buckets = pick("claude_tool_duration_seconds_bucket", by=("instance", "tool"))

    def took(share):
        return f"histogram_quantile({share}, {increase(buckets, by='le, tool')}) >= 0"

    columns = [
        ("Calls", calls), ("Failed", increase(tools(FAILED), by="tool") + " > 0"),
        ("Failed %", ratio(increase(tools(FAILED), by="tool"), increase(tools(RAN), by="tool"))),
        ("Denied", increase(tools(equals("state", "denied")), by="tool") + " > 0"),
        ("p50", took(0.5)), ("p95", took(0.95)),
    ]
    columns = [(name, of_most_used(expr, TOOLS_SHOWN)) for name, expr in columns]
    looks = [
        column("Tool", width=200, links=[tool_link()]), column("Calls", COUNT, 80, 0),
        column("Failed", COUNT, 70, 0),
        column("Failed %", SHARE, 80, 1, cell={"type": "color-text"},
               thresholds=steps(PLAIN, (0.1, ORANGE), (0.5, RED))),
        column("Denied", COUNT, 75, 0), column("p50", SECONDS, 85, 2), column("p95", SECONDS, 85, 2),
    ]
    board.row("Which tools are used, and do they work?")
    board.place(
        9,
        (11, table(
            "Tools", {"tool": "Tool"}, columns, unit=COUNT, sort=("Calls", True), looks=looks, none=NO_TOOL,
            shows=f"The {TOOLS_SHOWN} tools with most calls. *Failed %* is of those that ran. *p50* and *p95* are "
                  "durations as the client's hooks tell them, of all teams, as fine as the buckets; without "
                  "hooks there are none.",
            act="orange from 10 %, red from 50 % failed: an `mcp__…` tool's server is down or its login ran out; "
                "a built-in one meets a broken environment.")),
        (7, graph("Failed, by tool",
                  [("{{tool}}", of_most_used(ratio(increase(tools(FAILED), WINDOW, "tool"),
                                                   increase(tools(RAN), WINDOW, "tool")), LINES_SHOWN))],
                  unit=SHARE, least=0, most=1, none="no tool failed",
                  shows=f"Share of runs that failed over the last 30 minutes at each point, for the {LINES_SHOWN} "
                        "tools with most calls.",
                  act="a step up at one tool is its server or its release. Above 50 % the alert "
                      "WeighbridgeToolFailing fires.")),
        (6, graph("Duration, p95 by tool",
                  [("{{tool}}", of_most_used(quantile(0.95, "claude_tool_duration_seconds", "tool",
                                                      ("instance", "tool")), LINES_SHOWN))],
                  unit=SECONDS, none="no hook told how long a tool took",
                  shows=f"95 of 100 runs took at most this long; the {LINES_SHOWN} tools with most calls. Durations "
                        "know no team.",
                  act="a slow tool makes every turn slow, and prompts fall out of the cache meanwhile.")),
    )


def tool_link():
    return {"title": "Show this tool alone", "targetBlank": False,
            "url": "/d/weighbridge-agents?var-tool=${__value.raw}&${datasource:queryparam}"}


def rules(board):
    def one(action, by):
        return f"{increase(decisions(equals('action', action)), by=by)} > 0"
    by, keys = "team, rule", {"team": "Team", "rule": "Rule"}
    columns = [("Denied", one("denied", by)), ("Refused", one("refused", by)), ("Observed", one("observed", by))]
    looks = [column("Team", width=95), column("Rule", width=160), column("Denied", COUNT, 70, 0),
             column("Refused", COUNT, 75, 0), column("Observed", COUNT, 80, 0)]
    denied = increase(tools(equals("state", "denied")), by="tool")
    board.row("What was denied, and by which rule?")
    board.place(
        7,
        (6, graph("Denied and refused, by rule", [("{{rule}}", f"{per_minute(decisions(DONE), 'rule')} > 0")],
                  unit=PER_MINUTE, stack=True, none="no rule denied anything",
                  shows="Decisions per minute. *Denied*: a tool, in answer to its hook. *Refused*: a call, by the "
                        "proxy.",
                  act="a peak of one rule is one agent that tries again and again, or a rule that is too "
                      "tight: `weighbridge sessions` has the session.")),
        (5, bars("Denied, by tool", [("{{tool}}", f"topk (8, sort_desc ({denied} > 0))")], unit=COUNT,
                 decimals=0, least=0, none="no tool was denied", thresholds=steps("blue"),
                 shows="Tool calls that were denied, by our rules or by the client itself.",
                 act="a tool that is denied all day is missing from somebody's work, or should not be tried: "
                     "tell the team.")),
        (8, table("Rules by team", keys, columns, unit=COUNT, sort=("Denied", True), looks=looks, none=NO_RULE,
                  shows="What each rule did to each team in the range. The exact list, with layer, session and "
                        "time, is in the ledger.",
                  act="docs/rules.md says what each rule asks for; `weighbridge check --team` says which layer "
                      "set it.")),
        (5, bars("Observed: would have been",
                 [("{{rule}}", f"sort_desc ({one('observed', 'rule')})")], unit=COUNT, decimals=0, least=0,
                 none="no rule only observes", thresholds=steps("yellow"),
                 shows="What rules in `observe` mode would have denied or refused. It went on.",
                 act="before you enforce such a rule, ask the teams in the table beside it.")),
    )


def arriving(board):
    posts = pick("weighbridge_hook_posts_rejected_total", by=OWN)
    recorded = equals("result", "recorded")
    asked = [("tool calls", per_minute(pick("claude_tool_calls_total", SETTLED, by=OWN))),
             ("before: PreToolUse", per_minute(hooks(recorded, equals("event", "PreToolUse")))),
             ("after: PostToolUse, …Failure", per_minute(hooks(recorded, 'event=~"PostToolUse|PostToolUseFailure"')))]
    board.row("Do hooks arrive?")
    board.place(
        8,
        (8, graph("Tool calls and their hooks", asked, unit=PER_MINUTE, none=NO_HOOK,
                  overrides=[series("tool calls", color="text", dashed=True),
                             series("before: PreToolUse", color="blue"),
                             series("after: PostToolUse, …Failure", color="green")],
                  shows="Tool calls that ended by the traffic, and the hook events around them. The three lines "
                        "lie on each other; *after* is lower by what was denied, *before* by tools that run at "
                        "the API. Hooks know no team: only the sidecar filter applies.",
                  act="hooks fall while tool calls go on: they do not arrive. `weighbridge hooks check`, and the "
                      "alert WeighbridgeHooksMissing.")),
        (8, bars("Hook events, by event",
                 [("{{event}}", f"topk (10, sort_desc ({increase(hooks(recorded), by='event')} > 0))")], unit=COUNT,
                 decimals=0, least=0, none=NO_HOOK, thresholds=steps("blue"),
                 shows="Hook events that were recorded in the range, the ten most frequent. `other` is an event "
                       "that this version does not know. Only the sidecar filter applies.",
                 act="`PreToolUse` without as many `PostToolUse` or `PostToolUseFailure`: tools are denied or hang. "
                     "An event that should be here is not in the clients' settings.")),
        (8, graph("Posts rejected and replayed",
                  [("rejected: {{reason}}", f"{per_minute(posts, 'reason')} > 0"),
                   ("replayed", f"{per_minute(hooks(equals('result', 'replayed')))} > 0")],
                  unit=PER_MINUTE, none="no post was rejected or replayed",
                  overrides=[series("replayed", color="gray")],
                  shows="Posts to `/hooks` that were not taken, by reason, and events that came twice and count "
                        "once.",
                  act="`token`: a client has an old token, or somebody guesses. `origin`: a web page tries. "
                      "`unrecorded`: the ledger cannot be written. `malformed`: not a client of ours.")),
    )


def calls_per_query():
    """At least one query is counted: a query that never ends is what this is to show."""
    made = increase(pick("claude_requests_total", by=TEAM), WINDOW, "team")
    asked = increase(pick("claude_queries_total", by=TEAM), WINDOW, "team")
    return f"({made}) / clamp_min (({asked}) or ({made}) * 0, 1)"


def looping(board):
    queries, seconds = pick("claude_queries_total", by=TEAM), "claude_query_duration_seconds"
    agents = pick("claude_agents_total", by=TEAM)
    board.row("Is an agent looping?")
    board.place(
        7,
        (8, graph("API calls per query, by team", [("{{team}}", calls_per_query())], unit=COUNT,
                  none="no call", decimals=0,
                  shows="Calls to the API for each prompt of a user, over the last 30 minutes at each point. "
                        "While no query ends, all calls count as one's.",
                  act="a team that climbs and does not come back has an agent in a loop: `weighbridge sessions` "
                      "has the longest.")),
        (8, graph("Stopped by a limit", [("{{rule}}, {{action}}",
                                          f"{increase(decisions(LIMITS), WINDOW, 'rule, action')} > 0")],
                  unit=COUNT, decimals=0, none="no limit on loops was reached",
                  shows="Decisions of the rules against loops over the last 30 minutes: repeated tool calls, calls "
                        "per turn, turns per session, sub-agents at once.",
                  act="`repeated_calls_max`: an agent asks for the same again and again; stop its session. "
                      "`observed`: nothing stopped it.")),
        (8, graph("Sub-agents started, by type", [("{{agent_type}}", per_minute(agents, "agent_type"))],
                  unit="suffix:/min", stack=True, none="no sub-agent started",
                  shows="Sub-agents that started, per minute, by their type.",
                  act="a burst is one agent that starts many: `parallel_agents_max` limits them.")),
    )
    board.place(
        7,
        (8, graph("Queries by outcome", [("{{outcome}}", per_minute(queries, "outcome"))], unit="suffix:/min",
                  stack=True, none="no query ended",
                  overrides=[series("answered", color="green"), series("failed", color="red"),
                             series("left", color="gray")],
                  shows="Queries (a user's prompt until its final answer) that ended, per minute. `left`: the "
                        "client went before the answer.",
                  act="`failed`: see *Errors* on the Live board. Many `left`: people stop agents.")),
        (8, graph("Duration of queries", [(name, quantile(share, seconds, labels=OWN))
                                          for name, share in (("p50", 0.5), ("p95", 0.95))],
                  unit=SECONDS, none="no query ended",
                  shows="From a user's prompt to the final answer, tools and sub-agents in between. Only the "
                        "sidecar filter applies.",
                  act="longer with steady calls per query: tools or the API are slow. With more calls: loops.")),
        (8, graph("Sessions and open tool calls",
                  [("active sessions", f"sum ({pick('claude_active_sessions', by=OWN)})"),
                   ("open tool calls", f"sum ({pick('weighbridge_tool_calls_open', by=OWN)})")],
                  unit=COUNT, decimals=0, none="no sidecar tells this",
                  shows="Sessions with a call or hook in the last five minutes, and tool calls that run.",
                  act="open tool calls that only climb: tools hang, or wait for somebody's permission.")),
    )


def board():
    made = Board(
        "weighbridge-agents", "Is every tool call accounted for, what fails, what was denied, does an agent loop.",
        since="now-6h", refresh="30s", variables=filters("instance", "team", "tool"), annotations=[restarts()])
    accounted(made)
    which_tools(made)
    rules(made)
    arriving(made)
    looping(made)
    return made
