"""What happens to every request on a number of replicas: the compiled engine, its prefix cache, its step cost."""
