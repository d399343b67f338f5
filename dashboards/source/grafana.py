"""The few parts of Grafana's dashboard model that the boards use.

A panel is made by a function of its kind; `Board` gives it its place and id. Every panel must say what
it shows, what to do when it looks bad, its unit, and what an empty panel means: the functions ask for
all four, so that none can be forgotten.
"""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
# Grafana 11 reads this version; later ones bring it up to theirs when they load a board.
SCHEMA_VERSION = 39
TAG = "weighbridge"
BOARDS = {
    "weighbridge-spend": "Weighbridge / Spend",
    "weighbridge-team": "Weighbridge / Team",
    "weighbridge-agents": "Weighbridge / Agents and tools",
    "weighbridge-privacy": "Weighbridge / Privacy",
    "weighbridge-audit": "Weighbridge / Audit",
    "weighbridge-live": "Weighbridge / Live operations",
    "weighbridge-health": "Weighbridge / Sidecar health",
}

USD, SHARE, SECONDS, COUNT, BYTES = "currencyUSD", "percentunit", "s", "short", "bytes"
# `currencyUSD` shortens to $1.33K: too coarse beside a limit. This shows every cent, in Grafana 11 too.
CENTS = "prefix:$"
DAYS, TIMES, PER_MINUTE, PER_SECOND = "suffix:days", "suffix:×", "reqpm", "suffix:/s"
GREEN, YELLOW, ORANGE, RED, PLAIN = "green", "yellow", "orange", "red", "text"


# --- PromQL ----------------------------------------------------------------------------------

def pick(family, *matchers, by=("instance", "team", "model")):
    """A selector with the board's variables in it: `pick("x", 'type="input"', by=("instance",))`."""
    variables = [f'{label}=~"${label}"' for label in by]
    return f"{family}{{{', '.join([*variables, *matchers])}}}"


def equals(label, value):
    return f'{label}="{value}"'


def increase(selector, window="$__range", by=""):
    return f"sum{grouped(by)} (increase({selector}[{window}]))"


def rate(selector, by="", per_second=1):
    """Events a second, or in `per_second` of them."""
    found = f"sum{grouped(by)} (rate({selector}[$__rate_interval]))"
    return found if per_second == 1 else f"{found} * {per_second}"


def per_minute(selector, by=""):
    return rate(selector, by, 60)


def grouped(by):
    return f" by ({by})" if by else ""


def ratio(part, whole):
    """Without calls both sides are zero and the quotient is no number: the comparison drops it."""
    return f"({part}) / ({whole}) >= 0"


def less(whole, part):
    """`whole - part`, where `part` may be missing because its counter has no first value yet."""
    return f"({whole}) - (({part}) or ({whole}) * 0)"


def quantile(share, family, by="", labels=("instance", "model")):
    """Without observations a quantile is no number: the comparison drops it."""
    groups = f"le, {by}" if by else "le"
    buckets = rate(pick(family + "_bucket", by=labels), groups)
    return f"histogram_quantile({share}, {buckets}) >= 0"


# --- Parts of a panel ------------------------------------------------------------------------

def steps(*pairs):
    """Thresholds: a base colour, then (value, colour) upwards."""
    base, *rest = pairs
    marks = [{"color": base, "value": None}]
    marks += [{"color": colour, "value": value} for value, colour in rest]
    return {"mode": "absolute", "steps": marks}


def words(*ranges):
    """Words instead of a number: (from, to, word, colour); where two meet the earlier one counts."""
    return [{"type": "range", "options": {"from": low, "to": high, "result": {
        "text": word, "color": colour, "index": place}}}
            for place, (low, high, word, colour) in enumerate(ranges)]


def query(expr, legend="__auto", instant=False, table=False, ref="A"):
    return {
        "datasource": DATASOURCE, "editorMode": "code", "expr": expr, "legendFormat": legend,
        "format": "table" if table else "time_series",
        "instant": instant, "range": not instant, "refId": ref,
    }


def queries(pairs, **options):
    """(legend, expression) pairs as targets A, B, …"""
    return [query(expr, legend, ref=chr(65 + i), **options) for i, (legend, expr) in enumerate(pairs)]


def panel(kind, title, shows, act, unit, none, targets, *, options, decimals=None, thresholds=None,
          custom=None, color=None, least=None, most=None, overrides=(), transformations=(),
          interval=None, links=(), mappings=()):
    defaults = {
        "unit": unit, "noValue": none,
        "thresholds": thresholds or steps(PLAIN),
        "color": color or {"mode": "thresholds"},
        "custom": custom or {}, "mappings": list(mappings),
    }
    for key, value in (("decimals", decimals), ("min", least), ("max", most)):
        if value is not None:
            defaults[key] = value
    made = {
        "type": kind, "title": title, "datasource": DATASOURCE,
        "description": f"{shows}\n\n**When it looks bad:** {act}",
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options, "targets": targets,
    }
    for key, value in (("interval", interval), ("links", list(links)),
                       ("transformations", list(transformations))):
        if value:
            made[key] = value
    return made


# --- Kinds of panels -------------------------------------------------------------------------

def stat(title, expr, *, shows, act, unit, none, **more):
    """One figure, as it is at the end of the range. Courses are drawn by `lines`."""
    options = {
        "colorMode": "value", "graphMode": "none", "justifyMode": "auto",
        "orientation": "auto", "textMode": "value", "wideLayout": True,
        # The same size everywhere: a figure is not more important because it is shorter.
        "text": {"valueSize": 32},
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    targets = [query(expr, title, instant=True)]
    return panel("stat", title, shows, act, unit, none, targets, options=options, **more)


def lines(title, pairs, *, shows, act, unit, none, stack=False, bars=False, fill=None, soft_max=None,
          right=False, step=False, log=False, **more):
    """Lines or bars over time; `pairs` are (legend, expression)."""
    custom = {
        "drawStyle": "bars" if bars else "line", "lineWidth": 1, "showPoints": "never",
        "fillOpacity": fill if fill is not None else (70 if bars else 35 if stack else 0),
        "gradientMode": "none", "spanNulls": False, "axisSoftMin": 0,
        # Where all is well many graphs are a line at zero; without this their axis goes up to 100.
        "axisSoftMax": soft_max or (None if "most" in more else {COUNT: 1, SHARE: 0.01}.get(unit)),
        "lineInterpolation": "stepAfter" if step else "linear",
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
    }
    options = {
        "legend": {"displayMode": "list", "showLegend": True,
                   "placement": "right" if right else "bottom", "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    custom = {key: value for key, value in custom.items() if value is not None}
    if log:  # it has no zero
        custom["scaleDistribution"] = {"type": "log", "log": 10}
        del custom["axisSoftMin"]
    if bars:
        custom["barAlignment"] = 1  # from its time on: a bar covers what comes after
    more.setdefault("color", {"mode": "palette-classic"})
    # Grafana's last step may lie before the first sample, and what is missing then is only new.
    none = f"{none}, or too new for this range"
    return panel("timeseries", title, shows, act, unit, none, queries(pairs),
                 options=options, custom=custom, **more)


def bars(title, pairs, *, shows, act, unit, none, **more):
    """The latest value of each series as a bar, coloured by the thresholds."""
    options = {
        "displayMode": "basic", "orientation": "horizontal", "showUnfilled": True, "minVizHeight": 16,
        "minVizWidth": 8, "namePlacement": "left", "valueMode": "color", "sizing": "auto",
        "maxVizHeight": 34, "legend": {"showLegend": False, "displayMode": "list",
                                       "placement": "bottom", "calcs": []},
        "text": {"titleSize": 13, "valueSize": 15},
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return panel("bargauge", title, shows, act, unit, none, queries(pairs, instant=True),
                 options=options, **more)


def column(name, unit=None, width=None, decimals=None, **properties):
    """How one column of a table looks; `cell` is Grafana's cell type."""
    found = []
    for key, value in (("unit", unit), ("decimals", decimals), ("custom.width", width),
                       ("custom.cellOptions", properties.pop("cell", None)),
                       *((key.replace("__", "."), value) for key, value in properties.items())):
        if value is not None:
            found.append({"id": key, "value": value})
    return {"matcher": {"id": "byName", "options": name}, "properties": found}


def table(title, keys, columns, *, shows, act, unit, none, sort, looks=(), **more):
    """One row per set of labels. `keys`: label → heading; `columns`: (heading, expression).

    Grafana names the value of query A `Value #A` as soon as there is more than one query.
    """
    targets = queries([("", expr) for _, expr in columns], instant=True, table=True)
    names = {**keys, **{f"Value #{chr(65 + i)}": name for i, (name, _) in enumerate(columns)}}
    names = {old: new for old, new in names.items() if new is not None}
    hidden = {f"Value #{chr(65 + i)}": True for i, (name, _) in enumerate(columns) if name is None}
    transformations = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {
            "excludeByName": {"Time": True, **hidden},
            "indexByName": {old: place for place, old in enumerate(names)},
            "renameByName": names,
        }},
        {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": sort[0], "desc": sort[1]}]}},
    ]
    # The text for an empty table must not fill its empty cells.
    looks = [{"matcher": {"id": "byRegexp", "options": "/.*/"},
              "properties": [{"id": "noValue", "value": "–"}]}, *looks]
    options = {"showHeader": True, "cellHeight": "sm", "frameIndex": 0,
               "sortBy": [{"displayName": sort[0], "desc": sort[1]}]}
    custom = {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": False, "inspect": False}
    return panel("table", title, shows, act, unit, none, targets, options=options, custom=custom,
                 overrides=looks, transformations=transformations, **more)


def text(title, content):
    """Words in Markdown, where a reader must know something before any figure. It asks for nothing."""
    return {"type": "text", "title": title, "fieldConfig": {"defaults": {}, "overrides": []},
            "options": {"mode": "markdown", "content": content}}


def series(name, **properties):
    """How one series of a graph looks: `series("limit", color="red", dashed=True)`."""
    found = []
    if "color" in properties:
        found.append({"id": "color", "value": {"mode": "fixed", "fixedColor": properties["color"]}})
    if properties.get("dashed"):
        found.append({"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}})
        found.append({"id": "custom.fillOpacity", "value": 0})
    if "unit" in properties:
        found.append({"id": "unit", "value": properties["unit"]})
    if properties.get("right"):
        found.append({"id": "custom.axisPlacement", "value": "right"})
    return {"matcher": {"id": "byName", "options": name}, "properties": found}


# --- The board -------------------------------------------------------------------------------

def variable(label, heading, family):
    """A choice of a label's values, everything at first. `.*` keeps what has gone from the list."""
    asked = f"label_values({family}, {label})"
    return {
        "name": label, "label": heading, "type": "query", "datasource": DATASOURCE,
        "definition": asked, "query": {"query": asked, "refId": label, "qryType": 1},
        "multi": True, "includeAll": True, "allValue": ".*", "refresh": 2, "sort": 1, "regex": "",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "hide": 0, "options": [],
    }


def source_variable():
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
            "hide": 0, "includeAll": False, "multi": False, "options": [],
            "refresh": 1, "regex": "", "skipUrlSync": False}


def annotation(name, expr, color, title, text):
    return {"name": name, "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": color,
            "expr": expr, "step": "60s", "titleFormat": title, "textFormat": text,
            "useValueForTime": False}


class Board:
    """Panels are placed left to right; a full line begins the next one."""

    def __init__(self, uid, about, *, since, refresh, variables, annotations=()):
        self.uid, self.about, self.since, self.refresh = uid, about, since, refresh
        self.variables, self.annotations = variables, annotations
        self.panels, self.y = [], 0

    def row(self, title):
        self.add({"type": "row", "title": title, "collapsed": False, "panels": []}, 0, COLUMNS, 1)
        self.y += 1

    def place(self, height, *panels):
        """Panels side by side: (width, panel) each; the widths must fill the line."""
        x = 0
        for width, made in panels:
            self.add(made, x, width, height)
            x += width
        if x != COLUMNS:
            raise ValueError(f"{self.uid}: a line is {x} columns wide, not {COLUMNS}")
        self.y += height

    def add(self, made, x, width, height):
        place = {"x": x, "y": self.y, "w": width, "h": height}
        self.panels.append({"id": len(self.panels) + 1, "gridPos": place, **made})

    def json(self):
        links = [
            {"type": "link", "title": title.split(" / ")[1], "url": f"/d/{uid}", "icon": "dashboard",
             "includeVars": True, "keepTime": False, "targetBlank": False, "asDropdown": False,
             "tags": [], "tooltip": ""}
            for uid, title in BOARDS.items() if uid != self.uid
        ]
        return {
            "uid": self.uid, "title": BOARDS[self.uid], "description": self.about, "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION, "version": 1, "editable": True, "graphTooltip": 1,
            "fiscalYearStartMonth": 0, "weekStart": "monday",
            # The ledger's days are UTC days; another zone would show other days than the reports.
            "timezone": "utc", "time": {"from": self.since, "to": "now"}, "refresh": self.refresh,
            "timepicker": {}, "links": links, "panels": self.panels,
            "annotations": {"list": list(self.annotations)},
            "templating": {"list": [source_variable(), *self.variables]},
        }
