from polyhead.lab.claim import Verdict

ATTENTION = {"between_share": 0.4, "pairs_without_influence": 0, "pairs": 56, "places_differ": 0.0, "between_features_share": 0.9}
FFN = {"between_share": 0.0, "pairs_without_influence": 56, "pairs": 56, "places_differ": 0.0, "between_features_share": 0.9}

CASES = [
    (Verdict.HOLDS, {"attention": ATTENTION, "feed-forward": FFN}),
    (Verdict.CONDITION, {"attention": {**ATTENTION, "pairs_without_influence": 28}, "feed-forward": FFN}),
    (Verdict.WRONG, {"attention": ATTENTION, "feed-forward": {**FFN, "between_share": 0.1}}),
    (Verdict.OPEN, {"attention": FFN, "feed-forward": FFN}),
]
