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
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
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
def json_server(answers: dict[str, tuple[int, object]], texts: dict[str, str] | None = None) -> Iterator[Endpoint]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, {}))
            self.send_response(status)
            self.end_headers()
            text = (texts or {}).get(self.path)
            self.wfile.write((json.dumps(body) if text is None else text).encode())

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


def test_a_failure_within_takes_the_launched_server_down_too(tmp_path: Path) -> None:
    endpoint = free_endpoint()
    script, child_file = tmp_path / "server.py", tmp_path / "child"
    script.write_text(SCRIPT)
    command = shlex.join([sys.executable, str(script), str(endpoint.port), str(child_file)])
    with pytest.raises(KeyboardInterrupt), launched_server(command, endpoint, tmp_path, ready_timeout_s=30):
        raise KeyboardInterrupt
    assert not is_answering(endpoint)


def test_a_command_that_holds_the_api_key_is_not_written_down(tmp_path: Path) -> None:
    endpoint = parse_endpoint("http://127.0.0.1:9", api_key="sk-secret")
    with (
        pytest.raises(InputError, match="the command holds the API key") as caught,
        launched_server("vllm serve m --api-key sk-secret", endpoint, tmp_path),
    ):
        pass
    assert "sk-secret" not in str(caught.value)


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


def test_probe_reads_the_kv_cache_from_a_vllm_metric() -> None:
    listing = {"data": [{"id": "llama", "owned_by": "vllm", "max_model_len": 4096}]}
    metrics = 'vllm:cache_config_info{block_size="16",num_gpu_blocks="2048",engine="0"} 1.0\n'
    answers: dict[str, tuple[int, object]] = {"/v1/models": (200, listing), "/version": (200, {"version": "0.19.0"})}
    answers["/metrics"] = (200, {})
    with json_server(answers, texts={"/metrics": metrics}) as endpoint:
        facts = probe_server(endpoint, None)
    assert (facts.version, facts.kv_capacity_tokens) == ("0.19.0", 32_768)


def test_probe_tells_other_makes_by_their_own_answers() -> None:
    listing: dict[str, tuple[int, object]] = {"/v1/models": (200, {"data": [{"id": "m", "owned_by": "me"}]})}
    python_bindings = {"/openapi.json": (200, {"info": {"title": "llama.cpp Python API", "version": "0.3.36"}})}
    with json_server(listing | python_bindings) as endpoint:
        facts = probe_server(endpoint, None)
    assert (facts.name, facts.version) == ("llama-cpp-python server", "0.3.36")
    running = {"models": [{"name": "m", "size": 100, "size_vram": 40, "context_length": 4096}]}
    ollama = {"/api/version": (200, {"version": "0.14.0"}), "/api/ps": (200, running)}
    with json_server(listing | ollama) as endpoint:
        facts = probe_server(endpoint, None)
    assert (facts.name, facts.version, facts.context_tokens) == ("ollama", "0.14.0", 4096)
    assert facts.notes == ("the model is only partly on the GPU (40%); the rest runs on the CPU",)


def test_a_server_whose_model_list_fails_can_be_measured_by_the_model_s_name() -> None:
    broken: dict[str, tuple[int, object]] = {"/v1/models": (500, {}), "/health": (200, {"status": "ok"})}
    with json_server(broken) as endpoint:
        assert is_answering(endpoint)
        assert probe_server(endpoint, "folder/model").model == "folder/model"
        with pytest.raises(EngineError, match="name the model with --model"):
            probe_server(endpoint, None)


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


def test_addresses_with_more_than_an_address() -> None:
    assert parse_endpoint("http://[::1]:8000/v1/chat/completions").url == "http://[::1]:8000/v1"
    with pytest.raises(InputError, match="user name or password") as caught:
        parse_endpoint("https://me:hidden@example.org/v1")
    assert "hidden" not in str(caught.value)
    with pytest.raises(InputError, match="something after its path"):
        parse_endpoint("https://example.org/v1?api-version=1")


@pytest.mark.parametrize(
    "text", ["ftp://x", "http://", "http://x:99999999", "http://x:port", "http://[::1", "http://me:hidden@x:port"]
)
def test_bad_addresses(text: str) -> None:
    with pytest.raises(InputError, match="no server address") as caught:
        parse_endpoint(text)
    assert "hidden" not in str(caught.value)


def test_the_api_key_never_shows() -> None:
    endpoint = parse_endpoint("http://x", api_key="secret-key")
    assert "secret-key" not in repr(endpoint)
    assert endpoint.headers()["Authorization"] == "Bearer secret-key"
