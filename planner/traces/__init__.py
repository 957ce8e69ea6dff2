"""Request logs and named workloads into a `Workload`: formats, tokens of texts, time zones, shared prefixes."""
