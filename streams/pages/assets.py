"""The files that pages load: one style sheet, two scripts, one icon. Served by us, and kept by browsers for good."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Final

import msgspec
from aiohttp import web

from streams.access import ASSETS_PATH

KEEP: Final = "public, max-age=31536000, immutable"
"""For an address that names the content."""

_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Asset(msgspec.Struct, frozen=True):
    """One file."""

    body: bytes
    content_type: str
    version: str
    """Changes with the content."""
    integrity: str
    """As a browser checks it before it runs a script."""


class Assets:
    """All files of the folder, read once."""

    def __init__(self) -> None:
        self._known: dict[str, Asset] = {}
        for file in files("streams.pages").joinpath("assets").iterdir():
            if (content_type := _TYPES.get(file.name.rpartition(".")[2])) is not None:
                body = file.read_bytes()
                integrity = f"sha384-{base64.b64encode(hashlib.sha384(body).digest()).decode()}"
                version = hashlib.sha256(body).hexdigest()[:16]
                self._known[file.name] = Asset(body, content_type, version, integrity)

    def url(self, name: str) -> str:
        """Where a page finds the file."""
        return f"{ASSETS_PATH}{name}?v={self._known[name].version}"

    def integrity(self, name: str) -> str:
        """What a page says of the content."""
        return self._known[name].integrity

    async def serve(self, request: web.Request) -> web.Response:
        """A file; one that is asked for by another version, or by none, may be another one tomorrow."""
        asset = self._known.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        headers = {
            "Cache-Control": KEEP if request.query.get("v") == asset.version else "no-cache",
            "ETag": f'"{asset.version}"',
            "X-Content-Type-Options": "nosniff",
        }
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        return web.Response(body=asset.body, content_type=asset.content_type, charset="utf-8", headers=headers)
