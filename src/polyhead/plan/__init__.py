"""What a model will cost, known beforehand.

model.py      plan(spec, Asked(…)): one model on one device, as one JSON object; telling.py: in words; pictures.py: as a page
counting.py   12·d² and its corrections, FLOPs forward and back, what a kernel may skip; room.py: what fits
timing.py     a training step, kernel by kernel; writing.py: a token more, and its roofline
device.py     what it runs on: named (devices.py), from a file, or this machine (measure.py)
scaling.py    published laws of loss by size and tokens; sizing.py: a budget → size, tokens, loss, shape
points.py     measured losses of runs and tables; fitting.py: a law of them, by huber.py's many descents at once
cluster.py    devices and links; pieces.py: a model cut up; layout.py: bytes on each device; parallel.py: time of a step;
              choosing.py: the fastest layout; published.py: runs in print beside their plans
charts.py     figures; plot.py: charts of characters; sheet.py: a page
"""
