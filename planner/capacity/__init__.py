"""How many whole replicas hold the service level: the simulated staircase, the fleet over the hours of a week."""
