from polyhead.lab.claim import Verdict

MODEL = {"mass_error": 1e-15, "best_error": 0.0, "sampling_distance": 0.02}
BPE = {"mean_f1": [0.60, 0.62, 0.58]}

CASES = [
    (Verdict.HOLDS, {"unigram": {**MODEL, "mean_f1": [0.80, 0.78, 0.82]}, "BPE": BPE}),
    (Verdict.CONDITION, {"unigram": {**MODEL, "mean_f1": [0.60, 0.58, 0.61]}, "BPE": BPE}),
    (Verdict.WRONG, {"unigram": {**MODEL, "mass_error": 0.1, "mean_f1": [0.80, 0.78, 0.82]}, "BPE": BPE}),
]
