"""What people look at: an architecture drawn in plain text, and a run's folder as one page.

drawing.py    draw(spec): the forward pass, stack by stack, kind by kind; steps.py has the steps, words.py the words
counting.py   parameters by part and kind of layer, bytes of cache
differing.py  differences(a, b): what tells two architectures apart, in the field's words
chart.py      a line chart as SVG
figures.py    how figures look, on a light and a dark page
page.py       write_report(folder): everything a run left behind → report.html
"""

from .counting import cache_bytes
from .drawing import draw
from .page import write_report

__all__ = ["cache_bytes", "draw", "write_report"]
