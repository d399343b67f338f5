"""Samples of the made-up fleet, and the chance that moves them."""

import math
import random

HOUR, DAY = 3600, 86400
CALL_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)


class Series:
    """All samples of the file, by family and labels."""

    def __init__(self):
        self.now, self.kinds, self.values, self.lines = 0, {}, {}, {}

    def add(self, family, by=1.0, /, kind="counter", **labels):
        key = (family, tuple(labels.items()))
        self.kinds[family] = kind
        self.values[key] = self.values.get(key, 0.0) + by

    def set(self, family, value, /, **labels):
        self.kinds[family] = "gauge"
        self.values[family, tuple(labels.items())] = float(value)

    def observe(self, family, bounds, median, count, /, spread=0.6, **labels):
        """`count` values around a median, log-normal, spread over the buckets without sampling."""
        self.kinds[family] = "histogram"
        for bound in (*bounds, math.inf):
            share = 1.0 if bound == math.inf else phi(math.log(bound / median) / spread)
            le = "+Inf" if bound == math.inf else f"{bound:g}"
            key = (family + "_bucket", (*labels.items(), ("le", le)))
            self.values[key] = self.values.get(key, 0.0) + count * share
        for suffix, by in (("_sum", count * median * math.exp(spread**2 / 2)), ("_count", count)):
            key = (family + suffix, tuple(labels.items()))
            self.values[key] = self.values.get(key, 0.0) + by

    def forget(self, instance):
        """A restart: everything that was counted by this sidecar begins again."""
        mine = [key for key in self.values if ("instance", instance) in key[1]]
        for key in mine:
            del self.values[key]

    def scrape(self):
        for (name, labels), value in self.values.items():
            text = ",".join(f'{k}="{v}"' for k, v in labels)
            self.lines.setdefault(name, []).append(f"{name}{{{text}}} {value:.10g} {self.now}\n")

    def write(self, file):
        for family, kind in sorted(self.kinds.items()):
            stem = family.removesuffix("_total") if kind == "counter" else family
            file.write(f"# TYPE {stem} {kind}\n")
            suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            for suffix in suffixes:
                file.writelines(self.lines.pop(family + suffix, ()))
        file.write("# EOF\n")


def phi(z):
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


class Chance:
    """Factors around one that move slowly: what happens now resembles what just happened."""

    def __init__(self, seed):
        self.random, self.drift = random.Random(seed), {}

    def wobble(self, key, spread, seconds, memory=1500):
        keep = math.exp(-seconds / memory)
        fresh = self.random.gauss(0, spread) * math.sqrt(1 - keep * keep)
        self.drift[key] = self.drift.get(key, 0.0) * keep + fresh
        return math.exp(self.drift[key])
