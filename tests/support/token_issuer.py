"""Somebody who gives tokens that a broker believes: JWTs signed with RSA, by an endpoint of OAuth 2 or by hand."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

AUDIENCE, ISSUER = "kafka", "https://issuer.example"
CLIENT, SECRET = "brh", "s3cret-of-the-client"


class TokenIssuer:
    """Signs tokens; `start` opens its endpoint."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        public = {**jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True), "kid": "k", "use": "sig"}
        self.keys = folder / "jwks.json"
        """What a broker verifies tokens with."""
        self.keys.write_text(json.dumps({"keys": [public]}))
        self.given = 0
        """Tokens that its endpoint gave."""
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self._server is not None, "start it first"
        return f"http://127.0.0.1:{self._server.server_port}/token"

    def token(self, *, lives_s: float = 300, audience: str = AUDIENCE) -> str:
        now_s = int(time.time())
        claims = {"iss": ISSUER, "aud": audience, "sub": CLIENT, "iat": now_s - 600, "exp": now_s + int(lives_s)}
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": "k"})

    def start(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self
        identity = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                known = self.headers["Authorization"] == identity and form["grant_type"] == ["client_credentials"]
                issuer.given += known
                answer = {"access_token": issuer.token(), "expires_in": 300} if known else {"error": "invalid_client"}
                self.send_response(200 if known else 401)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_: object) -> None:
                """Not into the output of the tests."""

        return Handler
