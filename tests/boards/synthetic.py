#!/usr/bin/env python3
"""A made-up fleet as Prometheus would have scraped it, for tests and pictures of the boards.

It follows docs/metrics.md and nothing else: no sidecar runs. Two sidecars, four teams, four models,
days that look like work days, one bad hour. The same end time gives the same figures.

    synthetic.py --out FILE [--days 26] [--end SECONDS]

FILE is OpenMetrics text for `promtool tsdb create-blocks-from openmetrics`.
"""

import argparse
import math
import sys
import time
from datetime import datetime, timedelta, timezone

from synthetic_agents import Agents
from synthetic_audit import Audit
from synthetic_privacy import Privacy
from synthetic_series import CALL_BOUNDS, DAY, HOUR, Chance, Series

# The last hours in steps like a scrape's, for the boards that look at hours. Before that, steps of
# just under the five minutes that Prometheus looks back, and only what the boards of money ask for.
FINE_STEP, FINE_HOURS, COARSE_STEP = 30, 7, 290
# The board about contents looks at a day.
KEPT_DAYS = 2

# USD per million tokens: input, output, cache read, cache write 5m, cache write 1h. None: unpriced.
RATES = {
    "claude-opus-5-5": (5.0, 25.0, 0.5, 6.25, 10.0),
    "claude-sonnet-5-5": (3.0, 15.0, 0.3, 3.75, 6.0),
    "claude-haiku-4-5": (1.0, 5.0, 0.1, 1.25, 2.0),
    "claude-new-9": None,
}
TYPES = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
# team: (calls a minute at noon, share of each model, growth over the whole time)
TEAMS = {
    "search": (2.6, (0.45, 0.35, 0.20, 0.0), 1.5),
    "support": (3.4, (0.05, 0.45, 0.50, 0.0), 1.1),
    "research": (1.5, (0.80, 0.18, 0.0, 0.02), 1.25),
    "unattributed": (0.15, (0.0, 0.3, 0.7, 0.0), 1.0),
}
INSTANCES = {"sidecar-a:9484": ("search", "research"), "sidecar-b:9484": ("support", "unattributed")}
# budget/which: (scope, name, period, usd, the sidecar whose ledger it reads)
BUDGETS = {
    "everything/a": ("total", "", "month", 3500.0, "sidecar-a:9484"),
    "everything/b": ("total", "", "month", 1700.0, "sidecar-b:9484"),
    "teams/search": ("team", "search", "month", 2200.0, "sidecar-a:9484"),
    "teams/research": ("team", "research", "month", 1300.0, "sidecar-a:9484"),
    "teams/support": ("team", "support", "month", 1800.0, "sidecar-b:9484"),
    "opus": ("model", "claude-opus-5-5", "week", 900.0, "sidecar-a:9484"),
}
WINDOWS = {"5m": 300, "30m": 1800, "1h": HOUR, "2h": 2 * HOUR, "6h": 6 * HOUR, "1d": DAY, "3d": 3 * DAY}
SPEED_BOUNDS = (5, 10, 20, 30, 40, 50, 60, 80, 100, 150, 200, 300)
APPEND_BOUNDS = (1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 0.1, 1)
ERRORS = (
    ("429", "rate_limit_error", 0.006), ("529", "overloaded_error", 0.003),
    ("400", "invalid_request_error", 0.002), ("400", "context_length_exceeded", 0.0015),
    ("500", "api_error", 0.001), ("504", "timeout_error", 0.0004),
    ("400", "credit_balance_too_low", 0.0002), ("401", "authentication_error", 0.0003),
)
STOPS = (("end_turn", 0.42), ("tool_use", 0.55), ("max_tokens", 0.02), ("refusal", 0.006),
         ("pause_turn", 0.004))
KIND_LIMITS = {"requests": 4000, "tokens": 2_400_000, "input_tokens": 2_000_000,
               "output_tokens": 400_000}


def activity(now):
    """How busy the hour is: a work day has two humps, a weekend little."""
    moment = datetime.fromtimestamp(now, timezone.utc)
    hour = moment.hour + moment.minute / 60
    humps = math.exp(-((hour - 10.3) / 2.1) ** 2) + 0.9 * math.exp(-((hour - 15.2) / 2.4) ** 2)
    return (0.12 if moment.weekday() >= 5 else 1.0) * humps + 0.06


def period_bounds(period, now):
    moment = datetime.fromtimestamp(now, timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "week":
        start = moment - timedelta(days=moment.weekday())
        return start.timestamp(), (start + timedelta(days=7)).timestamp()
    start = moment.replace(day=1)
    return start.timestamp(), (start + timedelta(days=32)).replace(day=1).timestamp()


class Fleet:
    def __init__(self, start, end):
        self.out, self.start, self.end = Series(), start, end
        self.spent = {name: [] for name in BUDGETS}   # (time, USD so far)
        self.total = {name: 0.0 for name in BUDGETS}
        self.entries = {name: 0.0 for name in INSTANCES}
        self.fine_from = end - FINE_HOURS * HOUR
        self.wobble = Chance(7).wobble
        self.agents, self.privacy = Agents(self.out, end), Privacy(self.out, end)
        self.audit = Audit(self.out, end)
        self.crossed, self.booted = set(), {name: start for name in INSTANCES}
        self.restarts = {"sidecar-b:9484": [end - 3 * HOUR]}

    def step(self, now, seconds):
        self.out.now = int(now)
        for instance, teams in INSTANCES.items():
            if any(now - seconds < moment <= now for moment in self.restarts.get(instance, ())):
                self.out.forget(instance)
                self.booted[instance] = now
            calls = 0.0
            for team in teams:
                for model, share in zip(RATES, TEAMS[team][1]):
                    calls += self.calls(instance, team, model, share, now, seconds) if share else 0
            if now >= self.fine_from:
                self.sidecar(instance, teams, calls, now, seconds)
        for name in BUDGETS:
            self.budget(name, now)
        self.out.scrape()

    def calls(self, instance, team, model, share, now, seconds):
        peak, _, growth = TEAMS[team]
        grown = 1 + (growth - 1) * (now - self.start) / (self.end - self.start)
        noise = self.wobble((team, model), 0.3, seconds)
        count = peak * share * activity(now) * grown * noise * seconds / 60
        bad_hour = self.end - 0.7 * HOUR < now < self.end - 0.4 * HOUR
        out, labels = self.out, {"instance": instance, "model": model, "team": team}
        failed = 0.0
        for status, error, rate in ERRORS:
            rate *= 14 if bad_hour and status in ("429", "529") else 1
            failed += count * rate
            out.add("claude_requests_total", count * rate, status=status, error_type=error, **labels)
        fine = max(count - failed, 0.0)
        out.add("claude_requests_total", fine, status="200", error_type="", **labels)
        out.add("claude_requests_total", count * 0.004, status="none", error_type="", **labels)
        out.add("claude_retries_total", failed * 0.8, **labels)
        only = {"instance": instance, "model": model}
        for stop, part in STOPS:
            out.add("claude_stop_reasons_total", fine * part, stop_reason=stop, **only)
        self.money(labels, fine, team, seconds)
        if now >= self.end - KEPT_DAYS * DAY:
            self.privacy.step(labels, fine, now, seconds)
        if now >= self.fine_from:
            self.times(only, count, fine, bad_hour, seconds)
            self.agents.step(labels, fine, now, seconds)
        return count

    def times(self, only, count, fine, bad_hour, seconds):
        usual = {"claude-opus-5-5": 2.0, "claude-haiku-4-5": 0.5}.get(only["model"], 1.0)
        out = self.out
        slow = usual * (1 + 0.8 * bad_hour) * self.wobble((only["model"], "slow"), 0.12, seconds)
        out.observe("claude_request_duration_seconds", CALL_BOUNDS, 7 * slow, count, **only)
        out.observe("claude_time_to_first_token_seconds", CALL_BOUNDS, 0.8 * slow, fine, **only)
        out.observe("claude_output_tokens_per_second", SPEED_BOUNDS, 75 / slow, fine, spread=0.35, **only)

    def money(self, labels, fine, team, seconds):
        out, model = self.out, labels["model"]
        hit = (6.5 if team != "support" else 3.0) * self.wobble((team, model, "hit"), 0.25, seconds, DAY)
        output = 620 * self.wobble((team, model, "output"), 0.2, seconds, 3 * HOUR)
        per_call = (900, output, 5200 * hit, 5200, 700)
        for kind, tokens in zip(TYPES, per_call):
            out.add("claude_tokens_total", fine * tokens, type=kind, **labels)
        rates = RATES[model]
        if rates is None:
            return out.add("claude_unpriced_requests_total", fine, **labels)
        cost = [fine * tokens * rate / 1e6 for tokens, rate in zip(per_call, rates)]
        plain = fine * sum(per_call[2:]) * rates[0] / 1e6
        out.add("claude_cost_usd_total", sum(cost), **labels)
        out.add("claude_cache_savings_usd_total", (plain - sum(cost[2:])) * 1.06, **labels)
        out.add("claude_cache_losses_usd_total", (plain - sum(cost[2:])) * 0.06, **labels)
        out.add("claude_estimated_cost_usd_total", sum(cost) * 0.004, **labels)
        out.add("claude_estimated_requests_total", fine * 0.006, **labels)
        if team == "research":
            out.add("claude_notional_cost_usd_total", sum(cost) * 0.2, **labels)
        out.add("claude_usage_anomalies_total", fine * 0.0002, **labels)
        for name, (scope, which, *_, home) in BUDGETS.items():
            matches = which in ("", labels[scope] if scope in labels else None)
            if matches and home == labels["instance"]:
                self.total[name] += sum(cost)

    def budget(self, name, now):
        scope, which, period, limit, home = BUDGETS[name]
        begin, end = period_bounds(period, now)
        log = self.spent[name]
        log.append((now, self.total[name]))
        used = self.total[name] - spent_at(log, begin)
        budget = name.split("/")[0]
        labels = {"instance": home, "budget": budget, "scope": scope, "name": which, "period": period}
        out = self.out
        out.set("claude_budget_usd", limit, **labels)
        out.set("claude_budget_used_usd", used, **labels)
        out.set("claude_budget_used_ratio", used / limit, **labels)
        out.set("claude_budget_period_end_timestamp_seconds", end, **labels)
        since = max(begin, self.start)
        rate = used / max(now - since, HOUR)
        out.set("claude_budget_forecast_usd", used + rate * (end - now), **labels)
        day = (self.total[name] - spent_at(log, now - DAY)) / DAY
        if day > 0:
            out.set("claude_budget_remaining_seconds", max(limit - used, 0) / day, **labels)
        even = limit / (end - begin)
        for window, seconds in WINDOWS.items():
            burnt = (self.total[name] - spent_at(log, now - seconds)) / seconds
            out.set("claude_budget_burn_ratio", burnt / even, **labels, window=window)
            out.set("claude_budget_burn_usd_per_hour", burnt * HOUR, **labels, window=window)
        marks = [(f"{mark}", used / limit * 100 >= mark) for mark in (50, 80, 95, 100)]
        for mark, over in (*marks, ("forecast", used + rate * (end - now) > limit)):
            if over and (name, mark, begin) not in self.crossed:
                self.crossed.add((name, mark, begin))
                out.add("claude_budget_crossings_total", instance=home, budget=budget, threshold=mark)

    def sidecar(self, instance, teams, calls, now, seconds):
        out, at = self.out, {"instance": instance}
        out.set("up", 1, job="weighbridge", **at)
        for outcome, part in (("completed", 0.972), ("upstream_error", 0.016), ("client_left", 0.009),
                              ("timed_out", 0.001), ("interrupted", 0.0005), ("refused", 0.0015)):
            out.add("weighbridge_exchanges_total", calls * part, endpoint="messages", outcome=outcome, **at)
        out.add("weighbridge_exchanges_total", calls * 0.1, endpoint="count_tokens", outcome="completed", **at)
        out.add("weighbridge_refusals_total", calls * 0.0015, reason="unknown_key", **at)
        out.add("weighbridge_refusals_total", calls * 0.0004, reason="body_too_large", **at)
        rate = calls / seconds
        open_now = rate * 25 * self.wobble((instance, "open"), 0.2, seconds)
        sessions = rate * 90 * self.wobble((instance, "sessions"), 0.1, seconds)
        out.set("weighbridge_open_exchanges", round(open_now), **at)
        out.set("claude_active_sessions", round(sessions), **at)
        self.agents.open(instance, rate, seconds)
        for team in teams:
            out.add("claude_batch_results_total", calls * 0.02, team=team, result="priced", **at)
            out.add("claude_batch_results_total", calls * 0.0002, team=team, result="errored", **at)
            for kind, limit in KIND_LIMITS.items():
                load = rate * (2.4 if kind == "requests" else 4)
                used = min(0.97, load * self.wobble((team, kind), 0.15, seconds))
                out.set("claude_ratelimit_limit", limit, team=team, kind=kind, **at)
                out.set("claude_ratelimit_remaining", limit * (1 - used), team=team, kind=kind, **at)
        self.ledger(instance, calls, now, seconds)
        self.audit.step(instance, round(self.entries[instance]), now, seconds)
        self.exports(instance, calls)
        self.process(instance, rate, now, seconds)

    def ledger(self, instance, calls, now, seconds):
        out, at = self.out, {"instance": instance}
        self.entries[instance] += calls * 2.2
        entries = round(self.entries[instance])
        behind = round(2 * self.wobble((instance, "behind"), 0.6, seconds))
        median = 1.6e-5 * self.wobble((instance, "append"), 0.3, seconds)
        out.observe("weighbridge_append_seconds", APPEND_BOUNDS, median, calls * 2.2, spread=0.7, **at)
        out.set("weighbridge_ledger_entries", entries, **at)
        out.set("weighbridge_ledger_synced_entries", entries - behind, **at)
        out.set("weighbridge_ledger_unsynced_seconds", behind * 0.12, **at)
        out.set("weighbridge_ledger_sync_seconds", 0.02 * self.wobble((instance, "sync"), 0.4, seconds), **at)
        out.set("weighbridge_ledger_reserve_bytes", 10 * 2**20, **at)
        for state in ("normal", "reserve", "full", "poisoned"):
            out.set("weighbridge_ledger_state", state == "normal", state=state, **at)
        out.set("weighbridge_ledger_mode", 1, mode="closed", durability="process", **at)
        out.set("weighbridge_data_free_bytes", (48 if instance < "sidecar-b" else 31) * 2**30 - entries * 900, **at)
        out.set("weighbridge_index_entries", entries - behind * 2, **at)
        slow = self.end - 1.5 * HOUR < now < self.end - 1.25 * HOUR
        for follower, lag in (("index", behind * 2), ("otlp", behind * 5 + 900 * slow)):
            out.set("weighbridge_follower_lag_entries", lag, follower=follower, **at)
            out.set("weighbridge_follower_lag_seconds", lag * 0.05, follower=follower, **at)
        for name in ("lost_closings", "unrecorded", "label_overflow"):
            out.add(f"weighbridge_{name}_total", 0, **at)
        for level in ("warn", "info"):
            out.add("weighbridge_log_suppressed_total", calls * 0.001, level=level, **at)
        out.set("weighbridge_pricing_info", 1, version="2026-11-22.2", **at)
        checked = datetime(2026, 11, 22, tzinfo=timezone.utc).timestamp()
        out.set("weighbridge_pricing_checked_timestamp_seconds", min(checked, now), **at)
        out.set("weighbridge_build_info", 1, version="0.1.0", **at)

    def exports(self, instance, calls):
        out, at = self.out, {"instance": instance}
        for signal, part in (("traces", 1.0), ("metrics", 0.3), ("logs", 0.2)):
            out.add("weighbridge_otlp_items_total", calls * part, signal=signal, result="accepted", **at)
            out.add("weighbridge_otlp_items_total", calls * part * 1e-3, signal=signal, result="rejected", **at)
            out.add("weighbridge_otlp_requests_total", calls * part / 8, signal=signal, result="ok", **at)
            out.add("weighbridge_otlp_requests_total", calls * part / 900, signal=signal, result="failed", **at)
        for channel in ("finance-slack", "on-call"):
            for result, part in (("delivered", 0.004), ("failed", 0.0004), ("dropped", 0.0)):
                out.add("weighbridge_notifications_total", calls * part, channel=channel, result=result, **at)
            out.set("weighbridge_notifications_pending", 0, channel=channel, **at)

    def process(self, instance, rate, now, seconds):
        out, at = self.out, {"instance": instance}
        out.add("process_cpu_seconds_total", seconds * (0.004 + rate * 0.05), **at)
        memory = (38 + rate * 60) * 2**20 * self.wobble((instance, "memory"), 0.02, seconds)
        out.set("process_resident_memory_bytes", round(memory), **at)
        out.set("process_virtual_memory_bytes", 900 * 2**20, **at)
        out.set("process_open_fds", round(24 + rate * 90), **at)
        out.set("process_max_fds", 65536, **at)
        out.set("process_start_time_seconds", self.booted[instance], **at)


def spent_at(log, moment):
    """What had been spent at a moment: the last value not after it."""
    low, high = 0, len(log)
    while low < high:
        middle = (low + high) // 2
        if log[middle][0] <= moment:
            low = middle + 1
        else:
            high = middle
    return log[max(low - 1, 0)][1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--days", type=float, default=26)
    parser.add_argument("--end", type=int, default=int(time.time()))
    asked = parser.parse_args()
    fleet = Fleet(asked.end - asked.days * DAY, asked.end)
    now = fleet.start
    while now < asked.end:
        seconds = FINE_STEP if now >= fleet.fine_from else COARSE_STEP
        fleet.step(now, seconds)
        now += seconds
    with open(asked.out, "w", encoding="utf-8") as file:
        fleet.out.write(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
