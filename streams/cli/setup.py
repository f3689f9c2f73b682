"""`brh setup`: RabbitMQ topology, Kafka topics, blob container."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import click
import msgspec
import rich_click
from aio_pika.exceptions import AMQPError
from aiokafka.errors import KafkaError

from bridge.blobs import BlobsError
from bridge.settings import load
from bridge.topology import TopologyError
from streams.cli.documents import as_text
from streams.cli.errors import EXIT_FAILED, EXIT_NOT_READY, CliError
from streams.cli.help import examples
from streams.provision import Provisioned, ProvisionError, provision_blob, provision_kafka, provision_rabbitmq
from streams.settings import ClientSettings
from streams.topics import Topics


@click.command("setup", cls=rich_click.RichCommand, epilog=examples("brh setup", "brh setup --json"))
@click.option("--json", "as_json", is_flag=True, help="Print what was created as JSON.")
def command(as_json: bool) -> None:
    """Create what is missing in RabbitMQ, Kafka and Blob Storage. Running it again changes nothing."""
    settings = load(ClientSettings)
    done = asyncio.run(_setup(settings))
    if as_json:
        click.echo(as_text(done))
        return
    for system, created in msgspec.structs.asdict(done).items():
        click.echo(f"{system}: {', '.join(created) if created else 'nothing to do'}")


async def _setup(settings: ClientSettings) -> Provisioned:
    return Provisioned(
        rabbitmq=await _reached("RabbitMQ", "BRH_AMQP_URL", provision_rabbitmq(settings)),
        kafka=await _reached(
            "Kafka",
            "BRH_KAFKA_BOOTSTRAP",
            provision_kafka(settings, Topics(settings.namespace, settings.partitions)),
        ),
        blob=await _reached(
            "Blob storage", "BRH_BLOB_CONNECTION_STRING or BRH_BLOB_ACCOUNT_URL", provision_blob(settings)
        ),
    )


async def _reached(system: str, variable: str, work: Coroutine[Any, Any, list[str]]) -> list[str]:
    try:
        return await work
    except (TopologyError, ProvisionError) as error:
        raise CliError(
            f"{system} has something else under our names: {error}",
            code="setup-refused",
            remedy="Remove what is in the way, or choose another virtual host, namespace or container.",
            exit_code=EXIT_FAILED,
        ) from error
    except (AMQPError, KafkaError, BlobsError, OSError) as error:
        raise CliError(
            f"{system} did not do what was asked: {error}",
            code="unreachable",
            remedy=f"Check that it runs and that {variable} is right; `brh stack up` starts one on this machine.",
            exit_code=EXIT_NOT_READY,
        ) from error
