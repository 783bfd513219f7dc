"""How well a sentence-embedding model ranks likeness: Spearman's correlation of cosines with people's scores (STS-B).

    python benchmarks/stsb.py FOLDER data/stsb/dev.tsv.gz

FOLDER: a sentence-transformers folder. The table is tab-separated with columns score, sentence1, sentence2.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import time
from pathlib import Path

import torch
from torch import Tensor

import polyhead as ph
from polyhead.nn import Tokens


@torch.no_grad()
def embed(model: ph.Model, sentences: list[str], batch: int = 32) -> Tensor:
    """(n, D): the model's first head over each sentence, [CLS] and [SEP] around it; like lengths share a batch."""
    tokenizer, room = model.tokenizer, model.spec.context - 2
    rows = [[tokenizer.cls, *tokenizer.encode(s)[:room], tokenizer.sep] for s in sentences]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    parts = []
    for start in range(0, len(order), batch):
        some = [torch.tensor(rows[i]) for i in order[start : start + batch]]
        ids = torch.nn.utils.rnn.pad_sequence(some, batch_first=True, padding_value=tokenizer.pad)
        lengths = torch.tensor([len(row) for row in some]).unsqueeze(1)
        columns = torch.arange(ids.shape[1]).expand_as(ids)
        parts.append(model.net(Tokens(ids, columns.masked_fill(columns >= lengths, -1), padded=True)))
    found = torch.cat(parts)
    return found[torch.tensor(order).argsort()]


def ranks(x: Tensor) -> Tensor:
    """1 … n in fp64, equal values sharing the mean of their ranks."""
    _, group, counts = x.unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    return (ends - (counts.double() - 1) / 2)[group]


def spearman(a: Tensor, b: Tensor) -> float:
    """Pearson's correlation of the ranks."""
    return float(torch.corrcoef(torch.stack([ranks(a), ranks(b)]))[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("pairs", type=Path, help="dev.tsv or dev.tsv.gz")
    asked = parser.parse_args()
    model, opener = ph.load(asked.folder), gzip.open if asked.pairs.suffix == ".gz" else open
    with opener(asked.pairs, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    started = time.perf_counter()
    a, b = (torch.nn.functional.normalize(embed(model, [row[side] for row in rows])) for side in ("sentence1", "sentence2"))
    scores = torch.tensor([float(row["score"]) for row in rows])
    print(json.dumps({"pairs": len(rows), "spearman": round(spearman((a * b).sum(1), scores), 4),
                      "seconds": round(time.perf_counter() - started, 1)}))  # fmt: skip


if __name__ == "__main__":
    main()
