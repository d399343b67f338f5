"""What two teams of the made-up fleet keep of their contents.

The last two days have something for each panel of the Privacy board: for a while one team sends
texts that take long, and another pastes keys into its prompts.
"""

from synthetic_series import HOUR, Chance

# team: findings by label in 1,000 blocks. The other teams keep nothing.
FOUND = {
    "support": {"NAME": 520, "DATE": 260, "EMAIL": 130, "ID": 95, "PHONE": 85, "ADDRESS": 60,
                "LOCATION": 50, "URL": 45, "ACCOUNT": 40, "ZIP": 30, "IP": 8, "SSN": 2, "AGE": 1,
                "SECRET": 0.8},
    "research": {"URL": 210, "ID": 190, "NAME": 110, "DATE": 90, "IP": 60, "EMAIL": 25,
                 "CUSTOM": 20, "SECRET": 2},
}
REASONS = ("busy", "failed", "timed_out", "too_long", "unwritten")
BLOCKS_PER_CALL = 3.2
BOUNDS = (0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.5, 1, 5)


class Privacy:
    def __init__(self, out, end):
        self.out, self.end, self.chance = out, end, Chance(13)

    def step(self, labels, calls, now, seconds):
        """What the answered calls of one team and model leave."""
        who = {"instance": labels["instance"], "team": labels["team"]}
        at, before = {"instance": labels["instance"]}, (self.end - now) / HOUR
        for reason in REASONS:
            self.out.add("weighbridge_dropped_contents_total", 0, reason=reason, **at)
        if who["team"] not in FOUND:
            return
        long = who["team"] == "support" and 5.2 < before < 5.6
        pasted = who["team"] == "research" and 7.5 < before < 8.5
        blocks = calls * BLOCKS_PER_CALL * self.slow((*labels.values(), "blocks"), 0.1, seconds)
        lost = {"too_long": 0.0003, "timed_out": 0.05 if long else 0.0}
        for reason, part in lost.items():
            self.out.add("weighbridge_dropped_contents_total", blocks * part, reason=reason, **at)
        blocks *= 1 - sum(lost.values())
        self.out.add("weighbridge_kept_blocks_total", blocks, **who)
        for label, found in FOUND[who["team"]].items():
            usual = self.slow((*who.values(), label), 0.2, seconds)
            found *= 12 if pasted and label == "SECRET" else usual
            self.out.add("claude_redactions_total", blocks * found / 1000, label=label, **who)
        median = 0.0006 * (200 if long else 1)
        median *= self.slow((*at.values(), "takes"), 0.15, seconds)
        self.out.observe("weighbridge_redaction_seconds", BOUNDS, median, blocks, spread=1.3, **at)

    def slow(self, key, spread, seconds):
        return self.chance.wobble(key, spread, seconds, HOUR)
