"""Where the server is and how requests to it are spelled."""

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

import orjson

from planner.errors import InputError

API_KEY_VARIABLE = "OPENAI_API_KEY"


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
        return f"{'https' if self.is_tls else 'http'}://{self.host_header}{self.base_path}"

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def headers(self) -> dict[str, str]:
        """Header fields of every request, the API key among them where there is one."""
        fields = {
            "Host": self.host_header,
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
        }
        if self.api_key:
            fields["Authorization"] = f"Bearer {self.api_key}"
        return fields


def parse_endpoint(url: str, api_key: str | None = None) -> Endpoint:
    """Read `http://host:port[/v1]`; without a path `/v1` is meant, the path of an API itself is cut off.

    Raises `InputError` for anything else, and for a password in the address, which would be written down with it.
    """
    shown = url.rpartition("@")[2]  # what stands before it may be a password
    wrong = InputError(f"{shown!r} is no server address; write it like http://127.0.0.1:8000 or https://host/v1")
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise wrong
    if parts.username or parts.password:
        raise InputError(
            f"the address of {parts.hostname} holds a user name or password; "
            f"leave them out and put an API key into {API_KEY_VARIABLE}"
        )
    if parts.query or parts.fragment:
        raise InputError(f"{url!r} has something after its path; an address ends with the path, usually /v1")
    is_tls = parts.scheme == "https"
    path = parts.path.rstrip("/").removesuffix("/completions").removesuffix("/chat")
    return Endpoint(
        host=parts.hostname,
        port=port or (443 if is_tls else 80),
        is_tls=is_tls,
        base_path=path or "/v1",
        api_key=api_key,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a completion is asked for: the API, the model's name on the server, and the fields that it understands."""

    api: Api
    model: str
    ignore_eos: bool = True
    min_tokens: bool = False  # ask for as many tokens as `max_tokens` allows
    stream_usage: bool = True
    usage_per_chunk: bool = False  # vLLM and SGLang: the running token count with every chunk
    cache_prompt_field: bool = False  # llama.cpp: say in every request whether its prompt cache may be used
    uses_prompt_cache: bool = False
    limit_field: str = "max_tokens"

    def body(self, prompt: str, output_tokens: int) -> dict[str, object]:
        """The JSON of a streaming request."""
        body: dict[str, object] = {"model": self.model}
        if self.api is Api.CHAT:
            body["messages"] = [{"role": "user", "content": prompt}]
        else:
            body["prompt"] = prompt
        body |= {self.limit_field: output_tokens, "temperature": 1.0, "stream": True}
        if self.stream_usage:
            per_chunk = {"continuous_usage_stats": True} if self.usage_per_chunk else {}
            body["stream_options"] = {"include_usage": True, **per_chunk}
        if self.ignore_eos:
            body["ignore_eos"] = True
        if self.min_tokens:
            body["min_tokens"] = output_tokens
        if self.cache_prompt_field:
            body["cache_prompt"] = self.uses_prompt_cache
        return body


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


def build_template(
    endpoint: Endpoint, dialect: Dialect, text: str, output_tokens: int, *, prefix: str = ""
) -> RequestTemplate:
    """Encode a streaming request whose prompt is a nonce, a space and `text`, after the `prefix` if there is one."""
    body = dialect.body(f"{prefix} {_NONCE} {text}" if prefix else f"{_NONCE} {text}", output_tokens)
    before, after = orjson.dumps(body).split(_NONCE.encode(), 1)
    length = len(before) + NONCE_DIGITS + len(after)
    lines = [f"POST {endpoint.base_path}{dialect.api.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in endpoint.headers().items()]
    head = "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()
    return RequestTemplate(head=head + before, tail=after, output_tokens=output_tokens)
