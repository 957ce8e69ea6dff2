"""The dashboard: one file a page, and what they share. Pages draw; every number comes from the planner."""
