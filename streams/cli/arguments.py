"""Values on the command line that have a unit."""

from __future__ import annotations

import re
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from bridge.contract.inbound import TIMEOUT_MAX_S, TIMEOUT_MIN_S, is_transaction_id, is_transaction_type
from bridge.durations import limit_s
from bridge.quoting import quoted

_SIZE = re.compile(r"([0-9]{1,15})([KMGT]i?)?B?", re.IGNORECASE)
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, None: 1.0}
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%?")


class Size(click.ParamType):
    """Bytes, as `8MiB`, `500kB` or a plain number."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(str(value))
        if not found:
            self.fail(f"{value!r} is no size such as 8MiB, 500kB or 1048576.", param, ctx)
        prefix = (found[2] or "").lower()
        base = 1_024 if prefix.endswith("i") else 1_000
        return int(found[1]) * int(base ** (" kmgt".index(prefix[0]) if prefix else 0))


class Duration(click.ParamType):
    """Seconds, as `60s`, `2m`, `1h`, `1d` or a plain number."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, int | float):
            return float(value)
        found = _DURATION.fullmatch(str(value))
        if not found:
            self.fail(f"{value!r} is no duration such as 60s, 2m or 1h.", param, ctx)
        return float(found[1]) * _SECONDS[found[2]]


class Wait(Duration):
    """Seconds to wait for messages, as `Duration` or as ISO 8601, within the bounds of the contract."""

    name = "wait"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        iso_s = limit_s(value) if isinstance(value, str) else None
        seconds = super().convert(value, param, ctx) if iso_s is None else iso_s
        if not TIMEOUT_MIN_S <= seconds <= TIMEOUT_MAX_S:
            self.fail(f"{value!r} is not within 1s to 6d.", param, ctx)
        return seconds


class Percent(click.ParamType):
    """A share, as `5%` or `5`."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """From 0 to 1."""
        if isinstance(value, float):
            return value
        found = _PERCENT.fullmatch(str(value))
        if not found or float(found[1]) > 100:
            self.fail(f"{value!r} is no percentage from 0% to 100%.", param, ctx)
        return float(found[1]) / 100


class TransactionId(click.ParamType):
    """The id of a transaction."""

    name = "txn"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The id, if it can be one."""
        if not is_transaction_id(value):
            self.fail(
                f"{quoted(value)} is no transaction id: 1 to 128 of A-Z a-z 0-9 . _ - with a letter or digit at both "
                "ends and no `..`.",
                param,
                ctx,
            )
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Those that the API lists, with their states."""
        from streams.cli.suggestions import transactions

        return [CompletionItem(each["transactionId"], help=each["state"]) for each in transactions(incomplete)]


class TransactionType(click.ParamType):
    """A transaction type."""

    name = "type"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The type, if it can be one."""
        if not is_transaction_type(value):
            self.fail(
                f"{quoted(value)} is no transaction type: up to 63 of A-Z a-z 0-9 _ - with a letter or digit first.",
                param,
                ctx,
            )
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Those of transactions that the API lists."""
        from streams.cli.suggestions import types

        return [CompletionItem(each) for each in types(incomplete)]


TXN = click.argument("transaction", metavar="TXN", type=TransactionId())
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
