"""Team: one team's budget, burn, cost drivers, errors and retries."""

from grafana import (COUNT, DAYS, GREEN, PER_MINUTE, PLAIN, RED, SHARE, TIMES, USD, YELLOW, Board, bars, equals,
                     increase, less, lines, per_minute, pick, rate, ratio, stat, steps)
from shared import BURN_STEPS, budget_bars, budget_table, filters

COST = pick("claude_cost_usd_total")
CALLS = pick("claude_requests_total")
ANSWERED = pick("claude_requests_total", 'status="200"')
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
KINDS = {"input": "input, uncached", "output": "output", "cache_read": "cache read",
         "cache_write_5m": "cache write, 5 min", "cache_write_1h": "cache write, 1 h"}
PROMPT = 'type=~"input|cache_read|cache_write_5m|cache_write_1h"'
NO_CALL, NO_BUDGET = "no call in this range", "this team has no budget of its own"


def budget(family, *matchers):
    """Budgets of the chosen teams: the team is in `name`, beside the scope."""
    return pick(family, 'scope="team"', 'name=~"$team"', *matchers, by=("instance",))


def hit_ratio(window="$__range", by=""):
    read = increase(pick("claude_tokens_total", 'type="cache_read"'), window, by)
    return ratio(read, increase(pick("claude_tokens_total", PROMPT), window, by))


def summary(board):
    failed = increase(pick("claude_requests_total", 'error_type!=""'))
    board.row("In this range")
    board.place(
        4,
        (4, stat("Spend in range", increase(COST), unit=USD, none=NO_CALL,
                 shows="Cost of the priced calls. The exact figure is in `weighbridge report --by team`: "
                       "`increase()` extrapolates.",
                 act="*Spend by model* and *Cost per call* below say whether there are more calls or "
                     "dearer ones.")),
        (4, stat("Calls", increase(CALLS), unit=COUNT, none=NO_CALL,
                 shows="Metered calls, each attempt by itself, failed ones included.",
                 act="a jump without more work is a loop: `weighbridge sessions` shows the longest.")),
        (4, stat("Cost per answered call", ratio(increase(COST), increase(ANSWERED)), unit=USD, decimals=4,
                 none=NO_CALL,
                 shows="Spend divided by calls that were answered with 200.",
                 act="a rise means longer prompts, fewer cache hits or a dearer model: the graphs below "
                     "tell which.")),
        (4, stat("Cache hit ratio", hit_ratio(), unit=SHARE, decimals=1, none="no prompt token in this range",
                 thresholds=steps(RED, (0.3, YELLOW), (0.6, GREEN)),
                 shows="Prompt tokens read from the cache, of all prompt tokens.",
                 act="below 60 %: something at the prompt's beginning changes between calls (a time, an "
                     "id, the order of tools), or pauses are longer than the cache lives.")),
        (4, stat("Errors", ratio(failed, increase(CALLS)), unit=SHARE, decimals=2,
                 none="no error in this range", thresholds=steps(GREEN, (0.02, YELLOW), (0.1, RED)),
                 shows="Share of calls that ended with an error, the API's or ours.",
                 act="*Errors by type* names them; for the whole fleet see the Live board.")),
        (4, stat("Retries", ratio(increase(pick("claude_retries_total")), increase(CALLS)), unit=SHARE,
                 decimals=2, none="no retry in this range", thresholds=steps(GREEN, (0.05, YELLOW), (0.2, RED)),
                 shows="Share of calls that were another attempt of the same logical call. Attempts that "
                       "were answered are billed.",
                 act="look for 429 and 529 in *Errors by type*; spread the load, or ask for a higher "
                     "limit.")),
    )


def budgets(board):
    burns = [(window, f"max ({budget('claude_budget_burn_ratio', equals('window', window))})")
             for window in WINDOWS]
    hourly = budget("claude_budget_burn_usd_per_hour", equals("window", "1h"))
    board.row("Budget")
    board.place(
        7,
        (8, budget_bars(budget, none=NO_BUDGET)),
        (8, bars("Burn rate by window", burns, unit=TIMES, decimals=2, none=NO_BUDGET,
                 thresholds=BURN_STEPS, least=0, most=15,
                 shows="Spend rate over each window, as a multiple of the rate that uses the budget up "
                       "exactly at the period's end. The fastest of the chosen teams.",
                 act="high in the short windows only: a burst, wait. High in a pair (1h and 5m, 6h and "
                     "30m): it goes on; find the session and stop it.")),
        (8, lines("Burn, USD per hour",
                  [("{{budget}} {{name}}", f"max by (budget, name) ({hourly})")],
                  unit=USD, none=NO_BUDGET,
                  shows="Spend per hour over the last hour, from the ledger.",
                  act="a level that stays up at night is nobody's work: look for a scheduled job or a "
                      "loop.")),
    )
    board.place(
        5,
        (18, budget_table(budget, title="Budgets of the chosen teams",
                          shows="Budgets whose scope is one of the chosen teams, from the ledger.")),
        (6, stat("First one lasts for", f"min ({budget('claude_budget_remaining_seconds')}) / 86400",
                 unit=DAYS, decimals=1, none="no spend, or no budget of its own",
                 thresholds=steps(RED, (3, YELLOW), (7, PLAIN)),
                 shows="Days until the first of the chosen teams' budgets is used up, at the rate of the "
                       "last day.",
                 act="shorter than *Ends in* beside it: the budget will not do.")),
    )


def cost(board):
    per_call = ratio(rate(COST, "model"), rate(ANSWERED, "model"))
    tokens = [(name, per_minute(pick("claude_tokens_total", equals("type", kind))))
              for kind, name in KINDS.items()]
    board.row("What drives the cost")
    board.place(
        8,
        (8, lines("Spend per hour, by model", [("{{model}}", rate(COST, "model", 3600))], unit=USD,
                  none=NO_CALL, stack=True,
                  shows="Rate of spend in USD per hour, stacked.",
                  act="see whether the whole grows or one model; a cheaper model may do for a part.")),
        (8, lines("Cost per answered call, by model", [("{{model}}", per_call)], unit=USD, none=NO_CALL,
                  shows="Spend divided by answered calls, per model.",
                  act="a step up with a release of yours: compare prompt lengths before and after.")),
        (8, lines("Tokens per minute, by kind", tokens, unit=COUNT, none=NO_CALL, stack=True,
                  shows="Tokens as the API reported them. *Input, uncached*, reads and writes add up to "
                        "the prompt. A cache read costs about a tenth of uncached input, a write more.",
                  act="much uncached input or many writes beside few reads: the cache does not work.")),
    )
    board.place(
        8,
        (8, bars("Tokens by kind", [(name, increase(pick("claude_tokens_total", equals("type", kind))))
                                    for kind, name in KINDS.items()],
                 unit=COUNT, decimals=1, none=NO_CALL, thresholds=steps("blue"), least=0,
                 shows="All tokens of the range by kind. Output is dear, reads are cheap.",
                 act="compare with *Cost per answered call*: which kind grew?")),
        (8, lines("Cache hit ratio, by model", [("{{model}}", hit_ratio("$__rate_interval", "model"))],
                  unit=SHARE, least=0, most=1, none="no prompt token in this range",
                  shows="Prompt tokens read from the cache, of all prompt tokens.",
                  act="a fall at one moment is a change of the prompt: find the release.")),
        (8, lines("Saved by caching, net, USD per hour",
                  [("{{team}}", "(" + less(rate(pick("claude_cache_savings_usd_total"), "team"),
                                           rate(pick("claude_cache_losses_usd_total"), "team")) + ") * 3600")],
                  unit=USD, none="no call used the cache",
                  shows="Uncached price less cached price, losses taken off.",
                  act="below zero, writes cost more than reads save: remove the cache breakpoints that "
                      "change with every call.")),
    )


def trouble(board):
    failed, stops = pick("claude_requests_total", 'error_type!=""'), "claude_stop_reasons_total"
    board.row("What goes wrong")
    board.place(
        9,
        (6, bars("Errors in range, by type",
                 [("{{error_type}}", f"sort_desc ({increase(failed, by='error_type')} > 0)")], unit=COUNT,
                 decimals=0, least=0, none="no error in this range", thresholds=steps("orange"),
                 shows="Failed calls of the range. `context_length_exceeded` and `credit_balance_too_low` "
                       "are told apart from the API's general word.",
                 act="`rate_limit_error`, `overloaded_error`: slow down. `context_length_exceeded`: "
                     "compact earlier. `authentication_error`: a key was revoked. "
                     "`credit_balance_too_low`: pay.")),
        (6, lines("Errors per minute, by type", [("{{error_type}}", f"{per_minute(failed, 'error_type')} > 0")],
                  unit=PER_MINUTE, stack=True, none="no error in this range",
                  shows="When the calls failed.",
                  act="a peak at all types is an incident; one type that stays is a client's habit.")),
        (6, lines("Retried calls", [("{{team}}", ratio(rate(pick("claude_retries_total"), "team"),
                                                      rate(CALLS, "team")))],
                  unit=SHARE, least=0, none="no retry in this range",
                  shows="Share of calls that were another attempt of the same logical call.",
                  act="a lasting share above 20 % is money for nothing: see the errors beside.")),
        (6, bars("Stop reasons, all teams",
                 [("{{stop_reason}}",
                   f"sort_desc ({increase(pick(stops, by=('instance', 'model')), by='stop_reason')})")],
                 unit=COUNT, decimals=0, least=0, none="no answer in this range", thresholds=steps("blue"),
                 shows="Why answers ended, by sidecar and model. The family has no team, so the team "
                       "filter does not apply here.",
                 act="many `max_tokens`: answers are cut off, and paid. Many `refusal`: look at what is "
                     "asked.")),
    )


def board():
    made = Board("weighbridge-team", "One team: its budget, how fast it burns, what drives the cost, errors.",
                 since="now-7d", refresh="1m", variables=filters("instance", "team", "model"))
    summary(made)
    budgets(made)
    cost(made)
    trouble(made)
    return made
