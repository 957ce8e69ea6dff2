"""What the measuring commands refuse before they do anything."""

import pytest
from typer.testing import CliRunner

from measure.cli import app


@pytest.mark.parametrize("port", ["0", "99999"])
def test_a_port_out_of_range_is_a_usage_error(port: str) -> None:
    done = CliRunner().invoke(app, ["measure", "--synthetic", "Tiny-1M", "--port", port])
    assert done.exit_code == 2
    assert "--port" in done.stderr
