#!/usr/bin/env python3
"""Checks boards, rules and rule tests without running anything.

    check_static.py [--metrics PAGE]

PAGE is docs/metrics.md unless another is named. Exit code 1 with one line for each fault, 2 on bad usage.
"""

import argparse
import re
import sys
from itertools import combinations

from repository import (METRICS, ROOT, RULES, boards, documented, documented_labels, expressions, families,
                        rules, selectors, stem)

COLUMNS = 24
RUNBOOK = "docs/dashboards.md"
# Every series has these from the scrape, every bucket the last.
ALWAYS = {"instance", "job", "le"}
SEVERITIES = {"page", "ticket"}


def unknown_metrics(where, text, known):
    for name in sorted(families(text)):
        if stem(name, known) not in known:
            yield f"{where}: docs/metrics.md has no {name}"


def unknown_labels(where, text, labels):
    """`team=~".*"` also matches where there is no such label, until somebody chooses a team."""
    for name, used in selectors(text):
        known = labels.get(stem(name, labels))
        for label in sorted(used - ALWAYS - known) if known is not None else ():
            yield f"{where}: {name} has no label {label}"


def panel_faults(panel):
    if panel["type"] == "row":
        return
    if panel["type"] == "text":
        if not panel.get("title") or not panel["options"].get("content"):
            yield "has no title or says nothing"
        return
    defaults = panel["fieldConfig"]["defaults"]
    for what, value in (("unit", defaults.get("unit")), ("noValue", defaults.get("noValue")),
                        ("title", panel.get("title")), ("targets", panel.get("targets"))):
        if not value:
            yield f"has no {what}"
    description = panel.get("description", "")
    shows, _, act = description.partition("\n\n**When it looks bad:** ")
    if len(shows) < 20 or len(act) < 20:
        yield "does not say what it shows and what to do when it looks bad"
    if panel["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
        yield "does not use the data source that was chosen"
    for target in panel.get("targets", []):
        if re.search(r"\[\d+[smh]\]", target["expr"]) and "increase" not in target["expr"]:
            yield f"has a fixed window in {target['expr']}: use $__rate_interval"


def grid_faults(panels):
    for panel in panels:
        spot = panel["gridPos"]
        if spot["x"] < 0 or spot["w"] < 1 or spot["h"] < 1 or spot["x"] + spot["w"] > COLUMNS:
            yield f"{panel['title']}: does not fit the grid: {spot}"
    for one, other in combinations(panels, 2):
        a, b = one["gridPos"], other["gridPos"]
        across = a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"]
        down = a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]
        if across and down:
            yield f"{one['title']!r} and {other['title']!r} overlap"
    ids = [panel["id"] for panel in panels]
    if len(set(ids)) != len(ids):
        yield "two panels have the same id"


def links(board):
    for link in board["links"]:
        yield link["url"]
    for panel in board["panels"]:
        for link in panel.get("links", []):
            yield link["url"]
        for override in panel.get("fieldConfig", {}).get("overrides", []):
            for made in override["properties"]:
                if made["id"] == "links":
                    yield from (link["url"] for link in made["value"])


def board_faults(board, uids, known, labels):
    for where, _, text in expressions(board):
        yield from unknown_metrics(where, text, known)
        yield from unknown_labels(where, text, labels)
    names = {variable["name"] for variable in board["templating"]["list"]}
    for where, _, text in expressions(board):
        used = {name for name in re.findall(r"\$(\w+)", text) if not name.startswith("__") and not name.isdigit()}
        for name in sorted(used - names):
            yield f"{where}: there is no variable ${name}"
    for panel in board["panels"]:
        yield from (f"panel {panel['title']!r} {fault}" for fault in panel_faults(panel))
    yield from grid_faults(board["panels"])
    for url in links(board):
        match = re.match(r"/d/([\w-]+)", url)
        if not match or match[1] not in uids:
            yield f"the link {url} leads to no board"
    for key in ("title", "description", "tags", "refresh", "time", "schemaVersion"):
        if not board.get(key):
            yield f"has no {key}"


def alert_blocks():
    """(name, text) of each alert."""
    text = (RULES / "alerts.rules.yml").read_text(encoding="utf-8")
    parts = re.split(r"^ +- alert: ", text, flags=re.MULTILINE)[1:]
    return [(part.split("\n", 1)[0].strip(), part) for part in parts]


def alert_faults(uids):
    anchors = {re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
               for line in (ROOT / RUNBOOK).read_text(encoding="utf-8").splitlines() if line.startswith("#")}
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (RULES / "tests").glob("*.test.yml"))
    for name, text in alert_blocks():
        if not any(f"severity: {severity}\n" in text for severity in SEVERITIES):
            yield f"{name}: severity must be one of {sorted(SEVERITIES)}"
        for key in ("summary", "description"):
            if f"  {key}: " not in text:
                yield f"{name}: has no {key}"
        if "$value" not in text and "absent(" not in text and "== 0" not in text and "== 1" not in text:
            yield f"{name}: its description does not say the value"
        runbook = re.search(rf"runbook: {RUNBOOK}#(\S+)", text)
        if not runbook or runbook[1] not in anchors:
            yield f"{name}: its runbook is no section of {RUNBOOK}"
        board = re.search(r"board: /d/(\S+)", text)
        if not board or board[1] not in uids:
            yield f"{name}: its board does not exist"
    for name in sorted({name for name, _ in alert_blocks()}):
        fires = re.search(rf'alertname="{name}"', tests)
        silent = re.search(rf"must not fire: [^\n]*\b{name}\b", tests)
        if not fires or not silent:
            yield f"{name}: needs a case that fires and one that must not (`# must not fire: …`)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metrics", default=METRICS)
    page = parser.parse_args().metrics
    known, labels, all_boards = documented(page), documented_labels(page), boards()
    uids = [board["uid"] for board in all_boards.values()]
    faults = [] if len(set(uids)) == len(uids) else [f"two boards have the same uid: {uids}"]
    for name, board in all_boards.items():
        faults += [f"{name}: {fault}" for fault in board_faults(board, uids, known, labels)]
    for name, text in [*rules("record"), *rules("alert")]:
        faults += [*unknown_metrics(name, text, known), *unknown_labels(name, text, labels)]
    faults += list(alert_faults(uids))
    for fault in faults:
        print(fault, file=sys.stderr)
    panels = sum(len(board["panels"]) for board in all_boards.values())
    print(f"{len(all_boards)} boards with {panels} panels, {len(rules('record'))} recording rules, "
          f"{len(rules('alert'))} alerts: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
