from polyhead.lab.claim import Verdict


def _decoder(cross, total=1000, published=1000):
    return {"cross_attention": cross, "total": total, "published": published}


def _arms(*gpts, controls=(100, 100), total=1000):
    names = ("GPT-2", "GPT-3", "LLaMA-7B")
    arms = {name: _decoder(cross, total) for name, cross in zip(names, gpts, strict=True)}
    arms |= {name: _decoder(cross) for name, cross in zip(("BART decoder", "T5 decoder"), controls, strict=True)}
    return arms | {"GPT-2 with cross-attention": _decoder(300, 1300)}


CASES = [
    (Verdict.WRONG, _arms(0, 0, 0)),
    (Verdict.HOLDS, _arms(9, 9, 9)),
    (Verdict.CONDITION, _arms(0, 9, 0)),
    (Verdict.OPEN, _arms(0, 0, 0, controls=(100, 0))),
    (Verdict.OPEN, _arms(0, 0, 0, total=999)),
]
