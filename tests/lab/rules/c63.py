from polyhead.lab.claim import Verdict


def _arm(crossing, characters=3.0):
    return {"crossing": crossing, "characters_per_token": characters, "lossless": 1.0}


def _arms(gpt2, unigram, bpe, unsplit=(0.2, 0.22, 0.25)):
    return {
        "byte-level BPE (GPT-2)": _arm(gpt2), "byte-level BPE, unsplit": _arm(list(unsplit), 4.0),
        "SentencePiece, unigram": _arm(unigram), "SentencePiece, BPE": _arm(bpe),
    }  # fmt: skip


CASES = [
    (Verdict.WRONG, _arms(0.0, 0.0, 0.0)),
    (Verdict.HOLDS, _arms(0.2, 0.2, 0.2)),
    (Verdict.CONDITION, _arms(0.0, 0.2, 0.2)),
    (Verdict.OPEN, _arms(0.0, 0.0, 0.0, unsplit=(0.0, 0.01, 0.0))),
]
