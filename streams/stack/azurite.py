"""Azurite, the emulator of Azure Storage, as an ordinary process: the blob service only, on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar, Final

from streams.stack import install, ports, programs
from streams.stack.service import Service

# Account and key that the emulator is known by everywhere; they are public and open nothing else.
_ACCOUNT: Final = "devstoreaccount1"
_KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_API_VERSION: Final = "2026-06-06"
_ASK_TIMEOUT_S: Final = 5


class Azurite(Service):
    """One account.

    Its index is in memory and saved every five seconds: SIGKILL loses what is younger, SIGTERM nothing.
    """

    name: ClassVar[str] = "azurite"
    port_names: ClassVar[tuple[str, ...]] = ("blob",)
    grace_s: ClassVar[float] = 30

    @property
    def connection_string(self) -> str:
        """For Azure's clients and tools."""
        endpoint = f"http://{ports.LOOPBACK}:{self.port}/{_ACCOUNT}"
        return f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};BlobEndpoint={endpoint};"

    def env(self) -> Mapping[str, str]:
        """The one variable that says it all."""
        return {"BRH_BLOB_CONNECTION_STRING": self.connection_string}

    def version(self) -> str | None:
        """The pinned one: no other can be installed."""
        return install.azurite_version()

    def start(self) -> None:
        """Start the blob service alone."""
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        options = ["--blobHost", ports.LOOPBACK, "--blobPort", str(self.port), "--location", str(data)]
        # Clients of other projects speak newer versions of the API than the emulator has.
        options += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        env = {name: value for name, value in os.environ.items() if not name.startswith("AZURITE_")}
        self.process.start([programs.node(), install.azurite_program(), *options], env)

    def answers(self) -> bool:
        """Whether it lists containers."""
        # Here, not above: the library takes longer to load than `env` and `down` take to run.
        from azure.core.exceptions import AzureError
        from azure.storage.blob import BlobServiceClient

        client = BlobServiceClient.from_connection_string(
            self.connection_string,
            api_version=_API_VERSION,
            retry_total=0,
            connection_timeout=_ASK_TIMEOUT_S,
            read_timeout=_ASK_TIMEOUT_S,
        )
        with client:
            try:
                next(iter(client.list_containers(results_per_page=1)), None)
            except AzureError:
                return False
        return True
