"""Results of other load generators, as profiles.

The parsers stand here and not beside the measuring agent because they need no hardware, no clock and no network: bytes
in, a profile out. The dashboard and `breakeven validate` use them as well, and neither may reach into `measure`.
"""
