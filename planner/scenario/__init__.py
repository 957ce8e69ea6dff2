"""The question: the scenario file, and everything it names read into the inputs of a plan."""
