"""From a template and what it shows to a response with everything that keeps a browser on the safe side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from streams.access import SESSION_COOKIE, Access, Scope
from streams.guards import GRANTED
from streams.pages import wording
from streams.pages.assets import Assets
from streams.pages.ordinal_map import CELL_HEIGHT, ROW_WIDTH
from streams.pages.sparkline import HEIGHT, WIDTH

SAFE: Final[Mapping[str, str]] = {
    # Nothing but what we serve ourselves, and no script or style that stands in a page.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # `no-referrer` would have browsers send our own forms with the origin `null`.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Visitor(msgspec.Struct, frozen=True):
    """Who looks at a page, as far as the page depends on it."""

    operates: bool
    """May give commands."""
    csrf: str
    """What every form says; empty for whoever has not logged in."""


class Rendering:
    """Jinja's environment, with every value escaped and no value forgotten."""

    def __init__(self, assets: Assets, access: Access) -> None:
        self._access = access
        self._templates = Environment(
            loader=PackageLoader("streams.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals |= {
            "asset": assets.url,
            "integrity": assets.integrity,
            "map_box": f"0 0 {ROW_WIDTH} {CELL_HEIGHT}",
            "sparkline_box": f"0 0 {WIDTH} {HEIGHT}",
        }
        self._templates.filters |= {
            "number": wording.number,
            "size": wording.size,
            "percent": wording.percent,
            "code_marks": code_marks,
        }
        for name in self._templates.list_templates(extensions=["html"]):
            self._templates.get_template(name)  # compiled now, and not while somebody waits

    def page(
        self,
        request: web.Request,
        template: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **shown: Any,
    ) -> web.Response:
        """The page that a template makes of what is shown, for whoever asks."""
        shown |= {"address": str(request.rel_url), "visitor": self._visitor(request)}
        text = self._templates.get_template(template).render(shown)
        return web.Response(
            text=text, status=status, content_type="text/html", charset="utf-8", headers={**SAFE, **(headers or {})}
        )

    def _visitor(self, request: web.Request) -> Visitor:
        granted = request.get(GRANTED)
        operates = granted is not None and granted.scope is Scope.OPERATE
        return Visitor(operates, self._access.csrf_token(request.cookies.get(SESSION_COOKIE, "")))


def code_marks(text: str) -> Markup:
    """A sentence of ours, with what stands between backticks as code; everything in it is escaped."""
    parts = str(text).split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if at % 2 and at < len(parts) - 1 else part
        for at, part in enumerate(parts)
    )
