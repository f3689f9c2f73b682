"""Settings of the HTTP interface: where it listens, and who may ask."""

from __future__ import annotations

import re
import socket
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo

from bridge.binds import checked, host_and_port, is_loopback
from bridge.settings import BaseGroup

_TOKEN = re.compile(r"[!-~]{1,512}")
_TOKENS = ("api_read_token", "api_operate_token")


def url_of(host: str, port: int) -> str:
    """Where a server on this host and port is reached."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _api_bind(text: str, others: ValidationInfo) -> str:
    # A token that is wrong itself is not among the others, and is told by its own error.
    without = all(name in others.data and others.data[name] is None for name in _TOKENS)
    if without and not is_loopback(host_and_port(checked(text))[0]):
        raise ValueError(
            "must be a loopback address while neither BRH_API_READ_TOKEN nor BRH_API_OPERATE_TOKEN is set: "
            "whoever reaches the port may do everything"
        )
    return checked(text)


def _is_every_address(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _token(token: SecretStr | None) -> SecretStr | None:
    text = token.get_secret_value() if token else ""
    if not text:
        return None
    if not _TOKEN.fullmatch(text):
        raise ValueError("must be 1 to 512 visible ASCII characters without a space")
    return token


Token = Annotated[SecretStr | None, AfterValidator(_token)]


class ApiTokens(BaseGroup):
    """What opens the interface: the same for all trackers of an installation, and for the command line."""

    api_read_token: Token = None
    """Whoever sends it may read. Made, for example, by `openssl rand -hex 32`."""
    api_operate_token: Token = None
    """Whoever sends it may read and give commands. Neither of the two: no access control, and loopback only."""


class ApiSettings(ApiTokens):
    """The interface of a tracker."""

    api_bind: Annotated[str, AfterValidator(_api_bind)] = "127.0.0.1:6066"
    """HOST:PORT of API and pages. Without tokens a loopback address, because whoever reaches the port may then do
    everything."""
    api_advertised_host: str = Field("", pattern=r"^[A-Za-z0-9.:_-]{0,253}$")
    """Name or address under which the other trackers reach this one. Empty: the host of `api_bind`, or this machine's
    own name where that is all addresses."""
    api_session_s: float = Field(43_200, ge=60, le=30 * 86_400)
    """How long somebody who has logged in on the pages may go on: a working day. The token is what ends it earlier:
    another one ends all sessions."""
    api_streams_max: int = Field(100, ge=1, le=10_000)
    """Clients that follow a transaction (`/events`) at this tracker at once. Each of them looks at it about twice a
    second, and where another tracker owns it that one is asked."""
    api_rate_per_s: float = Field(500, ge=1, le=100_000)
    """Requests of one client address, and twice as many at once. A request costs about a millisecond of the loop that
    also takes the events, so this is half of its time. A proxy in front is one address: let it limit its clients."""

    @property
    def api_url(self) -> str:
        """Where the other trackers find this one."""
        host, port = host_and_port(self.api_bind)
        own = socket.gethostname() if _is_every_address(host) else host
        return url_of(self.api_advertised_host or own, port)
