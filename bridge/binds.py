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


def _loopback(text: str) -> str:
    if not is_loopback(host_and_port(checked(text))[0]):
        raise ValueError("must be a loopback address: there is no access control here")
    return text


LoopbackBind = Annotated[str, AfterValidator(_loopback)]
