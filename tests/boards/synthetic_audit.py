"""How the made-up fleet's ledgers are signed, and who holds that besides.

Now all is well. In the last hours one witness was away for a while, the other one was not reached once or
twice, and one sidecar signed late because its disk was slow.
"""

from synthetic_series import HOUR, Chance

# witness: seconds that it usually takes to hold the newest checkpoint
WITNESSES = {"auditor": 1.4, "worm-share": 0.5}
REASONS = ("inconsistent", "invalid", "refused", "unreachable")
AWAY = ("sidecar-a:9484", "auditor", 2.0, 1.6)  # hours before the end
LATE = ("sidecar-b:9484", 4.2, 4.16)
RETRY_S = 60


class Audit:
    def __init__(self, out, end):
        self.out, self.end, self.chance = out, end, Chance(17)
        self.signed = {}

    def step(self, instance, entries, now, seconds):
        """`entries` is what the ledger holds."""
        out, at, before = self.out, {"instance": instance}, (self.end - now) / HOUR
        who, since, until = LATE
        late = (since - before) * HOUR if instance == who and until < before < since else 0
        behind = round(1.2 * self.chance.wobble((instance, "behind"), 0.5, seconds) + late / 4)
        lag = late or behind * 0.25
        self.signed[instance] = max(self.signed.get(instance, 0), entries - behind)
        out.set("weighbridge_audit_checkpoint_size", self.signed[instance], **at)
        out.set("weighbridge_audit_checkpoint_lag_seconds", lag, **at)
        out.add("weighbridge_audit_checkpoint_errors_total", 0, **at)
        for witness, usual in WITNESSES.items():
            self.witness(instance, witness, usual, before, seconds)

    def witness(self, instance, witness, usual, before, seconds):
        out, labels = self.out, {"instance": instance, "witness": witness}
        *who, since, until = AWAY
        away = (since - before) * HOUR if who == [instance, witness] and until < before < since else 0
        lag = away or usual * self.chance.wobble((instance, witness), 0.4, seconds)
        out.set("weighbridge_audit_witness_lag_seconds", lag, **labels)
        missed = 3.4 < before < 3.42 and witness == "auditor"
        for reason in REASONS:
            failed = reason == "unreachable" and (away or missed)
            out.add("weighbridge_audit_witness_errors_total", seconds / RETRY_S if failed else 0,
                    reason=reason, **labels)
