"""The files of a plan directory: report, CSV, FOCUS, PDF and the manifest with their hashes."""
