"""Options made of several: machines of different offers, and own machines with an API beside or before them."""
