#!/usr/bin/env python3
"""Runs every expression of every board and rule on a Prometheus.

    check_queries.py URL [--at SECONDS] [--range SECONDS] [--step SECONDS] [--rare FILE | --strict]

Fails on an error, and on an empty result of a board's or a recording rule's expression. Alerts must be
evaluated; empty is what they should be. These may be empty too, unless --strict is given:
- what names a family in FILE (rare.txt beside this script), as long as Prometheus knows no series of it:
  families that exist only after something happened;
- what looks further back (`offset 7d`) than there is data;
- annotations, which mark what rarely happens.
Where a board hides zeros (`> 0`) they count here: a counter that stands still is no fault of the board.
Exit code 1 with the faults on standard error, 2 on bad usage.
"""

import argparse
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from repository import boards, expressions, families, rules

TIMEOUT_S = 30
SCRAPE_S = 15
# A family that every sidecar has from its start on.
ALWAYS = "claude_active_sessions"
UNITS = {"m": 60, "h": 3600, "d": 86400}
ANNOTATION_STEP_S = 60
POINTS_MAX = 10_000


class Prometheus:
    def __init__(self, url, asked):
        self.url, self.at = url.rstrip("/"), asked.at
        self.start, self.step, self.range = asked.at - asked.range, asked.step, asked.range

    def call(self, path, **parameters):
        body = urllib.parse.urlencode(parameters, doseq=True).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}", body, TIMEOUT_S) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error).get("error", str(error))) from error

    def count(self, expression, ranged, step=None):
        """How many series the expression gives."""
        if ranged:
            found = self.call("query_range", query=expression, start=self.start, end=self.at,
                              step=step or self.step)
        else:
            found = self.call("query", query=expression, time=self.at)
        if found["resultType"] == "scalar":
            return 1
        return sum(1 for series in found["result"] if has_number(series))

    def values(self, call):
        """A variable's choices: label_values(selector, label)."""
        selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", call).groups()
        query = urllib.parse.urlencode({"match[]": selector, "start": self.start, "end": self.at})
        with urllib.request.urlopen(f"{self.url}/api/v1/label/{label}/values?{query}", None, TIMEOUT_S) as answer:
            return len(json.load(answer)["data"])

    def knows(self, family):
        return self.count(f"last_over_time({family}[{self.range}s])", ranged=False) > 0

    def reaches_back(self, seconds):
        query = f"last_over_time({ALWAYS}[{self.range}s] offset {seconds}s)"
        return self.count(query, ranged=False) > 0


def has_number(series):
    """Only NaN is as empty as nothing: a panel would show no figure."""
    samples = series.get("values") or [series["value"]]
    return any(value != "NaN" for _, value in samples)


def substituted(expression, variables, asked):
    named = {"__range": f"{asked.range}s", "__interval": f"{asked.step}s",
             "__rate_interval": f"{max(asked.step + SCRAPE_S, 4 * SCRAPE_S)}s",
             **dict.fromkeys(variables, ".*")}
    return re.sub(r"\$([A-Za-z_]\w*)", lambda found: named[found[1]], expression)


def zeros_shown(expression):
    return re.sub(r" ([<>]) 0\b", r" \1= 0", expression)


def all_expressions(asked):
    """(where, kind, expression) of everything, ready to be run."""
    for name, board in boards().items():
        variables = [variable["name"] for variable in board["templating"]["list"]]
        for where, kind, text in expressions(board):
            yield f"{name}: {where}", kind, text if kind == "variable" else substituted(text, variables, asked)
    for kind, word in (("record", "record"), ("alert", "alert")):
        for name, text in rules(word):
            yield f"{word} {name}", kind, text


def run(prometheus, kind, text):
    if kind == "variable":
        return prometheus.values(text)
    if kind == "annotation":
        return prometheus.count(text, True, max(ANNOTATION_STEP_S, prometheus.range // POINTS_MAX))
    # Both forms that a board asks in; what a graph shows may have ended before now.
    return prometheus.count(text, ranged=False) or prometheus.count(text, ranged=kind != "alert")


def excuse(prometheus, kind, text, asked):
    """Why an expression may be empty, or `None`."""
    if kind == "alert":
        return "no alert"
    if asked.strict:
        return None
    if kind == "annotation":
        return "nothing to mark"
    absent = [name for name in sorted(families(text) & asked.rare) if not prometheus.knows(name)]
    if absent:
        return f"no {absent[0]} yet"
    back = max((int(count) * UNITS[unit] for count, unit in re.findall(r"offset (\d+)([mhd])", text)), default=0)
    return f"no data {back} s ago" if back and not prometheus.reaches_back(back) else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--at", type=int, default=int(time.time()))
    parser.add_argument("--range", type=int, default=3600)
    parser.add_argument("--step", type=int, default=15)
    parser.add_argument("--rare", default=Path(__file__).with_name("rare.txt"))
    parser.add_argument("--strict", action="store_true")
    asked = parser.parse_args()
    lines = Path(asked.rare).read_text(encoding="utf-8").splitlines()
    asked.rare = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    prometheus = Prometheus(asked.url, asked)
    counts, failed = {}, 0
    for where, kind, expression in all_expressions(asked):
        counts[kind] = counts.get(kind, 0) + 1
        try:
            shown = expression if asked.strict or kind != "panel" else zeros_shown(expression)
            if run(prometheus, kind, shown):
                continue
            why = excuse(prometheus, kind, expression, asked)
            if kind != "alert" and why:
                print(f"{where}: empty, and may be: {why}")
            wrong = None if why else "empty"
        except (ValueError, OSError) as error:
            wrong = str(error)
        if wrong:
            failed += 1
            print(f"{where}: {wrong}\n    {expression}", file=sys.stderr)
    print(", ".join(f"{count} {kind} expressions" for kind, count in counts.items()))
    print(f"{sum(counts.values()) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
