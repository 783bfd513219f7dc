"""python -m polyhead: the command line, also under torchrun."""

import sys

from polyhead.cli import main

sys.exit(main())
