"""A small OpenID provider on loopback: one client, one person, the code flow with PKCE, and strict about all of it."""

import base64
import hashlib
import html
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import orjson
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID, CLIENT_SECRET = "the-dashboard", "client-secret-0123456789"
PERSON, PASSWORD = "ada@example.com", "a-password-0123456789"
_TOKEN_LIFE_S = 300


class Provider(ThreadingHTTPServer):
    """What the provider remembers: codes it has given away once, and what the client did wrong."""

    daemon_threads = True

    def __init__(self, redirect_uri: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.redirect_uri = redirect_uri
        self.issuer = f"http://127.0.0.1:{self.server_address[1]}"
        self.key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
        self.codes: dict[str, dict[str, str]] = {}
        self.refused: list[str] = []
        self.tokens_given, self.logged_out = 0, 0

    @property
    def metadata_url(self) -> str:
        return f"{self.issuer}/.well-known/openid-configuration"


@contextmanager
def running_provider(redirect_uri: str) -> Iterator[Provider]:
    with Provider(redirect_uri) as provider:
        thread = threading.Thread(target=provider.serve_forever, daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            provider.shutdown()
            thread.join()


class _Answers(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        given = {name: values[0] for name, values in parse_qs(url.query).items()}
        match url.path:
            case "/.well-known/openid-configuration":
                self._json(self._metadata())
            case "/keys":
                self._json({"keys": [self.server.key.as_dict(private=False)]})
            case "/authorize":
                self._ask(given)
            case "/logout":
                self._log_out(given)
            case _:
                self._send(b"no such page", "text/plain", 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        given = {name: values[0] for name, values in parse_qs(body).items()}
        if urlsplit(self.path).path == "/token":
            self._give_token(given)
        else:
            self._log_in(given)

    def _metadata(self) -> dict[str, object]:
        issuer = self.server.issuer
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/keys",
            "end_session_endpoint": f"{issuer}/logout",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
        }

    def _ask(self, given: dict[str, str]) -> None:
        wanted = {"response_type": "code", "client_id": CLIENT_ID, "redirect_uri": self.server.redirect_uri}
        wrong = [name for name, value in wanted.items() if given.get(name) != value]
        wrong += [name for name in ("state", "nonce", "code_challenge") if not given.get(name)]
        if given.get("code_challenge_method") != "S256" or "openid" not in given.get("scope", "").split():
            wrong.append("code_challenge_method or scope")
        if wrong:
            self._refuse(f"authorize: {', '.join(wrong)}")
            return
        hidden = "".join(
            f'<input type="hidden" name="{name}" value="{html.escape(given[name])}">'
            for name in ("state", "nonce", "code_challenge")
        )
        self._send(
            f'<h1>Who are you?</h1><form method="post" action="/login">{hidden}<input name="person">'
            '<input name="password" type="password"><button>Continue</button></form>'.encode(),
            "text/html",
        )

    def _log_in(self, given: dict[str, str]) -> None:
        if (given.get("person"), given.get("password")) != (PERSON, PASSWORD):
            self._refuse("login: wrong name or password", status=403)
            return
        code = secrets.token_urlsafe(24)
        self.server.codes[code] = given
        self._redirect(f"{self.server.redirect_uri}?{urlencode({'code': code, 'state': given['state']})}")

    def _give_token(self, given: dict[str, str]) -> None:
        kind, _, proof = self.headers.get("Authorization", "").partition(" ")
        client, _, secret = base64.b64decode(proof).decode().partition(":") if kind == "Basic" else ("", "", "")
        if (unquote(client), unquote(secret)) != (CLIENT_ID, CLIENT_SECRET):
            self._refuse("token: wrong client", status=401)
            return
        asked = self.server.codes.pop(given.get("code", ""), None)
        digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked is None
            or challenge != asked["code_challenge"]
            or given.get("redirect_uri") != self.server.redirect_uri
        ):
            self._refuse("token: wrong code, verifier or redirect_uri")
            return
        now = int(time.time())
        claims = {"iss": self.server.issuer, "sub": "1", "aud": CLIENT_ID, "iat": now, "exp": now + _TOKEN_LIFE_S}
        claims |= {"nonce": asked["nonce"], "email": PERSON, "name": "Ada"}
        token = jwt.encode({"alg": "RS256", "kid": self.server.key.kid}, claims, self.server.key)
        self.server.tokens_given += 1
        self._json(
            {
                "access_token": secrets.token_urlsafe(24),
                "token_type": "Bearer",
                "expires_in": _TOKEN_LIFE_S,
                "id_token": token,
            }
        )

    def _log_out(self, given: dict[str, str]) -> None:
        held = jwt.decode(given["id_token_hint"], self.server.key, algorithms=["RS256"]).claims
        if held["aud"] != CLIENT_ID or given.get("post_logout_redirect_uri") != self.server.redirect_uri:
            self._refuse("logout: wrong client or address")
            return
        self.server.logged_out += 1
        self._redirect(given["post_logout_redirect_uri"])

    def _refuse(self, why: str, *, status: int = 400) -> None:
        self.server.refused.append(why)
        self._send(why.encode(), "text/plain", status)

    def _redirect(self, target: str) -> None:
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, document: dict[str, object]) -> None:
        self._send(orjson.dumps(document), "application/json")

    def _send(self, content: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
