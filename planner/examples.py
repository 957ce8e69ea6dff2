"""Where the files of `examples/` are: beside the code in a clone, inside this package when installed from a wheel."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent
EXAMPLES = next((place for place in (_HERE / "example_files", _HERE.parent / "examples") if place.is_dir()), _HERE)
EXAMPLE_LOG = EXAMPLES / "azure_code_2023.csv"
EXAMPLE_SCENARIO = EXAMPLES / "scenario.toml"
