from polyhead.lab.claim import Verdict


def arm(share: float, packed: float) -> dict:
    return {
        "longer_share": share, "first_longer": 5, "ties_share": 0.3, "changed_by_tie_rule": 0.02, "over_fewest": 0.02,
        "characters_per_token": [[1.0, packed]] * 3,
    }  # fmt: skip


LITERAL = arm(0.0, 1.6)

CASES = [
    (Verdict.WRONG, {"symbol pairs": arm(0.9, 2.6), "character pairs only": LITERAL}),
    (Verdict.CONDITION, {"symbol pairs": arm(0.2, 2.6), "character pairs only": LITERAL}),
    (Verdict.HOLDS, {"symbol pairs": arm(0.0, 2.6), "character pairs only": LITERAL}),
]
