"""Privacy: is anything kept and by which teams, what is found, what was dropped, how long does redaction take."""

from grafana import (COUNT, GREEN, ORANGE, PLAIN, RED, SECONDS, SHARE, Board, bars, column, equals,
                     increase, lines, per_minute, pick, rate, ratio, series, stat, steps, table, text)
from shared import filters, restarts

OWN = ("instance",)
TEAM = ("instance", "team")
# The window of the alert: the graph shows what the alert sees.
WINDOW = "15m"
# And one for shares, which a single finding would move.
SMOOTH = "1h"
LABELS_SHOWN = 12
SECRET = equals("label", "SECRET")
REASONS = {"busy": "orange", "failed": "red", "timed_out": "yellow", "too_long": "blue", "unwritten": "dark-red"}
NOT_KEPT = "nothing is kept: no team asks for it ([capture])"
NOTHING_FOUND = "nothing was found"
NO_REDACTION = "nothing was redacted"
A_MINUTE = "suffix:/min"
# Every one of them, where `short` would say 7 K.
EACH = "locale"
ABOUT = (
    "**Rules reduce what identifies a person. They do not find everything.** What is counted here was taken out; what "
    "the rules missed is counted nowhere. No figure on this board, and no zero, says that a kept text is free of "
    "identifiers.\n\n"
    "`docs/privacy.md` has what is kept, the labels, what was measured and what is not found. Nothing is kept unless "
    "`[capture]` asks for it.")


def graph(title, pairs, **more):
    """Findings are few: at a finer step each single one would be a peak."""
    return lines(title, pairs, interval="10m", **more)


def kept():
    return pick("weighbridge_kept_blocks_total", by=TEAM)


def found(*matchers):
    return pick("claude_redactions_total", *matchers, by=TEAM)


def dropped():
    return pick("weighbridge_dropped_contents_total", by=OWN)


def counted(selector, by="", window="$__range"):
    """An increase that counts the first value of a counter too: one secret is one, and not none."""
    groups = f" by ({by})" if by else ""
    return f"sum{groups} (({selector} unless {selector} offset {window}) or increase({selector}[{window}]))"


def per_block():
    """Each label's findings by all blocks. Without a block the quotient is no number: it is dropped."""
    whole = increase(kept(), SMOOTH)
    return f"{increase(found(), SMOOTH, 'label')} / ignoring (label) group_left () {whole} >= 0"


def keeping(board):
    by, keys = "team", {"team": "Team"}
    board.row("Is anything kept, and by which teams?")
    board.place(
        4,
        (5, stat("Teams that keep", f"count ({counted(kept(), by)} > 0)", unit=COUNT, decimals=0,
                 none="none", shows="Teams of which contents were kept in the range, redacted and sealed.",
                 act="more than you agreed on: *Teams* below names them; `weighbridge check` says what sets a "
                     "level.")),
        (5, stat("Blocks kept", counted(kept()), unit=EACH, decimals=0, none="none",
                 shows="Blocks of content that were sealed: prompts, answers, inputs and outputs of tools.",
                 act="none while a team asks to keep: see *Dropped, by reason*, and the sidecar's log.")),
        (5, stat("Findings per block", ratio(counted(found()), counted(kept())), unit=COUNT, decimals=2,
                 none=NOT_KEPT, shows="What was taken out of a block on average, all labels.",
                 act="a fall to nothing while blocks are kept is no good news: contents may have a form that the "
                     "rules do not read. Score a sample with `weighbridge redact --self-test`.")),
        (4, stat("Secrets found", f"{counted(found(SECRET))} > 0", unit=COUNT, decimals=0, none="none",
                 thresholds=steps(PLAIN, (1e-9, ORANGE)),
                 shows="Keys, tokens and passwords (label `SECRET`) that were taken out. They are not in what is "
                       "kept; they did go to the model.",
                 act="*Secrets, by team* says whose. Find where they come from, and change them.")),
        (5, stat("Contents dropped", increase(dropped()), unit=COUNT, decimals=0, none="no sidecar tells this",
                 thresholds=steps(GREEN, (1e-9, RED)),
                 shows="Contents that a team asks to keep and that are gone: a block, an answer or a whole call. Only "
                       "the sidecar filter applies.",
                 act="*Dropped, by reason* says why; the alert WeighbridgeContentsDropped says what to do.")),
    )
    columns = [
        ("Calls", increase(pick("claude_requests_total", by=TEAM), by=by)),
        ("Kept blocks", f"{counted(kept(), by)} > 0"),
        ("Findings", f"{counted(found(), by)} > 0"),
        ("Per block", ratio(counted(found(), by), counted(kept(), by))),
        ("Secrets", f"{counted(found(SECRET), by)} > 0"),
    ]
    looks = [column("Team", width=210), column("Calls", EACH, 130, 0), column("Kept blocks", EACH, 140, 0),
             column("Findings", EACH, 130, 0), column("Per block", COUNT, 130, 2),
             column("Secrets", EACH, 130, 0, cell={"type": "color-text"}, thresholds=steps(PLAIN, (1e-9, ORANGE)))]
    board.place(
        8,
        (10, graph("Blocks kept, by team", [("{{team}}", per_minute(kept(), by))], unit=A_MINUTE, stack=True,
                   none=NOT_KEPT, shows="Blocks that were sealed per minute, for each team that keeps contents.",
                   act="a team that nobody agreed on: `capture.level` holds for all teams without one of their own. A "
                       "line that ends while the team calls: contents are dropped.")),
        (14, table("Teams", keys, columns, unit=COUNT, sort=("Kept blocks", True), looks=looks, none="no call",
                   shows="All teams that called, those that keep first. A dash under *Kept blocks* is a team of which "
                         "no text was kept.",
                   act="a team that should keep nothing and does: set its level in `[capture.team]` to `metadata`. "
                       "docs/privacy.md says how to erase what was kept.")),
    )


def findings(board):
    top = f"topk ({LABELS_SHOWN}, sort_desc ({counted(found(), 'label')} > 0))"
    by_team = ratio(increase(found(), SMOOTH, "team"), increase(kept(), SMOOTH, "team"))
    board.row("What is found?")
    board.place(
        9,
        (9, graph("Findings, by label", [("{{label}}", per_minute(found(), "label"))], unit=A_MINUTE, stack=True,
                  none=NOTHING_FOUND,
                  shows="What was taken out per minute, by its label. The labels are in docs/privacy.md.",
                  act="a label that was not there before: a team sends a new kind of content. Ask whether it should.")),
        (6, bars("Findings of the range, by label", [("{{label}}", top)], unit=EACH, decimals=0, least=0,
                 none=NOTHING_FOUND, thresholds=steps("blue"),
                 shows=f"The {LABELS_SHOWN} most frequent labels of the range.",
                 act="a label you expect is missing: the rules may not know the form your texts have. Add your own "
                     "under `[redaction]`.")),
        (9, graph("Findings per kept block, by label", [("{{label}}", per_block())], unit=COUNT,
                  none=NOTHING_FOUND,
                  shows="The same findings for each block that was kept, over the last hour at each point: it does "
                        "not move with the load. Above 1: more than one in a block.",
                  act="a fall at steady work: a form has changed and is no longer found. A rise: more is sent that "
                      "identifies people.")),
    )
    board.place(
        7,
        (12, graph("Findings per kept block, by team", [("{{team}}", by_team)], unit=COUNT, none=NOTHING_FOUND,
                   shows="All labels together over the last hour at each point, for each team that keeps contents.",
                   act="one team falls: look at its contents (`weighbridge content show`) before anybody uses them.")),
        (12, graph("Secrets, by team", [("{{team}}", f"{counted(found(SECRET), 'team', SMOOTH)} > 0")], unit=COUNT,
                   none="no secret was found", decimals=0, step=True, fill=20,
                   shows="Findings with the label `SECRET` over the last hour at each point.",
                   act="a team with a line here sends keys or passwords to the model: its prompts, its files, or the "
                       "output of its tools. Change what was sent.")),
    )


def keeping_up(board):
    buckets = rate(pick("weighbridge_redaction_seconds_bucket", by=OWN), "le")
    busy = rate(pick("weighbridge_redaction_seconds_sum", by=OWN), "instance")
    board.row("What was dropped, and does the redactor keep up?")
    board.place(
        8,
        (8, graph("Dropped, by reason", [("{{reason}}", increase(dropped(), WINDOW, "reason"))], unit=COUNT,
                  decimals=0, none="no sidecar tells this", step=True, fill=20,
                  overrides=[series(reason, color=colour) for reason, colour in REASONS.items()],
                  shows="Contents dropped over the last 15 minutes at each point. All zero is as it should be. Only "
                        "the sidecar filter applies.",
                  act="`busy`, `timed_out`: the redactor does not keep up. `too_long`: larger than 4 MiB. `failed`: a "
                      "fault of ours, report it. `unwritten`: the disk.")),
        (8, graph("Redaction of one block", [(name, f"histogram_quantile({share}, {buckets}) >= 0")
                                             for name, share in (("p50", 0.5), ("p99", 0.99))],
                  unit=SECONDS, none=NO_REDACTION, log=True,
                  shows="How long one block took, beside the path of calls: no client waits for it. As fine as its "
                        "buckets (docs/metrics.md). Only the sidecar filter applies.",
                  act="p99 of seconds: very long texts. After 5 s for one call what is left of it is dropped.")),
        (8, graph("Redactor in use", [("{{instance}}", busy)], unit=SHARE, none=NO_REDACTION, least=0,
                  shows="Share of the time in which a sidecar's one redacting thread was at work.",
                  act="near 100 %: contents wait, and beyond 256 calls or 64 MiB they are dropped as `busy`. Keep "
                      "less, or divide the teams over several sidecars.")),
    )


def board():
    made = Board(
        "weighbridge-privacy", "Is anything kept and by whom, what is found in it, what was dropped and why.",
        since="now-24h", refresh="1m", variables=filters("instance", "team"), annotations=[restarts()])
    made.place(3, (24, text("What these figures say, and what they do not", ABOUT)))
    keeping(made)
    findings(made)
    keeping_up(made)
    return made
