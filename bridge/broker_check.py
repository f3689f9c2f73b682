"""Whether RabbitMQ's own limits suit large messages: later they only show as lost connections.

A broker that cannot write to a consumer for `send_timeout` gives the connection up. For its second write while a large
body is still on the way, a heartbeat for instance, that counts however steadily the consumer reads: with the default of
30 s a body that takes longer than about that and half a heartbeat never arrives, and uses up its delivery limit.

Bridges look at their start, `brh doctor` at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import aiohttp
from pydantic import SecretStr
from yarl import URL

from bridge.amqp_address import AmqpAddress
from bridge.check import Check, joined, warn
from bridge.settings import BridgeSettings
from bridge.topology import CONSUMED

SEND_TIMEOUT_MIN_S: Final = 600
"""What `ops/rabbitmq.conf` sets."""
SEND_TIMEOUT_DEFAULT_S: Final = 30
CONSUMER_TIMEOUT_DEFAULT_S: Final = 1_800
HELD_MARGIN_S: Final = 60
"""RabbitMQ looks once a minute who is late."""
ANSWER_TIMEOUT_S: Final = 10.0
CONF: Final = "Compare rabbitmq.conf with ops/rabbitmq.conf."


class Told(NamedTuple):
    """By the management API."""

    overview: Mapping[str, Any]
    queues: Sequence[Mapping[str, Any]]
    """Of our virtual host."""


async def look(settings: BridgeSettings) -> list[Check]:
    """What a bridge needs of RabbitMQ."""
    told = await ask(settings.rabbitmq_management_url, AmqpAddress.parse(settings.amqp_url).vhost)
    if isinstance(told, Check):
        return [told]
    waits = held(settings.hold_max_s, told.queues)
    # What no broker tells would be said at every start, and nobody could change it: that is for the doctor to say.
    return [slow_consumers(told.overview), *([waits] if waits.status == "fail" else [])]


async def ask(management_url: SecretStr | None, vhost: str) -> Told | Check:
    """Ask the management API; the check says why not, where it cannot be asked."""
    name = "rabbitmq.management"
    if management_url is None:
        # Nobody else looks: what is wrong there shows as lost connections, and only with payloads that are large.
        detail = "limits and queues were not looked at"
        return warn(name, detail, "Set BRH_RABBITMQ_MANAGEMENT_URL, with user and password.")
    url = URL(management_url.get_secret_value())
    identity = {"Authorization": aiohttp.encode_basic_auth(url.user or "guest", url.password or "guest")}
    base = url.with_user(None).with_path("/api")
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(headers=identity, timeout=timeout, raise_for_status=True) as session:
            overview = await _json(session, str(base / "overview"))
            return Told(overview, await _json(session, f"{base}/queues/{quote(vhost, safe='')}"))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        # Its text may quote the address, which is without the password by now.
        detail = f"the management API does not answer: {str(error) or type(error).__name__}"
        return warn(name, detail, "Check BRH_RABBITMQ_MANAGEMENT_URL and the tag of its user.")


async def _json(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.get(URL(url, encoded=True)) as answer:
        return await answer.json()


def slow_consumers(overview: Mapping[str, Any]) -> Check:
    """Whether a large body may take its time."""
    short = short_send_timeouts(overview)
    return joined(
        "rabbitmq.send-timeout",
        f"a consumer may take {SEND_TIMEOUT_MIN_S} s and more for a message",
        (f"listener {listener} cuts a consumer off after {seconds:g} s" for listener, seconds in short.items()),
        f"Set tcp_listen_options.send_timeout = {SEND_TIMEOUT_MIN_S * 1_000}. {CONF}",
    )


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


def held(hold_max_s: float, found: Sequence[Mapping[str, Any]]) -> Check:
    """How long a delivery is held, against how long RabbitMQ waits for its acknowledgement.

    The broker's own limit cannot be read; arguments and policies of queues, which go before it, can.
    """
    name = "rabbitmq.consumer-timeout"
    enough_s = hold_max_s + HELD_MARGIN_S
    limits = {queue: _consumer_timeout_s(queue, found) for queue in CONSUMED}
    short = [f"{queue} waits for {each:g} s" for queue, each in limits.items() if each is not None and each < enough_s]
    if not short and None in limits.values():
        return warn(
            name,
            f"not known: a delivery is held for up to {hold_max_s:g} s, and no broker tells its consumer_timeout",
            f"See that `rabbitmqctl environment` has {enough_s * 1_000:.0f} or more for it; the default is "
            f"{CONSUMER_TIMEOUT_DEFAULT_S * 1_000}. A policy with consumer-timeout (RabbitMQ 3.12) would be read here.",
        )
    return joined(
        name,
        f"a delivery is held for up to {hold_max_s:g} s, and its queue waits longer",
        short,
        f"Set BRH_HOLD_MAX_S, which is {hold_max_s:g}, {HELD_MARGIN_S} s lower than that, or the queue's limit higher.",
    )


def _consumer_timeout_s(name: str, found: Sequence[Mapping[str, Any]]) -> float | None:
    """Of a queue; None: it has none of its own."""
    queue = next((each for each in found if each.get("name") == name), {})
    policy = queue.get("effective_policy_definition") or {}
    limits = ((queue.get("arguments") or {}).get("x-consumer-timeout"), policy.get("consumer-timeout"))
    return min((limit / 1_000 for limit in limits if limit is not None), default=None)


def all_there(missing: Iterable[str]) -> Check:
    """Whether there is what `brh setup` declares."""
    return joined("rabbitmq.queues", "all are there", (f"{name} is missing" for name in missing), "Run `brh setup`.")
