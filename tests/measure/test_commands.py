"""What the measuring commands refuse before they do anything."""

import pytest
from typer.testing import CliRunner

from measure.cli import app
from planner.errors import InputError


@pytest.mark.parametrize("port", ["0", "99999"])
def test_a_port_out_of_range_is_a_usage_error(port: str) -> None:
    done = CliRunner().invoke(app, ["measure", "--synthetic", "Tiny-1M", "--port", port])
    assert done.exit_code == 2
    assert "--port" in done.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--concurrency", "99999999999"),
        ("--input-tokens", "9" * 21),
        ("--output-tokens", "9" * 21),
        ("--duration", "inf"),
    ],
)
def test_a_size_that_can_only_be_a_slip_is_refused(option: str, value: str) -> None:
    done = CliRunner().invoke(app, ["measure", "--synthetic", "Tiny-1M", option, value])
    assert isinstance(done.exception, InputError | SystemExit)
    assert option in f"{done.stderr} {done.exception}"
