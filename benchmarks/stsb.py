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
    a, b = (torch.nn.functional.normalize(model.embed([row[side] for row in rows])) for side in ("sentence1", "sentence2"))
    scores = torch.tensor([float(row["score"]) for row in rows])
    print(json.dumps({"pairs": len(rows), "spearman": round(spearman((a * b).sum(1), scores), 4),
                      "seconds": round(time.perf_counter() - started, 1)}))  # fmt: skip


if __name__ == "__main__":
    main()
