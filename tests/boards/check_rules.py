#!/usr/bin/env python3
"""Checks the rules and examples with Prometheus's and Alertmanager's own tools.

    check_rules.py

promtool reads and tests the rules and reads the example configuration; amtool reads the other and says
where alerts go; a real Alertmanager says which of them silence which. Exit code 1 with the faults.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from processes import alertmanager
from repository import RULES

SETTLE_S = 15
# Labels of an alert → the receivers that the example sends it to.
ROUTES = {
    "alertname=WeighbridgeDown severity=page": "on-call",
    "alertname=WeighbridgeUnpriced severity=ticket team=research": "tickets",
    "alertname=WeighbridgeBudgetUsed severity=ticket team=search": "team-search",
    "alertname=WeighbridgeBudgetUsed severity=page team=search": "on-call,team-search",
    "alertname=WeighbridgeBudgetForecast severity=ticket team=none": "finance",
}
BUDGET = {"instance": "a", "budget": "search", "scope": "team", "name": "search", "period": "month"}
# (labels, whether another of these silences it)
ALERTS = [
    ({"alertname": "WeighbridgeBudgetBurn", "tier": "14.4", **BUDGET}, False),
    ({"alertname": "WeighbridgeBudgetBurn", "tier": "6", **BUDGET}, True),
    ({"alertname": "WeighbridgeBudgetBurn", "tier": "3", **BUDGET}, True),
    ({"alertname": "WeighbridgeBudgetBurn", "tier": "1", **BUDGET}, True),
    ({"alertname": "WeighbridgeBudgetBurn", "tier": "6", **BUDGET, "budget": "other"}, False),
    ({"alertname": "WeighbridgeBudgetUsed", "threshold": "100", **BUDGET}, False),
    ({"alertname": "WeighbridgeBudgetUsed", "threshold": "95", **BUDGET}, True),
    ({"alertname": "WeighbridgeBudgetUsed", "threshold": "80", **BUDGET}, True),
    ({"alertname": "WeighbridgeBudgetUsed", "threshold": "95", **BUDGET, "budget": "other"}, False),
    ({"alertname": "WeighbridgeBudgetForecast", **BUDGET}, True),
    ({"alertname": "WeighbridgeDown", "instance": "a"}, False),
    ({"alertname": "WeighbridgeUnsynced", "instance": "a"}, True),
    ({"alertname": "WeighbridgeUnsynced", "instance": "b"}, False),
    ({"alertname": "WeighbridgeLedgerNotNormal", "instance": "c", "state": "full"}, False),
    ({"alertname": "WeighbridgeReserveLow", "instance": "c"}, True),
    ({"alertname": "WeighbridgeErrors", "model": "m"}, False),
    ({"alertname": "WeighbridgeSlowFirstToken", "model": "m"}, True),
    ({"alertname": "WeighbridgeSlowFirstToken", "model": "n"}, False),
]


def tool(*command):
    """Runs a tool beside the rules; a fault is what it said."""
    found = subprocess.run(command, cwd=RULES, capture_output=True, text=True, check=False)
    said = (found.stdout + found.stderr).strip()
    return [f"{' '.join(command[:3])}: {said}"] if found.returncode else []


def names(pattern):
    return [str(path.relative_to(RULES)) for path in sorted(RULES.glob(pattern))]


def routes():
    for labels, wanted in ROUTES.items():
        command = ["amtool", "config", "routes", "test", "--config.file=alertmanager.yml", *labels.split()]
        found = subprocess.run(command, cwd=RULES, capture_output=True, text=True, check=False).stdout.strip()
        if found != wanted:
            yield f"alertmanager.yml: {labels} goes to {found}, not to {wanted}"


def without_receivers(folder):
    """The example with receivers that send nothing: only its routes and inhibitions are tried."""
    text = (RULES / "alertmanager.yml").read_text(encoding="utf-8")
    text = re.sub(r"^    webhook_configs:\n      - url: .*\n", "", text, flags=re.MULTILINE)
    path = folder / "alertmanager.yml"
    path.write_text(text, encoding="utf-8")
    return path


def silenced(url):
    """What Alertmanager says of each alert: labels → whether another silences it."""
    body = json.dumps([{"labels": labels} for labels, _ in ALERTS]).encode()
    post = urllib.request.Request(f"{url}/api/v2/alerts", body, {"content-type": "application/json"})
    urllib.request.urlopen(post, timeout=10).close()
    until = time.monotonic() + SETTLE_S
    wanted = {key(labels): state for labels, state in ALERTS}
    found = {}
    while found != wanted and time.monotonic() < until:
        time.sleep(0.5)
        with urllib.request.urlopen(f"{url}/api/v2/alerts", timeout=10) as answer:
            found = {key(alert["labels"]): bool(alert["status"]["inhibitedBy"]) for alert in json.load(answer)}
    return found


def key(labels):
    return " ".join(f"{name}={value}" for name, value in sorted(labels.items()))


def inhibitions():
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with alertmanager(folder, without_receivers(folder)) as url:
            found = silenced(url)
    for labels, wanted in ALERTS:
        if found.get(key(labels)) != wanted:
            yield f"alertmanager.yml: {key(labels)} is {'not ' if wanted else ''}silenced"


def main():
    if len(sys.argv) > 1:
        print(__doc__, file=sys.stderr)
        return 2
    faults = [
        *tool("promtool", "check", "rules", *names("*.rules.yml")),
        *tool("promtool", "check", "config", "prometheus.yml"),
        *tool("promtool", "test", "rules", *names("tests/*.test.yml")),
        *tool("amtool", "check-config", "alertmanager.yml"),
        *routes(), *inhibitions(),
    ]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"rules, {len(names('tests/*.test.yml'))} files of rule tests, {len(ROUTES)} routes, "
          f"{len(ALERTS)} alerts for the inhibitions: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
