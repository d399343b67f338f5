"""What more than one board shows."""

from grafana import (CENTS, DAYS, GREEN, ORANGE, PLAIN, RED, SHARE, USD, YELLOW, annotation, column, steps, table,
                     variable)

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
}


def filters(*labels):
    return [variable(label, *CHOICES[label]) for label in labels]


def restarts():
    """The process families are not ours alone: only processes that are a sidecar count."""
    return annotation("Restarts", "changes(process_start_time_seconds[5m]) > 0 "
                      "and on (instance) weighbridge_build_info",
                      "blue", "{{instance}} restarted", "A sidecar began again")


def budget_table(pick_budget, title, shows):
    """All budgets in one table. `pick_budget` makes a selector of a family."""
    by = ", ".join(BUDGET_KEYS)

    def one(family):
        return f"max by ({by}) ({pick_budget(family)})"

    columns = [
        ("Limit", one("claude_budget_usd")),
        ("Used", one("claude_budget_used_usd")),
        ("Used in %", one("claude_budget_used_ratio")),
        ("Forecast", one("claude_budget_forecast_usd")),
        ("Forecast in %", f"{one('claude_budget_forecast_usd')} / {one('claude_budget_usd')}"),
        ("Lasts for", f"{one('claude_budget_remaining_seconds')} / 86400"),
        ("Period ends in", f"({one('claude_budget_period_end_timestamp_seconds')} - time()) / 86400"),
    ]
    looks = [
        column("Budget", width=140), column("Scope", width=75), column("Of", width=160),
        column("Period", width=80), column("Sidecar", width=145),
        column("Limit", CENTS, 100, 2), column("Used", CENTS, 100, 2),
        column("Used in %", SHARE, 230, 1, min=0, max=1, thresholds=USED_STEPS,
               color={"mode": "thresholds"},
               cell={"type": "gauge", "mode": "basic", "valueDisplayMode": "color"}),
        column("Forecast", CENTS, 105, 2),
        column("Forecast in %", SHARE, 125, 0, cell={"type": "color-text"},
               thresholds=steps(PLAIN, (1, RED))),
        column("Lasts for", DAYS, 115, 1), column("Period ends in", DAYS, 140, 1),
    ]
    return table(
        title, BUDGET_KEYS, columns, unit=USD, sort=("Used in %", True), looks=looks,
        none="no budget is set: add one as [budget.NAME] to the configuration", shows=shows,
        act="yellow from 80 %, orange from 95 %, red from 100 %: the alert of the same name says what to "
            "do. *Lasts for* shorter than *Period ends in* means that it will not do.")
