"""What people look at: an architecture drawn in plain text, and a run's folder as one page.

drawing.py  draw(spec): stack by stack, kind by kind, in text
chart.py    a line chart as SVG
page.py     write_report(folder): everything a run left behind → report.html
"""

from .drawing import cache_bytes, draw
from .page import write_report

__all__ = ["cache_bytes", "draw", "write_report"]
