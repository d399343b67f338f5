"""Audit: is the ledger signed up to now, who holds that besides, what is missing in it."""

from grafana import (BYTES, COUNT, GREEN, ORANGE, PLAIN, RED, SECONDS, YELLOW, Board, column, equals, increase,
                     lines, pick, series, stat, steps, table, text, words)
from shared import filters, restarts

OWN = ("instance",)
# The window at each point of a graph of what should not happen.
WINDOW = "1h"
# And of the pulse: in it even an idle sidecar signs heartbeats, one a minute unless configured otherwise.
PULSE = "5m"
# Every one of them, where `short` would say 7 K.
EACH = "locale"
# An axis of minutes would be divided at 1.67 and 3.33.
IN_SECONDS = "suffix:s"
NONE = "no sidecar tells this"
NO_WITNESS = "no witness is set up: add one as [witness.NAME] to the configuration"
# Stands for "there is none" where a number is made words; no lag is ever so long.
NEVER = "1e9"
# The alerts' limits: a sidecar that does not sign, a witness that is behind.
LATE_S, UNSIGNED_S = 5, 30
SLOW_S, BEHIND_S = 60, 900
ZERO_IS_GOOD = steps(GREEN, (1e-9, RED))
SIGNED = words((0, LATE_S, "Signed", GREEN), (LATE_S, UNSIGNED_S, "Late", YELLOW),
               (UNSIGNED_S, None, "Not signed", RED))
HELD = words((0, SLOW_S, "Held", GREEN), (SLOW_S, BEHIND_S, "Late", YELLOW),
             (float(NEVER), None, "No witness", ORANGE), (BEHIND_S, None, "Behind", RED))
UP = words((1, 1, "up", GREEN), (0, 0, "down", RED))
REASONS = {"inconsistent": "dark-red", "invalid": "red", "refused": "orange", "unreachable": "yellow"}
ABOUT = (
    "**The sidecars say this of themselves.** Green means: nothing they can see speaks against the evidence. It is no "
    "proof, as whoever controls a machine can make it say anything. The proof is `weighbridge audit verify`, on a "
    "bundle or a data directory, with the checkpoint that a *witness* holds: `docs/audit.md`, in five minutes.")


def own(family, *matchers):
    return pick(family, *matchers, by=OWN)


def every(expr):
    """Zero where the counter has no series yet, and nothing only where no sidecar was scraped."""
    return f"({expr}) or sum ({own('weighbridge_build_info')}) * 0"


def worst(family, by="instance"):
    return f"max by ({by}) ({own(family)})"


def refused(reason):
    return equals("reason", reason)


LAG = worst("weighbridge_audit_checkpoint_lag_seconds")
SIZE = worst("weighbridge_audit_checkpoint_size")
ENTRIES = worst("weighbridge_ledger_entries")
# The two are not read in the same moment.
UNSIGNED = f"clamp_min ({ENTRIES} - {SIZE}, 0)"
BY_WITNESS = "instance, witness"
WITNESS_LAG = worst("weighbridge_audit_witness_lag_seconds", BY_WITNESS)
# One witness that holds it is enough for a sidecar, and none is never.
HELD_SINCE = f"min by (instance) ({own('weighbridge_audit_witness_lag_seconds')})"
HELD_OR_NEVER = f"({HELD_SINCE}) or on (instance) (max by (instance) ({own('weighbridge_build_info')}) * {NEVER})"
SCRAPED = 'up{job="weighbridge", instance=~"$instance"}'

# The process families are not ours alone.
RESTARTS = (f"changes({own('process_start_time_seconds')}[$__range]) "
            f"and on (instance) {own('weighbridge_build_info')}")


def witness_errors(*matchers):
    return own("weighbridge_audit_witness_errors_total", *matchers)


def word(title, expr, mappings, **more):
    return stat(title, expr, unit=COUNT, decimals=0, none=NONE, mappings=mappings, **more)


def number(title, expr, **more):
    counts = {} if "unit" in more else {"unit": EACH, "decimals": 0}
    return stat(title, expr, **{"none": NONE, **counts, **more})


def trust(board):
    differs = f"sum (increase({witness_errors(refused('inconsistent'))}[$__range]))"
    state = " or ".join(f"{own('weighbridge_ledger_state', equals('state', name))} * {rank}"
                        for rank, name in enumerate(("reserve", "full", "poisoned"), 1))
    board.row("Can I trust the evidence right now?")
    board.place(
        4,
        (4, word("Signed up to now?", f"max ({LAG})", SIGNED,
                 shows="The worst sidecar. *Signed*: a checkpoint covered all entries less than 5 s ago. *Late*: less "
                       "than 30 s ago.",
                 act="*Not signed*: what came since can be changed unseen. The alert WeighbridgeCheckpointBehind says "
                     "what to do.")),
        (4, word("Held by a witness?", f"max ({HELD_OR_NEVER})", HELD,
                 shows="The worst sidecar, by its best witness. *Held*: somebody besides holds what was signed a "
                       "minute ago. *Late*: 15 minutes ago.",
                 act="*No witness*: add one that somebody else runs, as without it a cut-off end cannot be noticed. "
                     "*Behind*: the alert WeighbridgeWitnessBehind.")),
        (4, word("Witnesses agree?", f"{differs} or sum ({own('weighbridge_build_info')}) * -1",
                 words((-1, -1, "No witness", ORANGE), (0, 0, "Agree", GREEN), (0, None, "Disagree", RED)),
                 shows="Whether in the range a witness held another history than what is signed here: a clone, a "
                       "restored copy, or changed entries.",
                 act="*Disagree*: keep both copies and look for a second process; WeighbridgeWitnessDisagrees has the "
                     "steps.")),
        (4, word("Did it only grow?", f"sum (resets({own('weighbridge_audit_checkpoint_size')}[$__range]))",
                 words((0, 0, "Only grew", GREEN), (0, None, "Fell", RED)),
                 shows="Whether the signed log of any sidecar became shorter in the range. A log that is only added to "
                       "cannot. What outgrew its old size between two scrapes is not seen here.",
                 act="*Fell*: a start with `--accept-rollback`, or a new data directory at the same address. The "
                     "ledger's `rollback` entry says when; ask who did it.")),
        (4, word("Is it recording?", f"max ({state})",
                 words((0, 0, "Recording", GREEN), (1, 1, "On reserve", YELLOW), (2, 2, "Disk full", RED),
                       (3, None, "Poisoned", RED)),
                 shows="The worst ledger. *On reserve*: the disk is full and the space set aside is in use.",
                 act="free the disk, for *Poisoned* check it and restart (docs/operations.md).")),
        (4, word("All sidecars up?", f"count ({SCRAPED} == 0) or count ({SCRAPED}) * 0",
                 words((0, 0, "All up", GREEN), (0, None, "Down", RED)),
                 shows="Whether Prometheus reaches each sidecar of its job `weighbridge`. One that is down signs "
                       "nothing and is in no other figure of this row.",
                 act="its log says why. A start that is refused as rolled back or cloned looks like this: "
                     "docs/operations.md, *When a start is refused as rolled back*.")),
    )


def figures(board):
    failed = increase(own("weighbridge_audit_checkpoint_errors_total"))
    lag = steps(GREEN, (LATE_S, YELLOW), (UNSIGNED_S, RED))
    board.place(
        4,
        (3, number("Entries signed", f"sum ({SIZE})", shows="Entries that the newest checkpoints cover, all sidecars.",
                   act="it stands still: see *Signed in 5 minutes*; even silence is signed once a minute.")),
        (3, number("Not yet signed", f"sum ({UNSIGNED})", thresholds=steps(GREEN, (100, YELLOW), (10_000, RED)),
                   shows="Entries in the ledgers that no checkpoint covers. A few are normal for a second.",
                   act="it grows: signing stopped, see *Failed to sign* and the sidecar's log.")),
        (3, number("Seconds behind", f"max ({LAG})", unit=SECONDS, thresholds=lag,
                   shows="How long ago the newest checkpoint of the worst sidecar covered all entries.",
                   act="above 30 s the alert WeighbridgeCheckpointBehind fires.")),
        (3, number("Oldest unsynced", f"max ({own('weighbridge_ledger_unsynced_seconds')})", unit=SECONDS,
                   thresholds=steps(GREEN, (5, YELLOW), (30, RED)),
                   shows="Age of the oldest entry that is not safe on the disk. Only what is synced is signed.",
                   act="the disk does not finish its syncs; the Sidecar health board shows how long they take.")),
        (3, number("Slowest witness", f"max ({WITNESS_LAG})", unit=SECONDS, none="no witness",
                   thresholds=steps(GREEN, (SLOW_S, YELLOW), (BEHIND_S, RED)),
                   shows="How long ago the slowest of all witnesses held the newest checkpoint.",
                   act="*Witnesses* below names it and says how it fails.")),
        (3, number("Failed to sign", every(failed), thresholds=ZERO_IS_GOOD,
                   shows="Checkpoints that could not be signed or written in the range, and keys that could not be "
                         "made.",
                   act="the log has the reason. `no checkpoints are signed until a restart`: check the disk, then "
                       "restart.")),
        (3, number("Not witnessed", every(increase(witness_errors())), thresholds=steps(GREEN, (0.5, YELLOW)),
                   shows="Checkpoints that a witness did not take in the range. It is offered the next one, so a few "
                         "leave no gap.",
                   act="*Not taken, by reason* says why; only `inconsistent` speaks against the evidence.")),
        (3, number("Restarts", f"sum ({RESTARTS})", thresholds=steps(GREEN, (0.5, YELLOW)),
                   shows="How often a sidecar began again in the range. Each start compares the ledger with what was "
                         "signed and witnessed.",
                   act="was it planned? Whether the run before ended clean is told by the log and by the ledger's "
                       "`recovered` entry, and by no family here.")),
    )


def missing(board):
    tools = "claude_tool_calls_total"
    shown = (
        ("Unrecorded", own("weighbridge_unrecorded_total"), RED,
         "Entries left out in the range because the ledger could not be written, in `observe` mode: calls passed "
         "without a record.", "free the disk, or choose `closed` mode. The time of the gap is evidence: note it."),
        ("Lost closings", own("weighbridge_lost_closings_total"), RED,
         "Closings that could not be written in the range. Each stands whole in the log on standard error.",
         "save that log now, it is the only copy."),
        ("Missing hooks", own(tools, equals("state", "hook_missing")), ORANGE,
         "Tool calls of the range whose result was seen and whose hooks were not: no rule was asked before them.",
         "the Agents board names team and tool; `weighbridge hooks check` where they run."),
        ("Unverified tools", own(tools, equals("state", "unverified")), RED,
         "Tool calls of the range that only hooks tell of: traffic went around the sidecar, or events are forged.",
         "the alert WeighbridgeToolsUnverified: find the session, and its base URL."),
        ("Unpriced calls", own("claude_unpriced_requests_total"), ORANGE,
         "Calls of the range whose model has no known price. They are recorded, and in no amount.",
         "add the model's rates (docs/pricing.md); WeighbridgeUnpriced has the steps."),
        ("Contents dropped", own("weighbridge_dropped_contents_total"), ORANGE,
         "Contents of the range that a team asks to keep and that the redactor or the disk dropped. The record of the "
         "call is whole without them.", "*Dropped, by reason* on the Privacy board; `failed` is the redactor."),
        ("Usage anomalies", own("claude_usage_anomalies_total"), ORANGE,
         "Usage of the range that is no count or contradicts itself: these amounts are lower bounds.",
         "`weighbridge exchanges` lists them with the flag `usage_anomaly`."),
        ("Estimated calls", own("claude_estimated_requests_total"), YELLOW,
         "Calls of the range that broke off: how much the model had written is estimated, and marked so in the record.",
         "many at once: clients that leave, or a network that cuts. Sums of that time are nearly right, not exact."),
    )
    board.row("What is missing in what was recorded?")
    # A part of one is what `increase` makes at the edges of a range.
    board.place(4, *((3, number(title, every(increase(selector)), thresholds=steps(GREEN, (0.5, colour)),
                                shows=shows, act=act))
                     for title, selector, colour, shows, act in shown))


def by_sidecar():
    mode = f"max by (instance, mode, durability) ({own('weighbridge_ledger_mode')})"
    state = f"max by (instance, state) ({own('weighbridge_ledger_state')} == 1)"
    counted = increase(own("weighbridge_unrecorded_total"), by="instance")
    columns = [
        ("Scraped", f"max by (instance) ({SCRAPED})"), (None, mode), (None, state),
        ("Entries", ENTRIES), ("Signed", SIZE), ("Not signed", UNSIGNED), ("Signing", LAG),
        ("Behind", LAG), ("Witnesses", f"count by (instance) ({WITNESS_LAG})"), ("Witnessed", HELD_OR_NEVER),
        ("Unrecorded", counted), ("Disk free", f"min by (instance) ({own('weighbridge_data_free_bytes')})"),
    ]
    keys = {"instance": "Sidecar", "state": "Ledger", "mode": "Mode", "durability": "Survives"}
    text_cell = {"type": "color-text"}
    bad = steps(PLAIN, (0.5, RED))
    looks = [
        column("Sidecar", width=150), column("Ledger", width=95), column("Mode", width=95),
        column("Survives", width=90), column("Scraped", COUNT, 95, cell=text_cell, mappings=UP),
        column("Entries", EACH, 110, 0), column("Signed", EACH, 110, 0), column("Not signed", EACH, 110, 0),
        column("Signing", COUNT, 115, cell=text_cell, mappings=SIGNED),
        column("Behind", SECONDS, 90), column("Witnesses", COUNT, 105, 0),
        column("Witnessed", COUNT, 120, cell=text_cell, mappings=HELD),
        column("Unrecorded", EACH, 110, 0, cell=text_cell, thresholds=bad), column("Disk free", BYTES, 110, 1),
    ]
    return table(
        "Evidence by sidecar", keys, columns, unit=COUNT, sort=("Sidecar", False), looks=looks, none=NONE,
        shows="Each sidecar's log: is it written, signed, held by a witness. *Mode* `observe` lets calls pass without "
              "a record when the ledger cannot be written, `closed` does not; *Survives* is what an entry outlives.",
        act="*down*: nothing is signed there now. *No witness*: its end can be cut off unseen. Where an auditor relies "
            "on completeness, `observe` needs a reason.")


def signing(board):
    pulse = f"max by (instance) (increase({own('weighbridge_audit_checkpoint_size')}[{PULSE}]))"
    board.row("Is everything signed, at once?")
    board.place(5, (24, by_sidecar()))
    board.place(
        8,
        (8, lines("Behind the ledger", [("{{instance}}", LAG)], unit=IN_SECONDS, none=NONE, soft_max=1,
                  shows="How long ago the newest checkpoint covered all entries. Below a second while all is well.",
                  act="a peak is a slow sync. A line that climbs and does not come back: signing has stopped, from "
                      "30 s on WeighbridgeCheckpointBehind fires.")),
        (8, lines("Entries not yet signed", [("{{instance}}", UNSIGNED)], unit=COUNT, decimals=0, none=NONE,
                  shows="Entries that no checkpoint covers yet. Until then they could be changed unseen.",
                  act="it only grows: see *Behind the ledger*, and the disk's syncs on the Sidecar health board.")),
        (8, lines("Signed in 5 minutes", [("{{instance}}", pulse)], unit=COUNT, decimals=0, none=NONE,
                  shows="Entries that were signed in the five minutes before each point: the log's pulse. An idle "
                        "sidecar signs a heartbeat every 60 s (`audit.heartbeat`), so at least 4.",
                  act="zero or a gap while the sidecar should run: it hung, was stopped, or signs no more. That time "
                      "is not covered by evidence.")),
    )


def witnesses(board):
    """Which witness holds what."""
    def because(reason):
        return increase(witness_errors(refused(reason)), by=BY_WITNESS)

    # What it holds is told by no family; since when it does not hold the newest is.
    columns = [("Holds", WITNESS_LAG), ("Behind", WITNESS_LAG), ("Longest", longest()),
               *((name.capitalize(), because(name)) for name in reversed(REASONS))]
    text_cell, bad = {"type": "color-text"}, steps(PLAIN, (0.5, RED))
    looks = [
        column("Witness", width=190), column("Of sidecar", width=190),
        column("Holds", COUNT, 140, cell=text_cell, mappings=HELD), column("Behind", SECONDS, 140),
        column("Longest", SECONDS, 150, 1), column("Unreachable", EACH, 150, 0), column("Refused", EACH, 150, 0),
        column("Invalid", EACH, 150, 0), column("Inconsistent", EACH, 160, 0, cell=text_cell, thresholds=bad),
    ]
    board.row("Who holds it besides?")
    board.place(
        7,
        (24, table(
            "Witnesses", {"witness": "Witness", "instance": "Of sidecar"}, columns, unit=COUNT,
            sort=("Behind", True), looks=looks, none=NO_WITNESS,
            shows="Each witness of each sidecar, the slowest first: whether it holds the newest checkpoint, how long "
                  "ago it did, the longest it was behind in the range, and how often it did not take one, by reason.",
            act="`unreachable`: network or its server. `refused`: it does not know this instance or its new key. "
                "`invalid`: not a witness, or another's key. *Inconsistent* in red: keep both copies, it holds another "
                "history. `weighbridge audit checkpoint` shows what each holds.")),
    )
    board.place(
        7,
        (12, lines("Witnesses behind", [("{{witness}} of {{instance}}", WITNESS_LAG)], unit=IN_SECONDS, none=NO_WITNESS,
                  soft_max=10,
                  shows="How long ago each witness held the newest checkpoint. It gets one every 2 s.",
                  act="what was signed since is not held by it: after 15 minutes WeighbridgeWitnessBehind fires.")),
        (12, lines("Not taken, by reason", [("{{reason}}", increase(witness_errors(), WINDOW, "reason"))], unit=COUNT,
                  decimals=0, none=NO_WITNESS, step=True, fill=20,
                  overrides=[series(reason, color=colour) for reason, colour in REASONS.items()],
                  shows="Checkpoints that no witness took at that attempt, over the last hour at each point.",
                  act="`inconsistent`, ever: WeighbridgeWitnessDisagrees. The others pass by themselves once the cause "
                      "is gone.")),
    )


def longest():
    found = own("weighbridge_audit_witness_lag_seconds")
    return f"max by ({BY_WITNESS}) (max_over_time({found}[$__range]))"


def gaps(board):
    def lately(selector, by=""):
        return every(increase(selector, WINDOW, by))

    tools = own("claude_tool_calls_total", 'state=~"hook_missing|not_executed|unverified"')
    turned_away = own("weighbridge_refusals_total", refused("ledger_unavailable"))
    not_normal = own("weighbridge_ledger_state", 'state!="normal"')
    board.row("When were there gaps?")
    board.place(
        8,
        (8, lines("Not in the ledger", [("unrecorded", lately(own("weighbridge_unrecorded_total"))),
                                        ("lost closings", lately(own("weighbridge_lost_closings_total"))),
                                        ("calls refused instead", lately(turned_away))],
                  unit=COUNT, decimals=0, none=NONE, step=True, fill=20,
                  overrides=[series("unrecorded", color="red"), series("lost closings", color="orange"),
                             series("calls refused instead", color="blue")],
                  shows="Over the last hour at each point: entries left out in `observe` mode, closings that went to "
                        "the log only, and calls that got 503 as nothing may pass unrecorded (`closed` mode).",
                  act="red and orange are gaps in the evidence, with their time. Blue is none: the calls were not "
                      "made.")),
        (8, lines("Ledgers that are not normal", [("{{state}}", f"sum by (state) ({not_normal})")], unit=COUNT,
                  decimals=0, step=True, fill=40, none=NONE,
                  overrides=[series("reserve", color="yellow"), series("full", color="red"),
                             series("poisoned", color="dark-red")],
                  shows="How many ledgers are in reserve, full or poisoned. All zero is as it should be.",
                  act="docs/operations.md, *When the disk is full*. *Evidence by sidecar* says which it is.")),
        (8, lines("Restarts, and sidecars down",
                  [("restarts", f"sum ({RESTARTS.replace('__range', '__rate_interval')})"),
                   ("sidecars down", f"count ({SCRAPED} == 0) or count ({SCRAPED}) * 0")],
                  unit=COUNT, decimals=0, none=NONE, step=True, fill=20, interval="5m",
                  overrides=[series("restarts", color="blue"), series("sidecars down", color="red")],
                  shows="Starts of sidecars, and how many of them Prometheus does not reach.",
                  act="red: calls of that time went nowhere, or around the sidecar. A restart that nobody planned: the "
                      "log and the ledger's `recovered` entry say whether calls were open.")),
    )
    unread = [("unpriced calls", lately(own("claude_unpriced_requests_total"))),
              ("usage anomalies", lately(own("claude_usage_anomalies_total"))),
              ("contents dropped", lately(own("weighbridge_dropped_contents_total")))]
    posts = own("weighbridge_hook_posts_rejected_total")
    board.place(
        7,
        (8, lines("Tool calls with a gap", [("{{state}}", increase(tools, WINDOW, "state"))], unit=COUNT, decimals=0,
                  none="no tool call had a gap", step=True, fill=20,
                  overrides=[series("hook_missing", color="orange"), series("not_executed", color="yellow"),
                             series("unverified", color="dark-red")],
                  shows="Tool calls over the last hour at each point that ran without their hooks, of which nothing "
                        "says that they ran, or that only hooks tell of.",
                  act="see *Tool calls with a gap* on the Agents board for the team and the tool.")),
        (8, lines("Recorded, and not complete", unread, unit=COUNT, decimals=0, none=NONE, step=True, fill=0,
                  shows="Over the last hour at each point: calls without a price, usage that contradicts itself, "
                        "contents that were to be kept and were not.",
                  act="amounts and contents of these calls are missing, their records are not. Say so where you use "
                      "the sums.")),
        (4, lines("Hook posts rejected", [("{{reason}}", increase(posts, WINDOW, "reason"))], unit=COUNT, decimals=0,
                  none="no post was rejected", step=True, fill=20,
                  shows="Posts to the hook intake that were not taken, over the last hour at each point.",
                  act="`token`: an old token, or somebody guesses. `unrecorded`: the ledger could not take them.")),
        (4, lines("Disk free", [("{{instance}}", f"min by (instance) ({own('weighbridge_data_free_bytes')})")],
                  unit=BYTES, none=NONE, least=0,
                  shows="Room on each ledger's disk. A call takes about 1.5 KB.",
                  act="add room, or move sealed segments to an archive. At zero the gaps begin.")),
    )


def board():
    made = Board(
        "weighbridge-audit", "Is the ledger signed up to now, who holds that besides, and what is missing in it.",
        since="now-6h", refresh="30s", variables=filters("instance"), annotations=[restarts()])
    made.place(3, (24, text("What these figures say, and what they do not", ABOUT)))
    trust(made)
    figures(made)
    missing(made)
    signing(made)
    witnesses(made)
    gaps(made)
    return made
