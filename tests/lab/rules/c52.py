from polyhead.lab.claim import Verdict


def arm(right, units=2.0, one=0.02, done=1.0, every=0.01):
    return {
        "right": right, "without it": 0.03, "units of a fact": units, "one value, done": done, "one value, lost": one,
        "all values, done": 1.0, "all values, lost": every,
    }  # fmt: skip


def case(shares, **last):
    return {f"{n} units": arm(share, **last) for n, share in zip((8, 16, 32, 64, 128), shares, strict=True)}


GROWS = (0.1, 0.2, 0.4, 0.8, 1.0)

CASES = [
    (Verdict.HOLDS, case(GROWS)),
    (Verdict.CONDITION, case(GROWS, units=[5.0, 6.0, 5.0], one=0.3)),
    (Verdict.OPEN, case(GROWS, units=6.0, one=0.3, every=0.4)),
    (Verdict.WRONG, case((0.91, 0.92, 0.92, 0.93, 0.94))),
    (Verdict.OPEN, case((0.1, 0.15, 0.2, 0.3, 0.5))),
]
