"""Live operations: is it working now, how fast, and what is in the way."""

from grafana import (COUNT, GREEN, PER_MINUTE, RED, SECONDS, SHARE, USD, YELLOW, Board, bars,
                     equals, lines, per_minute, pick, quantile, rate, ratio, series, stat, steps)
from shared import filters, restarts

BY = ("instance", "model")
NO_CALL = "no call at the moment"
LATENCY = steps(GREEN, (30, YELLOW), (120, RED))
FIRST = steps(GREEN, (5, YELLOW), (15, RED))


def calls(*matchers):
    """Calls have a team too, but latency has not: the board filters by what all of it has."""
    return pick("claude_requests_total", *matchers, by=BY)


def now(board):
    all_calls, failed = calls(), calls('error_type!=""')
    limited = calls('status=~"429|529"')
    own = ("instance",)
    board.row("Now")
    board.place(
        4,
        (3, stat("Calls", per_minute(all_calls), unit=PER_MINUTE, decimals=1, none=NO_CALL,
                 shows="Metered calls that closed, per minute.",
                 act="zero while people work: see whether the sidecar is up on the Sidecar health board, "
                     "and whether clients still point at it.")),
        (3, stat("Errors", ratio(rate(failed), rate(all_calls)), unit=SHARE, decimals=1,
                 none="no error", thresholds=steps(GREEN, (0.02, YELLOW), (0.1, RED)),
                 shows="Share of calls that ended with an error.",
                 act="*Errors by type* below; if all are 5xx, look at the provider's status page.")),
        (3, stat("429 and 529", ratio(rate(limited), rate(all_calls)), unit=SHARE, decimals=1,
                 none="none", thresholds=steps(GREEN, (0.02, YELLOW), (0.1, RED)),
                 shows="Share of calls that were rate limited (429) or met an overloaded API (529).",
                 act="429 is your limit: see *Rate-limit headroom*. 529 is theirs: wait, or use another "
                     "model.")),
        (3, stat("Duration, p95", quantile(0.95, "claude_request_duration_seconds"), unit=SECONDS,
                 decimals=1, none=NO_CALL, thresholds=LATENCY,
                 shows="95 of 100 calls were closed within this time, from head read to closing.",
                 act="compare with the first token: slow start is the API, slow rest is long output.")),
        (3, stat("First token, p95", quantile(0.95, "claude_time_to_first_token_seconds"), unit=SECONDS,
                 decimals=2, none="no answer with content", thresholds=FIRST,
                 shows="95 of 100 answers began within this time.",
                 act="a rise at all models is the API or the network; at one, its load or longer "
                     "uncached prompts.")),
        (3, stat("Output speed", quantile(0.5, "claude_output_tokens_per_second"),
                 unit="suffix:tok/s", decimals=0, none="no streamed answer",
                 shows="Median of output tokens per second after the first, for streamed answers.",
                 act="a fall with steady first-token times is load at the provider.")),
        (3, stat("Open exchanges", f"sum ({pick('weighbridge_open_exchanges', by=own)})", unit=COUNT,
                 decimals=0, none="no sidecar tells this",
                 shows="Exchanges running now, metered or not.",
                 act="it climbs while the rate of calls does not: answers hang. See *Duration*.")),
        (3, stat("Active sessions", f"sum ({pick('claude_active_sessions', by=own)})", unit=COUNT,
                 decimals=0, none="no sidecar tells this",
                 shows="Sessions with a call in the last five minutes.",
                 act="many sessions and few calls: agents wait, often for a limit.")),
    )


def traffic(board):
    others = per_minute(calls('error_type!=""', 'status!~"429|529"'), "error_type")
    board.row("Traffic and errors")
    board.place(
        8,
        (8, lines("Calls by status", [("{{status}}", per_minute(calls(), "status"))], unit=PER_MINUTE,
                  none=NO_CALL, stack=True,
                  overrides=[series("200", color="green"), series("429", color="orange"),
                             series("529", color="red"), series("none", color="gray")],
                  shows="Calls per minute by the status the client got. `none`: it left before a status.",
                  act="colour other than green that stays: the two graphs beside.")),
        (8, lines("429 and 529",
                  [(f"{status}, {{{{model}}}}", f"{per_minute(calls(equals('status', status)), 'model')} > 0")
                   for status in (429, 529)],
                  unit=PER_MINUTE, none="neither 429 nor 529 in this range",
                  shows="Calls per minute that were limited (429) or met an overloaded API (529), by model.",
                  act="429: *Rate-limit headroom* names the team. 529: wait, clients retry; move urgent "
                      "work to another model.")),
        (8, lines("Other errors by type", [("{{error_type}}", f"{others} > 0")], unit=PER_MINUTE,
                  none="no other error in this range", stack=True,
                  shows="Failed calls per minute without 429 and 529.",
                  act="`authentication_error`: keys. `invalid_request_error`: a client's bug. "
                      "`api_error`, `timeout_error`: provider or network; see *Refusals*.")),
    )
    refusals = pick("weighbridge_refusals_total", by=("instance",))
    exchanges = pick("weighbridge_exchanges_total", 'outcome!="completed"', by=("instance",))
    board.place(
        8,
        (8, lines("Exchanges that did not complete", [("{{outcome}}", f"{per_minute(exchanges, 'outcome')} > 0")],
                  unit=PER_MINUTE, none="all exchanges completed", stack=True,
                  shows="Every exchange, metered or not, by outcome. `client_left`: the client aborted, "
                        "and what was produced until then is billed.",
                  act="many `client_left`: clients time out or people stop agents. `timed_out`: upstream "
                      "is silent. `interrupted`: the sidecar was killed.")),
        (8, lines("Refusals by reason",
                  [("{{reason}}", f"{per_minute(refusals, 'reason')} > 0")],
                  unit=PER_MINUTE, none="nothing was refused", stack=True,
                  shows="Requests that the sidecar answered itself. The reasons are in docs/clients.md.",
                  act="`unknown_key`, `revoked_key`: a client uses an old key. `ledger_unavailable`: "
                      "open the Sidecar health board now. `upstream_…`: network or proxy.")),
        (8, lines("Open exchanges and active sessions",
                  [("open exchanges", f"sum ({pick('weighbridge_open_exchanges', by=('instance',))})"),
                   ("active sessions", f"sum ({pick('claude_active_sessions', by=('instance',))})")],
                  unit=COUNT, none="no sidecar tells this", decimals=0,
                  shows="What runs now, and how many sessions called in the last five minutes.",
                  act="open exchanges that only climb: answers hang, or clients do not read.")),
    )


def speed(board):
    shares = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    board.row("Speed")
    board.place(
        8,
        (8, lines("Duration of calls",
                  [(name, quantile(share, "claude_request_duration_seconds")) for name, share in shares],
                  unit=SECONDS, none=NO_CALL, decimals=1,
                  shows="From head read to closing. Figures are as fine as the buckets (docs/metrics.md).",
                  act="p99 alone rises: single long answers. All rise: the API, or the network.")),
        (8, lines("Time to first token",
                  [(name, quantile(share, "claude_time_to_first_token_seconds")) for name, share in shares],
                  unit=SECONDS, none="no answer with content", decimals=2,
                  shows="From head read to the first content of the answer.",
                  act="the alert WeighbridgeSlowFirstToken compares with the day before.")),
        (8, lines("Output tokens per second, median by model",
                  [("{{model}}", quantile(0.5, "claude_output_tokens_per_second", "model"))],
                  unit="suffix:tok/s", none="no streamed answer", decimals=0,
                  shows="Median speed of streamed answers after the first token.",
                  act="one model slow: use another for interactive work.")),
    )


def headroom(by):
    """The tightest limit of each: what is left is divided by its own limit first."""
    def lowest(family):
        return f"min by (team, kind) ({pick(family, by=('instance',))})"
    left = f"{lowest('claude_ratelimit_remaining')} / ({lowest('claude_ratelimit_limit')} > 0)"
    return f"min by ({by}) ({left})"


def limits(board):
    none = "the API has sent no rate-limit headers"
    act = "under 10 %: 429s are near. Spread the work, or ask for a higher limit."
    tokens = pick("claude_tokens_total", by=BY)
    board.row("Limits and load")
    board.place(
        8,
        (6, lines("Rate-limit headroom, by team", [("{{team}}", headroom("team"))], unit=SHARE, least=0,
                  most=1, none=none, act=act,
                  shows="What the last answer left of the team's tightest limit. The API says it in "
                        "headers, so it is as old as the team's last call.")),
        (6, bars("Rate-limit headroom, by limit", [("{{kind}}", headroom("kind"))], unit=SHARE, decimals=0,
                 least=0, most=1, none=none, act=act, thresholds=steps(RED, (0.1, YELLOW), (0.25, GREEN)),
                 shows="The lowest headroom of any team, for each kind of limit.")),
        (6, lines("Tokens per minute, by kind", [("{{type}}", per_minute(tokens, "type"))], unit=COUNT,
                  none=NO_CALL, stack=True, shows="Tokens as the API reported them.",
                  act="uncached input jumps while calls do not: caching broke.")),
        (6, lines("Spend per hour, by team",
                  [("{{team}}", rate(pick("claude_cost_usd_total", by=BY), "team", 3600))],
                  unit=USD, none="no priced call at the moment", stack=True,
                  shows="Rate of spend at the moment, in USD per hour.",
                  act="a team that stands out: its budget is on the Team board.")),
    )


def board():
    made = Board(
        "weighbridge-live", "Is it working now, how fast, and what is in the way.", since="now-1h",
        refresh="10s", variables=filters("instance", "model"),
        annotations=[restarts()])
    now(made)
    traffic(made)
    speed(made)
    limits(made)
    return made
