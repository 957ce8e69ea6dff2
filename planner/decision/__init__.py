"""The answer: which options can serve, what each comes to, and the verdict with its cautions in words."""
