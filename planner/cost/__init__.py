"""What an option costs in every month and alternative world: one ledger for all kinds, and the time value of money."""
