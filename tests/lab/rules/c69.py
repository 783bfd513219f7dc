from polyhead.lab.claim import Verdict


def arm(published=1, decoder=1, off=0, cache=512.0, choices=(0,) * 8):
    return {"published": published, "decoder": decoder, "off": off, "cache": cache, "choices": [list(choices)] * 3}


SECRET = arm(published=0, decoder=0, cache=0.0, choices=(-1,) * 8)
FULL = {"gpt2": arm(cache=36.0), "llama-7b": arm(choices=(1, 1, 1, 1, 0, 0, 0, 1))}

CASES = [
    (Verdict.CONDITION, {**FULL, "GPT-4": SECRET}),
    (Verdict.HOLDS, FULL),
    (Verdict.WRONG, {**FULL, "mistral-7b": arm(decoder=0), "GPT-4": SECRET}),
    (Verdict.OPEN, {**FULL, "falcon-7b": arm(off=1), "GPT-4": SECRET}),
]
