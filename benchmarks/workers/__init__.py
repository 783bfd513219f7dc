"""One program per package under test, run in that package's environment, with orders from a pipe."""
