"""What more than one board shows."""

from grafana import (CENTS, DAYS, GREEN, ORANGE, PLAIN, RED, SHARE, USD, YELLOW, annotation, bars, column, steps,
                     table, variable)

# The colours of the alert thresholds: 80, 95 and 100 %.
USED_STEPS = steps(GREEN, (0.8, YELLOW), (0.95, ORANGE), (1.0, RED))
# And of the burn tiers: tickets at 1 and 3, pages at 6 and 14.4.
BURN_STEPS = steps(GREEN, (1, YELLOW), (3, ORANGE), (6, RED), (14.4, "dark-red"))
BUDGET_KEYS = {"budget": "Budget", "scope": "Scope", "name": "Of", "period": "Period",
               "instance": "Sidecar"}
# Which family a choice of a label is read from.
CHOICES = {
    "instance": ("Sidecar", "weighbridge_build_info"),
    "team": ("Team", "claude_requests_total"),
    "model": ("Model", "claude_requests_total"),
    "tool": ("Tool", "claude_tool_calls_total"),
}


def filters(*labels):
    return [variable(label, *CHOICES[label]) for label in labels]


def restarts():
    """The process families are not ours alone: only processes that are a sidecar count."""
    return annotation("Restarts", "changes(process_start_time_seconds[5m]) > 0 "
                      "and on (instance) weighbridge_build_info",
                      "blue", "{{instance}} restarted", "A sidecar began again")


def budget_bars(pick_budget, none):
    """Used share of each budget, the fullest first."""
    # One budget may hold for each team by itself, so the name belongs to it.
    used = f"sort_desc (max by (budget, name) ({pick_budget('claude_budget_used_ratio')}))"
    return bars(
        "Budget used", [("{{budget}} {{name}}", used)], unit=SHARE, decimals=1, none=none,
        thresholds=USED_STEPS, least=0, most=1,
        shows="What each budget has used, from the ledger, the fullest first; of several sidecars the "
              "highest.",
        act="yellow from 80 %, orange from 95 %, red from 100 %. docs/dashboards.md says what to do under "
            "WeighbridgeBudgetUsed.")


def budget_table(pick_budget, title, shows):
    """All budgets in one table. `pick_budget` makes a selector of a family."""
    by = ", ".join(BUDGET_KEYS)

    def one(family):
        return f"max by ({by}) ({pick_budget(family)})"

    columns = [
        ("Limit", one("claude_budget_usd")),
        ("Used", one("claude_budget_used_usd")),
        ("Used %", one("claude_budget_used_ratio")),
        ("Forecast", one("claude_budget_forecast_usd")),
        ("Forecast %", f"{one('claude_budget_forecast_usd')} / {one('claude_budget_usd')}"),
        ("Lasts for", f"{one('claude_budget_remaining_seconds')} / 86400"),
        ("Ends in", f"({one('claude_budget_period_end_timestamp_seconds')} - time()) / 86400"),
    ]
    looks = [
        column("Budget", width=125), column("Scope", width=65), column("Of", width=130),
        column("Period", width=70), column("Sidecar", width=125),
        column("Limit", CENTS, 90, 2), column("Used", CENTS, 90, 2),
        # Text, not a bar: Grafana draws bars in cells a little too long, and 94 % looks like all.
        column("Used %", SHARE, 88, 1, cell={"type": "color-text"}, thresholds=USED_STEPS),
        column("Forecast", CENTS, 90, 2),
        column("Forecast %", SHARE, 95, 0, cell={"type": "color-text"}, thresholds=steps(PLAIN, (1, RED))),
        column("Lasts for", DAYS, 90, 1), column("Ends in", DAYS, 85, 1),
    ]
    return table(
        title, BUDGET_KEYS, columns, unit=USD, sort=("Used %", True), looks=looks,
        none="no budget is set: add one as [budget.NAME] to the configuration", shows=shows,
        act="yellow from 80 %, orange from 95 %, red from 100 %: the alert of the same name says what to "
            "do. *Lasts for* shorter than *Ends in* means that it will not do.")
