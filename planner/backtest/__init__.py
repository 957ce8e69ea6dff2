"""A plan held against what was really used and paid."""
