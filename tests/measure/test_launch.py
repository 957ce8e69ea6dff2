"""Servers that the user's command starts, servers that are found, and what a probe makes of them."""

import json
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from measure.endpoint import Endpoint, parse_endpoint
from measure.launch import launched_server
from measure.probe import is_answering, listening_pid, probe_server
from planner.errors import EngineError, InputError

SCRIPT = """
import http.server, pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[2]).write_text(str(child.pid))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'{"data":[{"id":"m"}]}')
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def free_endpoint() -> Endpoint:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Endpoint(host="127.0.0.1", port=probe.getsockname()[1], is_tls=False, base_path="/v1")


@contextmanager
def json_server(answers: dict[str, tuple[int, object]]) -> Iterator[Endpoint]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, {}))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Endpoint(host="127.0.0.1", port=server.server_address[1], is_tls=False, base_path="/v1")
    finally:
        server.shutdown()
        server.server_close()


def test_a_launched_server_is_taken_down_with_its_children(tmp_path: Path) -> None:
    endpoint = free_endpoint()
    script, child_file = tmp_path / "server.py", tmp_path / "child"
    script.write_text(SCRIPT)
    command = shlex.join([sys.executable, str(script), str(endpoint.port), str(child_file)])
    with launched_server(command, endpoint, tmp_path, ready_timeout_s=30) as server:
        assert is_answering(endpoint)
        assert server.obituary() is None
        assert server.started_s < time.monotonic()
        assert listening_pid(endpoint) in [p.pid for p in psutil.Process(server.process.pid).children(recursive=True)]
        with pytest.raises(InputError, match=r"answers at .* already"), launched_server(command, endpoint, tmp_path):
            pass
    assert not is_answering(endpoint)
    child = int(child_file.read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(child)


def test_a_command_that_fails_says_so_with_its_last_words(tmp_path: Path) -> None:
    command = shlex.join([sys.executable, "-c", "import sys; print('no such model'); sys.exit(7)"])
    with (
        pytest.raises(EngineError, match=r"ended with exit code 7 before it answered .*no such model"),
        launched_server(command, free_endpoint(), tmp_path),
    ):
        pass


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="no program 'vllm-of-nowhere'"),
        launched_server("vllm-of-nowhere serve", free_endpoint(), tmp_path),
    ):
        pass


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    command = shlex.join([sys.executable, "-c", "import time; time.sleep(60)"])
    with (
        pytest.raises(EngineError, match="did not answer"),
        launched_server(command, free_endpoint(), tmp_path, ready_timeout_s=0.5),
    ):
        pass


def test_probe_reads_a_vllm_like_model_list() -> None:
    listing = {"data": [{"id": "llama", "owned_by": "vllm", "max_model_len": 4096}]}
    with json_server({"/v1/models": (200, listing)}) as endpoint:
        facts = probe_server(endpoint, None)
    assert (facts.name, facts.model, facts.context_tokens, facts.slots) == ("vllm", "llama", 4096, None)
    assert facts.pid == os.getpid()


def test_probe_reads_llama_cpp_s_properties() -> None:
    props = {"total_slots": 4, "build_info": "b9", "default_generation_settings": {"n_ctx": 2048}}
    answers: dict[str, tuple[int, object]] = {"/v1/models": (200, {"data": [{"id": "x"}]}), "/props": (200, props)}
    with json_server(answers) as endpoint:
        facts = probe_server(endpoint, "x")
    assert (facts.name, facts.version, facts.slots, facts.context_tokens) == ("llama.cpp server", "b9", 4, 2048)


def test_probe_refuses_in_one_sentence() -> None:
    with pytest.raises(EngineError, match="no server answers"):
        probe_server(free_endpoint(), None)
    with json_server({"/v1/models": (401, {})}) as endpoint, pytest.raises(EngineError, match="OPENAI_API_KEY"):
        probe_server(endpoint, None)
    two = {"data": [{"id": "a"}, {"id": "b"}]}
    with json_server({"/v1/models": (200, two)}) as endpoint:
        with pytest.raises(InputError, match=r"2 models .a, b.; name one with --model"):
            probe_server(endpoint, None)
        with pytest.raises(InputError, match="does not serve 'c'; it serves a, b"):
            probe_server(endpoint, "c")
    with json_server({}) as endpoint, pytest.raises(InputError, match=r"no OpenAI-compatible server .*HTTP 404.*/v1"):
        probe_server(endpoint, None)
    none: dict[str, tuple[int, object]] = {"/v1/models": (200, {"data": []})}
    with json_server(none) as endpoint, pytest.raises(InputError, match="serves no model; load one"):
        probe_server(endpoint, None)
    with json_server({"/v1/models": (503, {})}) as endpoint, pytest.raises(EngineError, match="HTTP 503; wait"):
        probe_server(endpoint, None)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("localhost:11434", "http://localhost:11434/v1"),
        ("https://example.org/api/v1/", "https://example.org:443/api/v1"),
    ],
)
def test_addresses(text: str, url: str) -> None:
    assert parse_endpoint(text).url == url


@pytest.mark.parametrize("text", ["ftp://x", "http://", "http://x:99999999", "http://x:port"])
def test_bad_addresses(text: str) -> None:
    with pytest.raises(InputError, match="no server address"):
        parse_endpoint(text)


def test_the_api_key_never_shows() -> None:
    endpoint = parse_endpoint("http://x", api_key="secret-key")
    assert "secret-key" not in repr(endpoint)
    assert endpoint.headers()["Authorization"] == "Bearer secret-key"
