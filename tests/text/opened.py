"""What transformers, whichever release this Python has, makes of saved tokenizers: one JSON file in, one out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TEXTS = ["the lamp", "  The lamp's light in  the harbour — früher 4,567!", "x = [i]\n\ty", "a <eos></s> b<mask>[SEP]c", "", "e\u0301 灯台",
         "don't they'll\u00a0it's"]  # fmt: skip
ROLES = ("pad", "bos", "eos", "unk", "mask", "cls", "sep")


def describe(folder: str | Path) -> dict[str, Any]:
    """ids, wrapped ids, pairs, text and roles as AutoTokenizer has them."""
    from transformers import AutoTokenizer

    opened = AutoTokenizer.from_pretrained(str(folder))
    pair = opened(TEXTS[0], TEXTS[1])
    plain = [opened.encode(text, add_special_tokens=False) for text in TEXTS]
    return {
        "parsed": plain, "wrapped": [opened.encode(text) for text in TEXTS], "pair": pair["input_ids"],
        "inputs": sorted(pair), "types": pair.get("token_type_ids"), "longest": opened.model_max_length,
        "texts": [opened.decode(ids, skip_special_tokens=True) for ids in plain],
        "roles": {role: getattr(opened, f"{role}_token_id") for role in ROLES},
    }  # fmt: skip


def main() -> None:
    from transformers import __version__

    folders = json.loads(Path(sys.argv[1]).read_text())
    answers = {name: describe(folder) for name, folder in folders.items()}
    Path(sys.argv[2]).write_text(json.dumps({"version": __version__, "answers": answers}))


if __name__ == "__main__":
    main()
