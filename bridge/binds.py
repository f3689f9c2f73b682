"""Addresses to listen on."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator


def host_and_port(bind: str) -> tuple[str, int]:
    """The two halves of a bind address; an IPv6 address without its brackets."""
    host, _, port = bind.rpartition(":")
    return host.strip("[]"), int(port)


def checked(text: str) -> str:
    """A bind address. Raises ValueError when it is none."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError("must be HOST:PORT")
    return text


def is_loopback(host: str) -> bool:
    """Whether only this machine can be meant."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# A function of its own for its docstring, which docs/settings.md shows as the bounds of such a setting.
def _bind(text: str) -> str:
    """HOST:PORT."""
    return checked(text)


Bind = Annotated[str, AfterValidator(_bind)]
