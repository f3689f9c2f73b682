"""`brh doctor`: whether the systems suit each other, and what helps where they do not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from itertools import chain

import click
import msgspec
import rich_click

from bridge.check import Check, fail, ok, warn
from bridge.settings import BridgeSettings, load
from streams.cli.arguments import AS_JSON
from streams.cli.client import connected
from streams.cli.documents import as_text
from streams.cli.errors import EXIT_FAILED, EXIT_NOT_READY, CliError
from streams.cli.help import examples
from streams.doctor import here, kafka, rabbitmq, storage
from streams.settings import ClientSettings

_MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


class Examined(msgspec.Struct, frozen=True):
    """`brh doctor --json` prints it."""

    checks: list[Check]


@click.command("doctor", cls=rich_click.RichCommand, epilog=examples("brh doctor", "brh doctor --send-largest"))
@click.option(
    "--send-largest",
    is_flag=True,
    help="Send RabbitMQ one message as large as a payload may be, which nobody gets: the only way to know its limit.",
)
@AS_JSON
def command(send_largest: bool, as_json: bool) -> None:
    """Check whether RabbitMQ, Kafka, storage and trackers suit each other and what we ask of them.

    Nothing is changed anywhere. Exit code 0: nothing is wrong, warnings included; 1: something is; 4: a system does
    not answer.
    """
    for noisy in ("azure", "aiokafka"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # they log what is told here
    checks = asyncio.run(_examine(load(ClientSettings), load(BridgeSettings), send_largest))
    if as_json:
        click.echo(as_text(Examined(checks)))
    else:
        for line in _lines(checks):
            click.echo(line)
    click.get_current_context().exit(_exit_code(checks))


async def _examine(settings: ClientSettings, bridge: BridgeSettings, send_largest: bool) -> list[Check]:
    """All systems at once; the order of what they say is always the same."""
    found = await asyncio.gather(
        rabbitmq.examine(settings, bridge, send_largest=send_largest),
        kafka.examine(settings, settings.dedupe_retention_s, bridge.watermark_interval_s),
        storage.examine(settings),
        _trackers(settings),
    )
    return [*chain.from_iterable(found), here.packages()]


async def _trackers(settings: ClientSettings) -> list[Check]:
    name = "trackers.answer"
    async with connected(settings.api_url) as api:
        try:
            theirs = await api.version()
        except CliError as error:
            return [warn(name, _sentence(error), error.remedy)]  # whoever sets an installation up has none yet
        checks = [here.same_version(theirs), here.tokens(settings)]
        try:
            await api.transactions({"limit": "1"})
        except CliError as error:
            said = warn if error.exit_code == EXIT_NOT_READY else fail
            return [said(name, _sentence(error), error.remedy), *checks]
        return [ok(name, f"one answers at {settings.api_url}"), *checks]


def _sentence(error: CliError) -> str:
    return error.message.partition("\n")[0]


def _lines(checks: Iterable[Check]) -> Iterator[str]:
    counts = dict.fromkeys(_MARKS, 0)
    for check in checks:
        counts[check.status] += 1
        mark, colour = _MARKS[check.status]
        yield f"{click.style(mark, fg=colour)}  {check.name}: {check.detail}"
        if check.remedy:
            yield f"      {check.remedy}"
    yield f"{counts['ok']} ok, {counts['warn']} warnings, {counts['fail']} failures"


def _exit_code(checks: Iterable[Check]) -> int:
    failed = [check.name for check in checks if check.status == "fail"]
    if any(name.endswith(".answers") for name in failed):
        return EXIT_NOT_READY
    return EXIT_FAILED if failed else 0
