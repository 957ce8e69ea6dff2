"""What the costs say: break-even over volume, what each assumption moves, the spread of all of them at once."""
