"""Where the server is and how requests to it are spelled."""

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

import orjson

from planner.errors import InputError

API_KEY_VARIABLE = "BREAKEVEN_API_KEY"


class Api(StrEnum):
    COMPLETIONS = "completions"
    CHAT = "chat"

    @property
    def path(self) -> str:
        return "/completions" if self is Api.COMPLETIONS else "/chat/completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An OpenAI-compatible server; `base_path` is the part before `/completions`, usually `/v1`."""

    host: str
    port: int
    is_tls: bool
    base_path: str
    api_key: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"{'https' if self.is_tls else 'http'}://{self.host}:{self.port}{self.base_path}"

    @property
    def host_header(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def headers(self) -> dict[str, str]:
        """Header fields of every request, the API key among them where there is one."""
        fields = {"Host": self.host_header, "Accept": "text/event-stream", "Content-Type": "application/json"}
        if self.api_key:
            fields["Authorization"] = f"Bearer {self.api_key}"
        return fields


def parse_endpoint(url: str, api_key: str | None = None) -> Endpoint:
    """Read `http://host:port[/v1]`; without a path `/v1` is meant. Raises `InputError` for anything else."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        raise InputError(f"{url!r} is no server address; write it like http://127.0.0.1:8000 or https://host/v1")
    is_tls = parts.scheme == "https"
    return Endpoint(
        host=parts.hostname,
        port=port or (443 if is_tls else 80),
        is_tls=is_tls,
        base_path=parts.path.rstrip("/") or "/v1",
        api_key=api_key,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a completion is asked for: the API, the model's name on the server, and what the server understands."""

    api: Api
    model: str
    ignore_eos: bool = True
    cache_prompt_field: bool = False  # llama.cpp: switch its prompt cache off in every request


_NONCE = "@nonce@"
NONCE_DIGITS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTemplate:
    """The bytes of a request, ready but for the nonce of `NONCE_DIGITS` digits that starts its prompt."""

    head: bytes
    tail: bytes
    output_tokens: int

    def payload(self, nonce: int) -> bytes:
        return b"%b%09d%b" % (self.head, nonce, self.tail)


def build_template(endpoint: Endpoint, dialect: Dialect, text: str, output_tokens: int) -> RequestTemplate:
    """Encode a streaming request whose prompt is a nonce, a space and `text`."""
    prompt = f"{_NONCE} {text}"
    body: dict[str, object] = {"model": dialect.model}
    if dialect.api is Api.CHAT:
        body["messages"] = [{"role": "user", "content": prompt}]
    else:
        body["prompt"] = prompt
    body |= {"max_tokens": output_tokens, "temperature": 1.0, "stream": True, "stream_options": {"include_usage": True}}
    if dialect.ignore_eos:
        body["ignore_eos"] = True
    if dialect.cache_prompt_field:
        body["cache_prompt"] = False
    before, after = orjson.dumps(body).split(_NONCE.encode(), 1)
    length = len(before) + NONCE_DIGITS + len(after)
    lines = [f"POST {endpoint.base_path}{dialect.api.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in endpoint.headers().items()]
    head = "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()
    return RequestTemplate(head=head + before, tail=after, output_tokens=output_tokens)
