"""Sidecar health: can it record, does everything that follows keep up, what does it use."""

from grafana import (BYTES, COUNT, DAYS, GREEN, PER_MINUTE, PER_SECOND, RED, SECONDS, SHARE, YELLOW, Board,
                     column, increase, lines, per_minute, pick, rate, series, stat, steps, table)
from shared import filters, restarts

NONE = "no sidecar tells this"
ZERO_IS_GOOD = steps(GREEN, (1, RED))


def own(family, *matchers):
    return pick(family, *matchers, by=("instance",))


NOT_NORMAL = own("weighbridge_ledger_state", 'state!="normal"')


def process(family):
    """The process families are not ours alone: only processes that are a sidecar count."""
    return f"{own(family)} and on (instance) {own('weighbridge_build_info')}"


def record(board):
    bad = f"sum ({NOT_NORMAL})"
    p99 = f"histogram_quantile(0.99, {rate(own('weighbridge_append_seconds_bucket'), 'le')}) >= 0"
    checked = own("weighbridge_pricing_checked_timestamp_seconds")
    board.row("Can it record?")
    board.place(
        4,
        (3, stat("Sidecars", f"count ({own('weighbridge_build_info')})", unit=COUNT, decimals=0, none=NONE,
                 shows="Sidecars that were scraped.",
                 act="fewer than you run: see the alert WeighbridgeDown.")),
        (3, stat("Bad ledgers", bad, unit=COUNT, decimals=0, none=NONE, thresholds=ZERO_IS_GOOD,
                 shows="Ledgers in reserve, full or poisoned. In `closed` mode new calls get 503 when it "
                       "is full or poisoned.",
                 act="free disk space; `poisoned` needs a look at the disk and a restart "
                     "(docs/operations.md).")),
        (3, stat("Lost closings", increase(own("weighbridge_lost_closings_total")), unit=COUNT, decimals=0,
                 none=NONE, thresholds=ZERO_IS_GOOD,
                 shows="Closings that could not be written, in the range. Each stands whole in the log.",
                 act="save the log of standard error now: it holds the only copy.")),
        (3, stat("Unrecorded", increase(own("weighbridge_unrecorded_total")), unit=COUNT, decimals=0,
                 none=NONE, thresholds=ZERO_IS_GOOD,
                 shows="Entries left out in `observe` mode because the ledger could not be written.",
                 act="spend passed without a record: free the disk, or choose `closed` mode.")),
        (3, stat("Append, p99", p99, unit=SECONDS, decimals=1, none="no entry was appended",
                 thresholds=steps(GREEN, (0.005, YELLOW), (0.05, RED)),
                 shows="Time to append one entry on the path of a call. With `durability = \"power\"` the "
                       "wait for the disk is in it.",
                 act="a slow disk: look at its waits, and whether another process writes to it.")),
        (3, stat("Oldest unsynced", f"max ({own('weighbridge_ledger_unsynced_seconds')})", unit=SECONDS,
                 decimals=1, none=NONE, thresholds=steps(GREEN, (5, YELLOW), (30, RED)),
                 shows="Age of the oldest entry that no sync covers: what a power cut would lose.",
                 act="the disk does not finish its syncs; see *Last sync*.")),
        (3, stat("Reserve", f"min ({own('weighbridge_ledger_reserve_bytes')})", unit=BYTES, decimals=1,
                 none=NONE, thresholds=steps(RED, (8 * 2**20, GREEN)),
                 shows="The smallest room that is set aside for a full disk. 10 MiB when untouched.",
                 act="it is in use: the disk is full. Free 11 MiB and it is made anew.")),
        (3, stat("Prices compared", f"(time() - min ({checked})) / 86400", unit=DAYS, decimals=1, none=NONE,
                 thresholds=steps(GREEN, (20, YELLOW), (30, RED)),
                 shows="Age of the oldest pricing table in force: when its prices were last compared with "
                       "their sources.",
                 act="update the pricing table (docs/pricing.md); old prices make wrong amounts.")),
    )


def sidecars(board):
    version = f"max by (instance, version) ({own('weighbridge_build_info')})"
    mode = f"max by (instance, mode, durability) ({own('weighbridge_ledger_mode')})"
    prices = ("max by (instance, pricing) (label_replace("
              f"{own('weighbridge_pricing_info')}, \"pricing\", \"$1\", \"version\", \"(.*)\"))")
    state = f"max by (instance, state) ({own('weighbridge_ledger_state')} == 1)"
    columns = [
        (None, version), (None, mode), (None, prices), (None, state),
        ("Up for", f"(time() - max by (instance) ({process('process_start_time_seconds')})) / 86400"),
        ("Entries", f"max by (instance) ({own('weighbridge_ledger_entries')})"),
        ("Disk free", f"min by (instance) ({own('weighbridge_data_free_bytes')})"),
        ("Reserve", f"min by (instance) ({own('weighbridge_ledger_reserve_bytes')})"),
        ("Memory", f"max by (instance) ({process('process_resident_memory_bytes')})"),
    ]
    keys = {"instance": "Sidecar", "state": "Ledger", "version": "Version", "mode": "Mode",
            "durability": "Durability", "pricing": "Prices"}
    looks = [column("Sidecar", width=180),
             *(column(name, width=125) for name in list(keys.values())[1:]),
             column("Up for", DAYS, 130, 2), column("Entries", COUNT, 130),
             column("Disk free", BYTES, 130, 1), column("Reserve", BYTES, 130, 1),
             column("Memory", BYTES, 130, 1)]
    board.place(5, (24, table(
        "Sidecars", keys, columns, unit=COUNT, sort=("Sidecar", False), looks=looks, none=NONE,
        shows="What runs where: versions, the ledger's state and mode, and what it has left.",
        act="versions or prices that differ between sidecars price the same call differently: bring "
            "them to one. A row that is missing is a sidecar that is down.")))


def ledger(board):
    buckets = rate(own("weighbridge_append_seconds_bucket"), "le, instance")
    state = f"sum by (state) ({NOT_NORMAL})"
    lag = f"max by (instance) ({own('weighbridge_ledger_entries')} - {own('weighbridge_ledger_synced_entries')})"
    board.row("Ledger")
    board.place(
        8,
        (8, lines("Append, p99 by sidecar",
                  [("{{instance}}", f"histogram_quantile(0.99, {buckets}) >= 0")],
                  unit=SECONDS, none="no entry was appended",
                  shows="Time to append one entry, 99 of 100. As fine as its buckets (docs/metrics.md).",
                  act="microseconds are usual. Milliseconds: the disk is slow or shared.")),
        (8, lines("Behind the disk",
                  [("{{instance}}, seconds", f"max by (instance) ({own('weighbridge_ledger_unsynced_seconds')})"),
                   ("{{instance}}, last sync", f"max by (instance) ({own('weighbridge_ledger_sync_seconds')})")],
                  unit=SECONDS, none=NONE,
                  shows="Age of the oldest entry that no sync covers, and how long the last sync took.",
                  act="syncs that take longer and longer: the disk fails or is overloaded.")),
        (8, lines("Entries not yet synced", [("{{instance}}", lag)], unit=COUNT, none=NONE, decimals=0,
                  shows="Entries in the ledger that are not yet safe from a power cut.",
                  act="it grows and does not come back: syncs have stopped; the log says why.")),
    )
    board.place(
        7,
        (8, lines("Ledgers that are not normal", [("{{state}}", state)], unit=COUNT, step=True, fill=40,
                  none=NONE,
                  overrides=[series("reserve", color="yellow"), series("full", color="red"),
                             series("poisoned", color="dark-red")],
                  shows="How many ledgers are in reserve, full or poisoned. All zero is as it should be.",
                  act="docs/operations.md, *When the disk is full*; the table above says which it is.")),
        (8, lines("Disk free", [("{{instance}}", f"min by (instance) ({own('weighbridge_data_free_bytes')})")],
                  unit=BYTES, none=NONE, least=0,
                  shows="Free room on the data directory's disk. A call takes about 1.5 KB.",
                  act="add room, or move sealed segments to an archive. At zero new calls get 503.")),
        (8, lines("Entries per second",
                  [("{{instance}}", rate(own("weighbridge_append_seconds_count"), "instance"))],
                  unit=PER_SECOND, none=NONE,
                  shows="Entries appended per second: two a call, and a few of its own.",
                  act="zero while calls pass: look at the ledger's state.")),
    )


def followers(board):
    items, posts = own("weighbridge_otlp_items_total"), own("weighbridge_otlp_requests_total")
    board.row("What follows the ledger")
    board.place(
        8,
        (6, lines("Follower lag",
                  [("{{follower}}, {{instance}}",
                    f"max by (follower, instance) ({own('weighbridge_follower_lag_seconds')})")],
                  unit=SECONDS, none="no follower runs", soft_max=1,
                  shows="How long ago the index and the OTLP export were at the ledger's end.",
                  act="index: reports wait for it; look at the disk. otlp: the collector is slow or away.")),
        (6, lines("Entries to take in",
                  [("{{follower}}, {{instance}}",
                    f"max by (follower, instance) ({own('weighbridge_follower_lag_entries')})")],
                  unit=COUNT, none="no follower runs", decimals=0,
                  shows="Entries that a follower has not taken in. Nothing is lost: the ledger keeps them.",
                  act="it only grows: the follower stands still; its error is in the log.")),
        (6, lines("OTLP items", [("{{signal}}, {{result}}", per_minute(items, "signal, result"))],
                  unit="suffix:/min", none="OTLP export is off, has sent nothing",
                  shows="Spans, metric points and log records that the collector took or rejected.",
                  act="`rejected`: the collector says why in its answer, and our log repeats it.")),
        (6, lines("OTLP requests", [("{{signal}}, {{result}}", per_minute(posts, "signal, result"))],
                  unit=PER_MINUTE, none="OTLP export is off, has sent nothing",
                  shows="Requests to the collector. `failed` ones are tried again.",
                  act="only `failed`: wrong address, certificate or credential, or the collector is down.")),
    )
    sent, waits = own("weighbridge_notifications_total"), own("weighbridge_notifications_pending")
    board.place(
        7,
        (8, lines("Notifications in the last hour",
                  [("{{channel}}, {{result}}", increase(sent, "1h", "channel, result"))],
                  unit=COUNT, none="no notification was due",
                  shows="Budget messages by channel. `failed` ones are tried again, `dropped` ones are not.",
                  act="`dropped`: nobody was told. Check the channel's address, then the budget itself.")),
        (8, lines("Notifications that wait", [("{{channel}}", f"sum by (channel) ({waits})")], unit=COUNT,
                  none="no channel is set up", decimals=0,
                  shows="Messages that are still to be delivered.",
                  act="more than a few for minutes: the channel does not answer.")),
        (8, lines("Left out in the last hour",
                  [("log lines left out, {{level}}",
                    increase(own("weighbridge_log_suppressed_total"), "1h", "level")),
                   ("labels counted as other",
                    increase(own("weighbridge_label_overflow_total"), "1h"))],
                  unit=COUNT, none=NONE,
                  shows="Log lines that the rate limit left out, and observations counted under `other` "
                        "because a label had too many values.",
                  act="overflow: more than 200 teams or models; figures per team are incomplete here, "
                      "reports are not.")),
    )


def uses(board):
    fds = f"({process('process_open_fds')}) / ({process('process_max_fds')})"
    cpu = (f"rate({own('process_cpu_seconds_total')}[$__rate_interval]) "
           f"and on (instance) {own('weighbridge_build_info')}")
    board.row("What it uses")
    board.place(
        7,
        (8, lines("Memory", [("{{instance}}", process("process_resident_memory_bytes"))], unit=BYTES,
                  none=NONE, least=0,
                  shows="Resident memory. Every buffer has a bound, so it follows the open exchanges.",
                  act="it grows while open exchanges do not: report it, with the graph.")),
        (8, lines("Processor", [("{{instance}}", cpu)], unit=SHARE, none=NONE, least=0,
                  shows="Share of one processor core.",
                  act="near 100 %: add a sidecar beside it (docs/operations.md, *Several sidecars*).")),
        (8, lines("File descriptors", [("{{instance}}", fds)], unit=SHARE, none=NONE, least=0,
                  shows="Open descriptors of those allowed. Each open exchange takes two.",
                  act="above 80 %: raise the limit of the service.")),
    )


def board():
    made = Board(
        "weighbridge-health", "Can the sidecars record, does everything keep up, and what do they use.",
        since="now-6h", refresh="30s", variables=filters("instance"),
        annotations=[restarts()])
    record(made)
    sidecars(made)
    ledger(made)
    followers(made)
    uses(made)
    return made
