"""The commands of this package at the terminal: `plan`, `workload`, `simulate`, `validate`, `backtest`."""
