from polyhead.lab.claim import Verdict


def _model(ratio, textbook, total=1000, published=1000):
    return {"ratio": ratio, "textbook": textbook, "total": total, "published": published}


_GPT, _BERT, _LLAMA = _model(1.001, 1), _model(1.002, 1), _model(1.005, 0)
CASES = [
    (Verdict.CONDITION, {"gpt2": _GPT, "bert-base": _BERT, "llama-7b": _LLAMA, "mistral-7b": _model(13 / 12, 0)}),
    (Verdict.HOLDS, {"gpt2": _GPT, "bert-base": _BERT, "llama-7b": _LLAMA}),
    (Verdict.WRONG, {"gpt2": _model(1.3, 1), "bert-base": _BERT, "llama-7b": _LLAMA}),
    (Verdict.OPEN, {"gpt2": _model(1.001, 1, total=999), "bert-base": _BERT, "mistral-7b": _model(13 / 12, 0)}),
]
