from polyhead.lab.claim import Verdict


def arm(before, after, loss=1.2):
    return {"before": before, "after": after, "one-hot gap": 0.0, "loss": loss, "least": 1.1}


NONE = arm(0.1, [0.12, 0.1, 0.14])

CASES = [
    (Verdict.CONDITION, {"classes in the text": arm([0.1, 0.12, 0.11], [0.98, 0.97, 1.0], 3.6), "none": NONE}),
    (Verdict.WRONG, {"classes in the text": arm(0.1, 0.15), "none": NONE}),
    (Verdict.HOLDS, {"classes in the text": arm(0.9, 0.95), "none": NONE}),
    (Verdict.OPEN, {"classes in the text": arm(0.1, 0.95), "none": arm(0.1, 0.12, loss=4.0)}),
    (Verdict.OPEN, {"classes in the text": arm(0.1, 0.6), "none": NONE}),
]
