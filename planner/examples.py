"""Where the files of `examples/` are: beside the code in a clone, inside this package when installed from a wheel."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent
EXAMPLES = next((place for place in (_HERE / "example_files", _HERE.parent / "examples") if place.is_dir()), _HERE)
EXAMPLE_LOG = EXAMPLES / "azure_code_2023.csv"
EXAMPLE_SCENARIO = EXAMPLES / "scenario.toml"


def newest_scenario() -> Path | None:
    """The scenario to open where none is named: the newest under `runs/`, else the example, else none."""
    runs = sorted(Path("runs").glob("*/scenario.toml"), key=lambda file: file.stat().st_mtime, reverse=True)
    return next((file for file in (*runs, EXAMPLE_SCENARIO) if file.is_file()), None)
