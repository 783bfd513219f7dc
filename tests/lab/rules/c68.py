from polyhead.lab.claim import Verdict


def arm(loss, off=0):
    return {
        "loss": loss, "unigram": 3.2, "off": off, "DistilBERT size": 0.606, "ALBERT size": 0.107, "DistilBERT work": 0.5, "ALBERT work": 1.0,
    }  # fmt: skip


def case(full, shared, short, taught, off=0):
    names = ("4 layers", "4 layers, shared", "2 layers", "2 layers, distilled")
    return {name: arm(loss, off) for name, loss in zip(names, (full, shared, short, taught), strict=True)}


CASES = [
    (Verdict.HOLDS, case([2.0, 2.01, 2.02], [2.1, 2.12, 2.1], [2.05, 2.06, 2.07], [2.02, 2.01, 2.03])),
    (Verdict.WRONG, case(2.0, 2.1, 2.05, 2.0, off=1)),
    (Verdict.CONDITION, case(2.0, 2.1, 2.05, 2.1)),
    (Verdict.OPEN, case(2.0, [2.0, 2.1, 1.9], 2.05, 2.0)),
    (Verdict.OPEN, case(3.1, 3.15, 3.15, 3.1)),
]
