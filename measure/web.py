"""Single blocking questions to a server, before and after the load. Proxy settings of the environment do not apply."""

import http.client
import ssl
from dataclasses import dataclass
from typing import Any

import orjson

from measure.endpoint import Endpoint

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`json` is `None` where the body is no JSON."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    @property
    def fields(self) -> dict[str, Any]:
        """The JSON object of a successful answer; empty for anything else."""
        found = self.json if self.status == 200 else None
        return found if isinstance(found, dict) else {}


def ask(endpoint: Endpoint, path: str, body: object = None, *, timeout_s: float = _TIMEOUT_S) -> Answer:
    """GET, or POST where there is a body. Raises `OSError` when no HTTP answer comes."""
    if endpoint.is_tls:
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            endpoint.host, endpoint.port, timeout=timeout_s, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout_s)
    headers = endpoint.headers() | {"Accept": "*/*"}
    try:
        if body is None:
            connection.request("GET", path, headers=headers)
        else:
            connection.request("POST", path, body=orjson.dumps(body), headers=headers)
        response = connection.getresponse()
        return Answer(
            status=response.status,
            headers={name.lower(): value for name, value in response.getheaders()},
            body=response.read(),
        )
    except http.client.HTTPException as error:
        raise OSError(f"it answers, but not in HTTP ({str(error)[:60].strip() or 'it hung up'!r})") from None
    finally:
        connection.close()


def try_asking(endpoint: Endpoint, path: str, body: object = None) -> Answer:
    """Like `ask`; status 0 when no answer comes."""
    try:
        return ask(endpoint, path, body)
    except OSError:
        return Answer(status=0, headers={}, body=b"")
