"""`brh demo`: the whole product on this machine, with real brokers, in one go."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import click
import rich_click
from rich.filesize import decimal

from bridge.azure_blobs import AzureBlobs
from bridge.logs import configure_logs
from bridge.settings import LogSettings, load
from bridge.topology import OUTBOUND_EXCHANGE
from streams.cli import show
from streams.cli.client import Api, connected
from streams.cli.demo_installation import Installation
from streams.cli.demo_result import Invented, invent
from streams.cli.download import fetch_series
from streams.cli.errors import EXIT_DATA_WRONG, EXIT_NOT_READY, CliError
from streams.cli.help import examples
from streams.cli.producer import Progress, send
from streams.cli.wait import until_final
from streams.outcome import find_outcome
from streams.stack import Stack, StackError

DUPLICATES = 0.2
KILL_AT = 0.4
READY_S = 90.0
OUTCOME_S = 120.0


@click.command("demo", cls=rich_click.RichCommand, epilog=examples("brh demo", "brh demo --keep"))
@click.option("--keep", is_flag=True, help="Leave bridge, trackers and delivery running until Ctrl-C.")
def command(keep: bool) -> None:
    """Start what is needed, send a real result, kill a process in the middle, verify every byte.

    The result has four series, one of 128 MiB; its payloads are shuffled, a fifth of them is sent twice, and the
    header comes last. A tracker is killed with SIGKILL on the way. The brokers stay up afterwards, the processes only
    with --keep: the last lines are the command that starts them again, and the address of the result's page.
    """
    configure_logs(load(LogSettings), "demo")
    folder = Path(os.environ.get("BRH_STACK_DIR", ".brh/stack"))
    say = click.echo
    say("1. Real RabbitMQ, Kafka and Azurite on this machine")
    stack = Stack(folder, say=lambda line: say(f"   {line}"))
    try:
        stack.up()
    except StackError as error:
        raise CliError(str(error), code="stack", remedy="See `brh stack status`.", exit_code=EXIT_NOT_READY) from error
    asyncio.run(_demo(Installation(stack.env(), folder.parent / "demo"), folder, keep, say))


async def _demo(here: Installation, stack_folder: Path, keep: bool, say: Callable[[str], None]) -> None:
    say("2. Topology, topics, container; then one bridge, two trackers, one delivery")
    await here.provision()
    async with here.running(), connected(here.api_url) as api:
        await here.ready(READY_S)
        say(f"   ready, API on {here.api_url}, output of the processes in {here.log}")
        transaction = time.strftime("demo-%Y%m%d-%H%M%S")
        result = invent(transaction)
        async with _first_notification(here, transaction) as notification:
            await _send(here, transaction, result, say)
            await _wait(api, transaction, say)
            await _verify(here, transaction, result, say)
            say("6. The notification, as consumers of exchange brh.out and of Kafka's topic got it")
            say(f"   {(await notification).decode()}")
        _where_to_look(here, stack_folder, transaction, keep, say)
        if keep:
            await asyncio.Event().wait()


async def _send(here: Installation, transaction: str, result: dict[str, Invented], say: Callable[[str], None]) -> None:
    size = sum(source.size for source in result.values())
    say(f"3. Transaction {transaction}: {len(result)} series, {decimal(size)}, shuffled, duplicates, header last")
    shown = killed = 0.0

    def on_progress(now: Progress) -> None:
        nonlocal shown, killed
        share = now.messages / now.messages_of
        if share >= shown:
            shown += 0.1
            say(f"   {now.messages:4d} of {now.messages_of} payloads confirmed, {decimal(now.bytes)}")
        if share >= KILL_AT and not killed:
            killed = share
            say(f"   SIGKILL to tracker-1, process {here.kill('tracker-1')}")

    await send(
        here.amqp_url, transaction, result, shuffle=1, duplicates=DUPLICATES, header_last=True, on_progress=on_progress
    )


async def _wait(api: Api, transaction: str, say: Callable[[str], None]) -> None:
    say("4. What the API says")
    waited = await until_final(api, transaction, OUTCOME_S)
    if waited.row is None or waited.row["state"] != "Completed":
        state = waited.row["state"] if waited.row else "not known"
        remedy = "Look into the output of the processes."
        raise CliError(f"{transaction} is {state}", code="demo-failed", remedy=remedy, exit_code=EXIT_NOT_READY)
    for line in show.status(waited.row):
        say(f"   {line}")
    if waited.row["recoveries"]:
        say(f"   rebuilt by its new owner {waited.row['recoveries']} time(s) from the table's changelog")


async def _verify(
    here: Installation, transaction: str, result: dict[str, Invented], say: Callable[[str], None]
) -> None:
    folder = here.folder / transaction
    say(f"5. Every byte, fetched into {folder} and compared with what was sent")
    folder.mkdir(parents=True, exist_ok=True)
    async with AzureBlobs(here.client) as blobs:
        decided = await find_outcome(blobs, transaction)
        assert decided is not None, "a Completed transaction has an outcome"
        for series in decided.outcome.series:
            fetched = await fetch_series(blobs, transaction, series, folder, lambda _: None)
            source = result[series.series_type]
            same = fetched.file is not None and await asyncio.to_thread(source.equals, Path(fetched.file))
            if not (fetched.ok and same):
                message = f"series {series.series_type} differs from what was sent"
                raise CliError(message, code="bytes-differ", remedy="Please report this.", exit_code=EXIT_DATA_WRONG)
            say(f"   {series.series_type}: {decimal(fetched.bytes)} equal")


@asynccontextmanager
async def _first_notification(here: Installation, transaction: str) -> AsyncIterator[asyncio.Future[bytes]]:
    """The body of the transaction's first notification, heard on a queue of our own."""
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    async with await aio_pika.connect(here.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(OUTBOUND_EXCHANGE, "transaction.completed.#")

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            if message.correlation_id == transaction and not heard.done():
                heard.set_result(message.body)

        await queue.consume(take, no_ack=True)
        yield heard


def _where_to_look(
    here: Installation, stack_folder: Path, transaction: str, keep: bool, say: Callable[[str], None]
) -> None:
    say("\nWhere to look")
    say(f"   outcome       {here.client.blob_container}/{transaction}/_outcome.json in Azurite, series beside it")
    say("   Kafka         topics brh.events, brh.deliveries, brh.outcomes, and the changelogs of the tables")
    say("   brokers       brh stack status; brh stack env prints the settings")
    say("   end           brh stack down [--wipe]")
    if keep:
        say("\nEverything runs until Ctrl-C. The page of the result:")
    else:
        say("\nThe page of the result, as soon as this command has brought bridge, tracker and delivery up again:")
        say(f"   {_again(here, stack_folder)}")
    say(f"   {here.api_url}/transactions/{transaction}")


def _again(here: Installation, stack_folder: Path) -> str:
    """The command line that serves what the demo has served, at the same addresses, until Ctrl-C."""
    called = Path(sys.argv[0])
    program = shlex.quote(str(called) if called.name == "brh" else "brh")
    binds = " ".join(f"{name}={bind}" for name, bind in here.binds.items())
    return f'eval "$({program} stack env --dir {shlex.quote(str(stack_folder))})" && {binds} {program} run'
