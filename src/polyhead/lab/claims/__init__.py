"""One file per claim; each ends in `CLAIM = Claim(...)`."""
