"""Makes the cases of this folder (`plan_case`, `cost_case`) importable from the folders below it."""
