"""Step times from measurements of one replica: fitted, refined by simulation, published, and how wrong they are."""
