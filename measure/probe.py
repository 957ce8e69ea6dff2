"""Ask a running server what it is before putting load on it."""

import http.client
import ssl
from typing import Any

import orjson
import psutil

from measure.endpoint import API_KEY_VARIABLE, Endpoint
from measure.records import EngineFacts
from measure.synthetic import LABEL
from planner.errors import EngineError, InputError

_TIMEOUT_S = 10.0


def get_json(endpoint: Endpoint, path: str) -> tuple[int, Any]:
    """Status and decoded body of a GET; the body is `None` where it is no JSON. Raises `OSError`."""
    if endpoint.is_tls:
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            endpoint.host, endpoint.port, timeout=_TIMEOUT_S, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path, headers=endpoint.headers())
        response = connection.getresponse()
        body = response.read()
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP answer: {error!r}") from None
    finally:
        connection.close()
    try:
        return response.status, orjson.loads(body)
    except orjson.JSONDecodeError:
        return response.status, None


USUAL_PORTS = (8000, 30000, 8080, 11434, 1234)  # vLLM, SGLang, llama-server, Ollama, LM Studio


def is_answering(endpoint: Endpoint) -> bool:
    """Whether the model list comes back with HTTP 200."""
    try:
        status, _ = get_json(endpoint, f"{endpoint.base_path}/models")
    except OSError:
        return False
    return status == 200


def local_servers() -> list[Endpoint]:
    """OpenAI-compatible servers on this machine's usual ports."""
    candidates = (Endpoint(host="127.0.0.1", port=port, is_tls=False, base_path="/v1") for port in USUAL_PORTS)
    return [endpoint for endpoint in candidates if is_answering(endpoint)]


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
    """Model, limits and make of a server, from `/models` and from llama.cpp's `/props`.

    Raises `EngineError` when it does not answer or is not ready, `InputError` when it is no OpenAI-compatible server,
    or serves several models and none was named.
    """
    try:
        status, listing = get_json(endpoint, f"{endpoint.base_path}/models")
    except OSError as error:
        raise EngineError(f"no server answers at {endpoint.url} ({error}); start one, or check the address") from None
    if status in (401, 403):
        raise EngineError(
            f"{endpoint.url} wants an API key (HTTP {status}); put it into the environment variable {API_KEY_VARIABLE}"
        )
    if status >= 500:
        raise EngineError(f"{endpoint.url} answers HTTP {status}; wait until its model is loaded, or see its log")
    models = [entry for entry in _entries(listing) if isinstance(entry.get("id"), str)]
    if not models and wanted_model is None:
        is_listing = isinstance(listing, dict) and "data" in listing
        raise InputError(_no_models(endpoint, status, is_listing=is_listing))
    model = _choose_model(endpoint, models, wanted_model)
    entry = next((entry for entry in models if entry["id"] == model), {})
    props = _llama_props(endpoint)
    settings = props.get("default_generation_settings")
    slot_context = settings.get("n_ctx") if isinstance(settings, dict) else None
    owner = str(entry.get("owned_by") or "unknown server")
    return EngineFacts(
        name="llama.cpp server" if props else owner,
        version=str(props.get("build_info") or "unknown"),
        flags={},
        model=model,
        is_synthetic=LABEL in model,
        load_time_s=None,
        pid=listening_pid(endpoint),
        context_tokens=_positive(slot_context) or _positive(entry.get("max_model_len")),
        slots=_positive(props.get("total_slots")),
        step_token_budget=None,
        weights_file_bytes=None,
        kv_bytes_per_token=None,
        notes=() if endpoint.is_local else ("the machine described is the load client's; the server is another one",),
    )


def _entries(listing: Any) -> list[dict[str, Any]]:
    data = listing.get("data") if isinstance(listing, dict) else None
    return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []


def _no_models(endpoint: Endpoint, status: int, *, is_listing: bool) -> str:
    if is_listing:
        return f"{endpoint.url} serves no model; load one there, or name it with --model"
    return (
        f"{endpoint.url} is no OpenAI-compatible server (its /models answers HTTP {status}, no list of models); "
        "check the URL, with its path, usually /v1"
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


def _llama_props(endpoint: Endpoint) -> dict[str, Any]:
    try:
        status, props = get_json(endpoint, "/props")
    except OSError:
        return {}
    return props if status == 200 and isinstance(props, dict) and "total_slots" in props else {}


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
