"""Spend: what it costs, what it will cost, who spends it, and what the amounts leave out."""

from grafana import (CENTS, COUNT, DAYS, GREEN, ORANGE, PLAIN, RED, SHARE, USD, YELLOW, Board,
                     annotation, column, increase, less, lines, pick, ratio, series, stat, steps, table)
from shared import budget_bars, budget_table, filters

COST = pick("claude_cost_usd_total")
EXACT = ("The exact figure is in `weighbridge report`: `increase()` extrapolates to the edges of the range, "
         "and misses the first call of a new team or model.")
MONTH = 'scope="total", period="month"'
NO_BUDGET = "no monthly total budget is set"


def month(family):
    """Of all sidecars together. Where one has two such budgets, the smaller limit is what holds."""
    one = "min" if family == "claude_budget_usd" else "max"
    return f"sum ({one} by (instance) ({pick(family, MONTH, by=('instance',))}))"


def where_we_stand(board):
    used, limit, forecast = (month(f"claude_budget_{what}") for what in ("used_usd", "usd", "forecast_usd"))
    lasts = f"min ({pick('claude_budget_remaining_seconds', MONTH, by=('instance',))}) / 86400"
    ends = f"(min ({pick('claude_budget_period_end_timestamp_seconds', MONTH, by=('instance',))}) - time()) / 86400"
    before = f"sum (increase({COST}[7d] offset 7d))"
    board.row("Where we stand")
    board.place(
        4,
        (3, stat("Spend in range", increase(COST), unit=USD,
                 none="no priced call in this range",
                 shows=f"Cost of the priced calls in the chosen range. {EXACT}",
                 act="look at *Biggest changes* for the team and model, then open the Team board.")),
        (3, stat("Month to date", used, unit=USD, decimals=2, none=NO_BUDGET,
                 shows="What the monthly total budgets have used, read from the ledgers: exact, and right "
                       "after a restart. Budgets know no team or model filter.",
                 act="compare with the forecast beside it; a team's part is in *All budgets*.")),
        (3, stat("Month forecast", forecast, unit=USD, none=NO_BUDGET,
                 shows="What the sidecars expect the monthly total budgets to have used at the end of "
                       "the month.",
                 act="where it is above the limit, lower the rate of the biggest team or agree on a "
                     "larger budget now, not on the last day.")),
        (3, stat("Forecast of limit", f"{forecast} / {limit}", unit=SHARE, decimals=0, none=NO_BUDGET,
                 thresholds=steps(GREEN, (0.9, YELLOW), (1, RED)),
                 shows="The forecast as a share of the limits together. Red above 100 %.",
                 act="one budget may be over while the sum is not: read *All budgets*.")),
        (3, stat("Budget left", f"{limit} - {used}", unit=USD, decimals=2, none=NO_BUDGET,
                 thresholds=steps(RED, (0.01, PLAIN)),
                 shows="Limits of the monthly total budgets (of each sidecar the smallest) less what is used. "
                       "Red when nothing is left.",
                 act="*All budgets* shows whose; docs/dashboards.md says what to do under "
                     "WeighbridgeBudgetUsed.")),
        (3, stat("Budget lasts for", lasts, unit=DAYS, decimals=1, none="no spend, or no monthly total budget",
                 thresholds=steps(RED, (3, YELLOW), (7, PLAIN)),
                 shows="Days until the first of the monthly total budgets is used up, at the rate of the "
                       "last day.",
                 act="shorter than *Month ends in*: the budget will not do. Act on the forecast.")),
        (3, stat("Month ends in", ends, unit=DAYS, decimals=1, none=NO_BUDGET,
                 shows="Days until the monthly budgets begin again, UTC.",
                 act="it cannot look bad; it is here to compare with *Budget lasts for*.")),
        (3, stat("Week on week", f"{increase(COST, '7d')} / ({before} > 0) - 1",
                 unit=SHARE, decimals=1, none="needs two weeks of data",
                 thresholds=steps(GREEN, (0, PLAIN), (0.25, YELLOW), (1, RED)),
                 shows="Spend of the last 7 days against the 7 days before, up to the end of the range.",
                 act="*Biggest changes* names the teams and models that made the difference.")),
    )


def by_day(label):
    """A negative offset dates each bar by the day it covers, so that today's is the last one."""
    return f"sum by ({label}) (increase({COST}[1d] offset -1d)) > 0"


def over_time(board):
    about = ("Each bar is one UTC day; today's grows until midnight. " + EXACT)
    used, limit = month("claude_budget_used_usd"), month("claude_budget_usd")
    board.row("Over time")
    board.place(
        9,
        *((8, lines(f"Spend by day and {label}", [(f"{{{{{label}}}}}", by_day(label))], unit=USD,
                    none="no priced call in this range", bars=True, stack=True, interval="1d",
                    shows=about,
                    act=f"a day that stands out: choose it as the range and read *Spend by {label}*."))
          for label in ("team", "model")),
        (8, lines("Month against its budget",
                  [("used", used), ("limit", limit), ("forecast", month("claude_budget_forecast_usd"))],
                  unit=USD, none=NO_BUDGET,
                  overrides=[series("limit", color="red", dashed=True),
                             series("forecast", color="orange", dashed=True),
                             series("used", color="blue")],
                  shows="Monthly total budgets as the ledgers know them: used so far, the limit, and the "
                        "expected end. The forecast is rough in the first days of a month.",
                  act="a forecast above the limit that stays there for a day is real: see the alert "
                      "WeighbridgeBudgetForecast.")),
    )


def per(label):
    """Spend, share, calls, cost per call and what is missing, for each team or model."""
    spend = increase(COST, by=label)
    calls = increase(pick("claude_requests_total", 'status="200"'), by=label)
    return [
        ("Spend", spend),
        ("Share", f"{spend} / on () group_left () {increase(COST)} >= 0"),
        ("Answered", calls),
        ("Per call", ratio(spend, calls)),
        ("Unpriced", f"{increase(pick('claude_unpriced_requests_total'), by=label)} > 0"),
        ("Estimated", f"{increase(pick('claude_estimated_cost_usd_total'), by=label)} > 0"),
        ("Notional", f"{increase(pick('claude_notional_cost_usd_total'), by=label)} > 0"),
    ]


def who_spends(board):
    board.row("Who spends it")
    board.place(8, *((12, spend_table(label, heading))
                     for label, heading in (("team", "Team"), ("model", "Model"))))
    board.place(9, (24, movers()))


def spend_table(label, heading):
    looks = [
        column(heading, width=155, links=[team_link(label)]),
        column("Spend", CENTS, 95),
        column("Share", SHARE, 70, 0),
        column("Answered", COUNT, 90), column("Per call", USD, 85, 4),
        column("Unpriced", COUNT, 85, 0, cell={"type": "color-text"}, thresholds=steps(PLAIN, (1e-9, RED))),
        column("Estimated", CENTS, 90), column("Notional", CENTS, 85),
    ]
    return table(
        f"Spend by {label}", {label: heading}, per(label), unit=COUNT, sort=("Spend", True), looks=looks,
        none="no call in this range",
        shows=f"What each {label} spent in the range. *Per call* divides by answered calls. *Unpriced*, "
              f"*Estimated* and *Notional* are not in *Spend*; a column without any figure is left out. {EXACT}",
        act="a red *Unpriced* figure means that the spend beside it is too low: see the last row. "
            "`unattributed` is spend by a key that nobody mapped to a team.")


def team_link(label):
    return {"title": f"Open this {label} on the Team board", "targetBlank": False,
            "url": f"/d/weighbridge-team?var-{label}=${{__value.raw}}&${{datasource:queryparam}}"}


def movers():
    by = "team, model"
    last, before = increase(COST, "7d", by), f"sum by ({by}) (increase({COST}[7d] offset 7d))"
    change = f"{less(last, before)} or -({before})"
    looks = [
        column("Last 7 days", CENTS), column("7 days before", CENTS),
        column("Change", USD, cell={"type": "color-text"},
               thresholds=steps(GREEN, (0, PLAIN), (10, ORANGE), (100, RED))),
        column("Change in %", SHARE, decimals=0),
    ]
    columns = [("Last 7 days", last), ("7 days before", before), ("Change", change),
               ("Change in %", f"{last} / ({before} > 0) - 1")]
    return table(
        "Biggest changes, week on week", {"team": "Team", "model": "Model"}, columns, unit=USD,
        sort=("Change", True), looks=looks, none="no priced call in the last two weeks",
        shows="Spend of the last 7 days against the 7 days before, largest rise first. Without a week "
              "before, the whole amount is the change. A fall below zero is green.",
        act="ask the team at the top what began; `weighbridge report --by team,model,day` has the days.")


def budgets(board):
    def of_all(family):
        return pick(family, by=("instance",))
    board.row("Budgets")
    board.place(
        8,
        (6, budget_bars(of_all, none="no budget is set")),
        (18, budget_table(of_all, title="All budgets",
                          shows="Every budget of every sidecar, from its ledger: exact, and right after a "
                                "restart. A budget covers what passes its own sidecar.")),
    )


def left_out(board):
    board.row("What the amounts leave out")
    unpriced, plain = pick("claude_unpriced_requests_total"), steps(PLAIN)
    board.place(
        4,
        (6, stat("Unpriced requests: missing is not free", f"{increase(unpriced)} > 0", unit=COUNT,
                 decimals=0, none="none: every call had a price", thresholds=steps(RED),
                 shows="Calls with usage but no known rate, in the range. Their cost is unknown, not zero, "
                       "and in no amount of this board.",
                 act="add the model's rates (docs/pricing.md); `weighbridge report --by model` "
                     "shows which it is.")),
        (6, stat("Estimated, not in spend", increase(pick("claude_estimated_cost_usd_total")), unit=USD,
                 none="none: no stream was cut", thresholds=plain,
                 shows="Lower end of the estimates for output of streams that broke off. The API bills "
                       "something for them; nobody here knows how much.",
                 act="where it grows, look for client aborts and timeouts on the Live board.")),
        (6, stat("Notional, billed to nobody", increase(pick("claude_notional_cost_usd_total")), unit=USD,
                 none="none: no subscription login", thresholds=plain,
                 shows="What calls with a subscription login would have cost at the API's prices. A flat "
                       "fee pays for them.",
                 act="nothing is wrong; it says whether the subscription is worth its fee.")),
        (6, stat("Usage anomalies", f"{increase(pick('claude_usage_anomalies_total'))} > 0", unit=COUNT,
                 decimals=0, none="none: all usage made sense", thresholds=steps(PLAIN, (1, ORANGE)),
                 shows="Calls whose usage was no count or contradicted itself. Their amount is a lower "
                       "bound, or unknown.",
                 act="`weighbridge exchanges` lists them with the flag `usage_anomaly`.")),
    )


def cache(board):
    saved, lost = pick("claude_cache_savings_usd_total"), pick("claude_cache_losses_usd_total")
    net = less(increase(saved), increase(lost))
    board.row("What caching saves")
    board.place(
        8,
        (6, stat("Saved by caching, net", net, unit=USD, none="no call used the cache",
                 thresholds=steps(RED, (0, GREEN)),
                 shows="Uncached price less cached price over the range, with the losses taken off: "
                       "calls whose cache writes cost more than their reads saved.",
                 act="below zero the cache costs money: prompts change before they are read again.")),
        (18, lines("Cache savings and losses by day",
                   [("saved, {{team}}", f"sum by (team) (increase({saved}[1d] offset -1d))"),
                    ("lost, all teams", f"-sum (increase({lost}[1d] offset -1d)) < 0")],
                   overrides=[series("lost, all teams", color="red")],
                   unit=USD, none="no call used the cache", bars=True, stack=True,
                   interval="1d", right=True,
                   shows="Per UTC day and team: savings upwards, losses downwards.",
                   act="a team with losses writes caches that nobody reads: longer-lived prompts, or no "
                       "cache breakpoints.")),
    )


def board():
    made = Board(
        "weighbridge-spend", "What the Claude API costs: so far, at the end of the month, and by whom.",
        since="now/M", refresh="5m", variables=filters("instance", "team", "model"),
        annotations=[annotation(
            "Budget crossings",
            "(claude_budget_crossings_total - (claude_budget_crossings_total offset 5m) > 0) or "
            "(claude_budget_crossings_total unless claude_budget_crossings_total offset 5m)",
            "red", "{{budget}}: {{threshold}}", "A budget crossed a threshold")])
    where_we_stand(made)
    over_time(made)
    budgets(made)
    who_spends(made)
    left_out(made)
    cache(made)
    return made
