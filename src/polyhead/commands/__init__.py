"""What the verbs of the command line do, a file each; cli.py only names them and reads their arguments.

output.py     words and JSON, to a terminal or a pipe
progress.py   the status line of a training run
training.py   train: configuration from words, the run, what it says at the end
rehearsal.py  train --dry-run: counts, memory and one real step
demo.py       demo: a corpus from this Python's own library
evaluating.py eval: loss, accuracy, exact match, BLEU
answering.py  run and chat
showing.py    show: an architecture with its counts
planning_size.py, planning_fit.py, planning_parallel.py  plan size, fit, parallel
checkup.py    doctor
lab.py        lab: the claims, what was measured of them, and measuring
quizzing.py   lab quiz: the book's questions
exercising.py lab exercise and lab grade
booking.py    lab report: the book
"""
