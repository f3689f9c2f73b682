"""Whether RabbitMQ's own limits suit large messages, said at start: later they only show as lost connections.

A broker that cannot write to a consumer for `send_timeout` gives the connection up. For its second write while a large
body is still on the way, a heartbeat for instance, that counts however steadily the consumer reads: with the default of
30 s a body that takes longer than about that and half a heartbeat never arrives, and uses up its delivery limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import structlog
from pydantic import SecretStr
from yarl import URL

_log = structlog.get_logger()

SEND_TIMEOUT_MIN_S: Final = 600
"""What `ops/rabbitmq.conf` sets."""
SEND_TIMEOUT_DEFAULT_S: Final = 30
CHECK_TIMEOUT_S: Final = 5.0
_REMEDY: Final = "set tcp_listen_options.send_timeout = 600000 in rabbitmq.conf, as ops/rabbitmq.conf does"


async def check_broker(management_url: SecretStr | None) -> None:
    """Log what does not suit; a broker that cannot be asked stops nobody."""
    if management_url is None:
        # Nobody else looks: what is wrong there shows as lost connections, and only with payloads that are large.
        _log.warning("broker's limits are not checked", remedy="set BRH_RABBITMQ_MANAGEMENT_URL, or ask `brh doctor`")
        return
    url = URL(management_url.get_secret_value())
    identity = {"Authorization": aiohttp.encode_basic_auth(url.user or "guest", url.password or "guest")}
    timeout = aiohttp.ClientTimeout(total=CHECK_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(headers=identity, timeout=timeout) as session,
            session.get(url.with_user(None).with_path("/api/overview"), raise_for_status=True) as answer,
        ):
            overview = await answer.json()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        _log.warning("broker's limits cannot be read", error=f"{type(error).__name__}")
        return
    short = short_send_timeouts(overview)
    for listener, seconds in short.items():
        _log.warning("broker cuts slow consumers", listener=listener, send_timeout_s=seconds, remedy=_REMEDY)
    _log.info("broker's limits were checked", unsuitable=len(short))


def short_send_timeouts(overview: Mapping[str, Any]) -> dict[str, float]:
    """AMQP listeners whose `send_timeout` is too short, and what it is in seconds."""
    found = {}
    for listener in overview.get("listeners", ()):
        if listener.get("protocol") not in {"amqp", "amqp/ssl"}:
            continue
        options = listener.get("socket_opts")
        milliseconds = options.get("send_timeout") if isinstance(options, dict) else None
        seconds = SEND_TIMEOUT_DEFAULT_S if milliseconds is None else milliseconds / 1000
        if seconds < SEND_TIMEOUT_MIN_S:
            found[f"{listener.get('ip_address')}:{listener.get('port')}"] = seconds
    return found
