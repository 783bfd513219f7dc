"""python -m polyhead.lab.book [FOLDER]: the Markdown book from the results that come with polyhead; left out: docs/lab."""

from __future__ import annotations

import sys
from pathlib import Path

from ..results import SHIPPED
from .gather import gather
from .markdown import write_markdown

DOCS = Path(__file__).parents[4] / "docs" / "lab"

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS
    print(f"{len(write_markdown(gather(SHIPPED), folder))} pages in {folder}")
