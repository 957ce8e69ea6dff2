"""The version that every file this project writes carries."""

from importlib.metadata import version

VERSION = version("breakeven")
