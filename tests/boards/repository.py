"""Reads the boards, rules and documented metrics of this repository; used by the checks beside it."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOARDS = ROOT / "dashboards" / "grafana"
RULES = ROOT / "dashboards" / "prometheus"
METRICS = ROOT / "docs" / "metrics.md"
# What a histogram's name has at its end in PromQL.
SUFFIXES = ("_bucket", "_sum", "_count")
METRIC = re.compile(r"\b(?:claude|weighbridge|process)_[a-z0-9_]+\b|\bup\b(?=\{)")


def boards():
    """File name → board."""
    found = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(BOARDS.glob("*.json"))}
    if not found:
        raise SystemExit(f"no board in {BOARDS}")
    return found


def expressions(board):
    """(where, kind, expression) of panels, variables and annotations."""
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']!r} {target['refId']}", "panel", target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", "variable", variable["query"]["query"]
    for annotation in board["annotations"]["list"]:
        yield f"annotation {annotation['name']!r}", "annotation", annotation["expr"]


def rules(kind):
    """(name, expression) of each `record` or `alert`, in the order of the files.

    Reads the one form that the rule files have, as Python's library has no YAML; promtool has said
    before that they are YAML.
    """
    found = []
    for path in sorted(RULES.glob("*.rules.yml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        for at, line in enumerate(lines):
            head = re.match(rf" +- {kind}: (\S+)$", line)
            if head:
                found.append((head[1], expression_at(lines, at + 1, path.name)))
    return found


def expression_at(lines, at, name):
    key = re.match(r"( +)expr: (.+)$", lines[at])
    if not key:
        raise SystemExit(f"{name}:{at + 1}: `expr` must follow the rule's name")
    if key[2] != "|":
        return key[2].strip("'\"")
    deeper = len(key[1]) + 1
    block = []
    for line in lines[at + 1:]:
        if line.strip() and not line.startswith(" " * deeper):
            break
        block.append(line.strip())
    return " ".join(block)


def families(text):
    """The families that an expression names. What stands in quotes is a label's value."""
    plain = re.sub(r'"[^"]*"', '""', text)
    return set(METRIC.findall(plain))


def stem(name, known):
    """A histogram's family for the names it has in PromQL."""
    for suffix in SUFFIXES:
        if name.endswith(suffix) and name.removesuffix(suffix) in known:
            return name.removesuffix(suffix)
    return name


def documented(page=METRICS):
    """Names of families in the tables of docs/metrics.md; `up` is Prometheus's own.

    Also reads a table without backquotes, so that a draft of the page can be given.
    """
    text = Path(page).read_text(encoding="utf-8")
    found = {"up"}
    for row in re.findall(r"^\| ([^|]+)\|", text, re.MULTILINE):
        found |= set(re.findall(r"\b(?:claude|weighbridge)_[a-z0-9_]+\b", row))
    # The process collector's families stand in one row or sentence.
    return found | set(re.findall(r"\bprocess_[a-z0-9_]+\b", text))


def documented_labels(page=METRICS):
    """Family → its labels, of the tables whose columns are family, type, labels and meaning."""
    text, found = Path(page).read_text(encoding="utf-8"), {}
    for names, labels in re.findall(r"^\| ([^|]+) \| [^|]* \| ([^|]*) \|", text, re.MULTILINE):
        for name in re.findall(r"\b(?:claude|weighbridge)_[a-z0-9_]+\b", names):
            # A draft may say `same`: then nothing is known.
            found[name] = None if "same" in labels else set(re.findall(r"[a-z_]+", labels))
    return found


def selectors(text):
    """(family, labels) of each selector in an expression."""
    for name, inside in re.findall(r"\b((?:claude|weighbridge)_[a-z0-9_]+)\{([^}]*)\}", text):
        yield name, set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', inside)))
