"""What a running server says of itself: its make, model and limits. Nothing is put under load here."""

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import psutil

from measure.endpoint import API_KEY_VARIABLE, Endpoint
from measure.run_info import EngineFacts
from measure.synthetic import LABEL
from measure.web import Answer, ask, try_asking
from planner.errors import EngineError, InputError

USUAL_PORTS = (8000, 30000, 8080, 11434, 1234)  # vLLM, SGLang, llama-server, Ollama, LM Studio
_REDIRECTS = range(300, 400)


def is_answering(endpoint: Endpoint) -> bool:
    """Whether requests can be sent: the model list comes back with HTTP 200, or there is none and `/health` is well.

    A server that is still loading answers both with an error, or not at all.
    """
    if try_asking(endpoint, f"{endpoint.base_path}/models").status == 200:
        return True
    return try_asking(endpoint, "/health").status == 200


def local_servers() -> list[Endpoint]:
    """OpenAI-compatible servers on this machine's usual ports."""
    candidates = (Endpoint(host="127.0.0.1", port=port, is_tls=False, base_path="/v1") for port in USUAL_PORTS)
    return [endpoint for endpoint in candidates if try_asking(endpoint, "/v1/models").status == 200]


def listening_pid(endpoint: Endpoint) -> int | None:
    """The process that listens on the endpoint's port, if the endpoint is on this machine and its owner is us."""
    if not endpoint.is_local:
        return None
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return None
    owners = (c.pid for c in connections if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr[1] == endpoint.port)
    return next((pid for pid in owners if pid is not None), None)


def probe_server(endpoint: Endpoint, wanted_model: str | None) -> EngineFacts:
    """Model, make and limits of a server, from its model list and from what its make tells elsewhere.

    Raises `EngineError` when it does not answer or is not ready, `InputError` when it is no OpenAI-compatible server,
    or serves several models and none was named.
    """
    try:
        listing = ask(endpoint, f"{endpoint.base_path}/models")
    except OSError as error:
        raise EngineError(f"no server answers at {endpoint.url} ({error}); start one, or check the address") from None
    _check_status(endpoint, listing, wanted_model)
    models = [entry for entry in _entries(listing.json) if isinstance(entry.get("id"), str)]
    if not models and wanted_model is None:
        raise InputError(_no_models(endpoint, listing))
    model = _choose_model(endpoint, models, wanted_model)
    entry = next((entry for entry in models if entry["id"] == model), {})
    identity = _identify(endpoint, entry, listing)
    notes = list(identity.notes)
    if not endpoint.is_local:
        notes.append("the machine described is the load client's; the server is another one")
        if endpoint.api_key and not endpoint.is_tls:
            notes.append(f"the API key goes to {endpoint.host} unencrypted")
    return EngineFacts(
        name=identity.name,
        version=identity.version or "unknown",
        flags={},
        model=model,
        is_synthetic=LABEL in model,
        load_time_s=None,
        pid=listening_pid(endpoint),
        context_tokens=identity.context_tokens or _positive(entry.get("max_model_len")),
        slots=identity.slots,
        step_token_budget=None,
        weights_file_bytes=None,
        kv_bytes_per_token=None,
        notes=tuple(notes),
        kv_capacity_tokens=identity.kv_capacity_tokens,
    )


def _check_status(endpoint: Endpoint, listing: Answer, wanted_model: str | None) -> None:
    status = listing.status
    if status in (401, 403):
        raise EngineError(
            f"{endpoint.url} wants an API key (HTTP {status}); put it into the environment variable {API_KEY_VARIABLE}"
        )
    if status in _REDIRECTS:
        target = listing.headers.get("location", "elsewhere")
        raise InputError(f"{endpoint.url} redirects (HTTP {status}) to {target}; give that server's address itself")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise EngineError(f"{endpoint.url} refuses for now (HTTP 429, too many requests); wait, or raise its limit")
    if status >= 500 and wanted_model is None:
        raise EngineError(
            f"{endpoint.url} answers its model list with HTTP {status}; wait until its model is loaded, see its log, "
            "or name the model with --model"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    name: str
    version: str | None = None
    slots: int | None = None
    context_tokens: int | None = None
    kv_capacity_tokens: int | None = None
    notes: tuple[str, ...] = ()


def _identify(endpoint: Endpoint, entry: dict[str, Any], listing: Answer) -> _Identity:
    """The server's make by the answers that only that make gives."""
    owner = str(entry.get("owned_by") or "")
    if owner == "vllm":
        return _vllm(endpoint)
    if owner == "sglang":
        return _sglang(endpoint)
    props = try_asking(endpoint, "/props").fields
    if "total_slots" in props:
        settings = props.get("default_generation_settings")
        return _Identity(
            name="llama.cpp server",
            version=str(props.get("build_info") or "") or None,
            slots=_positive(props.get("total_slots")),
            context_tokens=_positive(settings.get("n_ctx")) if isinstance(settings, dict) else None,
        )
    if version := try_asking(endpoint, "/api/version").fields.get("version"):
        return _ollama(endpoint, str(version), str(entry.get("id")))
    description = try_asking(endpoint, "/openapi.json").fields
    title, version = _title(description)
    if "llama.cpp" in title:
        return _Identity(name="llama-cpp-python server", version=version)
    if info := try_asking(endpoint, "/info").fields.get("max_total_tokens"):
        return _Identity(name="text-generation-inference", context_tokens=_positive(info))
    if "/v1/systemone" in description.get("paths", {}) or "huggingface" in owner.lower():
        return _Identity(name="transformers serve")
    software = listing.headers.get("server", "")
    return _Identity(name=owner or (f"unknown server ({software})" if software else "unknown server"))


def _title(description: dict[str, Any]) -> tuple[str, str | None]:
    info = description.get("info")
    info = info if isinstance(info, dict) else {}
    return str(info.get("title") or ""), str(info.get("version") or "") or None


def _vllm(endpoint: Endpoint) -> _Identity:
    """The size of the KV cache stands in the labels of a metric: blocks times their size."""
    metrics = try_asking(endpoint, "/metrics").body.decode(errors="replace")
    labels = re.search(r"^vllm:cache_config_info\{(.*)\}", metrics, re.MULTILINE)
    figures = dict(re.findall(r'(num_gpu_blocks|block_size)="(\d+)"', labels.group(1) if labels else ""))
    capacity = int(figures.get("num_gpu_blocks", 0)) * int(figures.get("block_size", 0))
    version = try_asking(endpoint, "/version").fields.get("version")
    return _Identity(name="vllm", version=str(version or "") or None, kv_capacity_tokens=capacity or None)


def _sglang(endpoint: Endpoint) -> _Identity:
    told = try_asking(endpoint, "/get_server_info").fields
    return _Identity(
        name="sglang",
        version=str(told.get("version") or "") or None,
        slots=_positive(told.get("max_running_requests")),
        context_tokens=_positive(told.get("context_length")),
        kv_capacity_tokens=_positive(told.get("max_total_num_tokens")),
    )


def _ollama(endpoint: Endpoint, version: str, model: str) -> _Identity:
    running = try_asking(endpoint, "/api/ps").fields.get("models")
    entries = [entry for entry in running if isinstance(entry, dict)] if isinstance(running, list) else []
    entry = next((entry for entry in entries if model in (entry.get("name"), entry.get("model"))), {})
    notes = []
    size, on_gpu = entry.get("size"), entry.get("size_vram")
    if isinstance(size, int) and isinstance(on_gpu, int) and 0 < on_gpu < size:
        notes.append(f"the model is only partly on the GPU ({on_gpu / size:.0%}); the rest runs on the CPU")
    return _Identity(
        name="ollama", version=version, context_tokens=_positive(entry.get("context_length")), notes=tuple(notes)
    )


def _entries(listing: Any) -> list[dict[str, Any]]:
    data = listing.get("data") if isinstance(listing, dict) else None
    return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []


def _no_models(endpoint: Endpoint, listing: Answer) -> str:
    if isinstance(listing.json, dict) and "data" in listing.json:
        return f"{endpoint.url} serves no model; load one there, or name it with --model"
    return (
        f"{endpoint.url} is no OpenAI-compatible server (its /models answers HTTP {listing.status}, no list of models);"
        " check the URL, with its path, usually /v1"
    )


def _choose_model(endpoint: Endpoint, models: list[dict[str, Any]], wanted: str | None) -> str:
    names = [str(entry["id"]) for entry in models]
    if wanted is not None:
        if names and wanted not in names:
            raise InputError(f"{endpoint.url} does not serve {wanted!r}; it serves {', '.join(names)}")
        return wanted
    if len(names) != 1:
        raise InputError(f"{endpoint.url} serves {len(names)} models ({', '.join(names)}); name one with --model")
    return names[0]


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
