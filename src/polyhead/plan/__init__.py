"""What a model will cost, known beforehand.

scaling.py    published laws of loss by size and tokens; sizing.py: a budget → size, tokens, loss, shape
points.py     measured losses of runs and tables; fitting.py: a law of them, by huber.py's many descents at once
cluster.py    devices and links; pieces.py: a model cut up; layout.py: bytes on each device; parallel.py: time of a step;
              choosing.py: the fastest layout; published.py: runs in print beside their plans
charts.py     figures; plot.py: charts of characters; sheet.py: a page
"""
