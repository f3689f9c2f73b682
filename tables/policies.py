"""How long a transaction may wait and what happens then: limits for each transaction type. Pure.

The header may set some of them itself, within bounds. Limits belong to the tracker's configuration and not to the
facts: a change counts for open transactions too, as soon as their tracker has been started again.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from bridge.contract.inbound import TIMEOUT_MAX_S, TIMEOUT_MIN_S, Header

EARLY_PAYLOADS_MAX: Final = 1_000_000
EARLY_BYTES_MAX: Final = 1 << 50

OnTimeout = Literal["abandon", "partial"]
OnConflict = Literal["fail", "keep-first"]


class Limits(msgspec.Struct, frozen=True):
    """Of one transaction. Times in seconds, each from `TIMEOUT_MIN_S` to `TIMEOUT_MAX_S`."""

    header_s: float = 600.0
    """For the header, since the first payload. Only in `[default]`: without a header nobody knows the type."""
    idle_s: float = 600.0
    """Without anything new, before the gaps are told."""
    awaiting_s: float = 24 * 3600.0
    """For everything, since the first message."""
    completing_s: float = 15 * 60.0
    """For outcome and notification, before it counts as overdue."""
    completing_max_s: float = 24 * 3600.0
    """For outcome and notification, before the transaction has failed."""
    on_timeout: OnTimeout = "abandon"
    """What comes of a transaction that waited too long for payloads: nothing, or what there is."""
    on_conflict: OnConflict = "fail"
    """What comes of messages that contradict each other: the transaction has failed, or the first one stays."""
    early_payloads_max: int = 100_000
    """Payloads before a header; with one, those of series that it does not list, kept to be reported (`keep-first`)."""
    early_bytes_max: int = 1 << 40
    """Bytes before a header. Only in `[default]`."""


class Policies(msgspec.Struct, frozen=True):
    """The limits of every transaction type."""

    default: Limits = Limits()
    """Also used before the header has told the type."""
    types: dict[str, Limits] = {}

    def of(self, header: Header | None) -> Limits:
        """The limits of a transaction with this header: its own wishes come before those of its type."""
        if header is None:
            return self.default
        limits = self.types.get(header.transaction_type, self.default)
        wishes = {
            "idle_s": header.timeouts.idle_s,
            "awaiting_s": header.timeouts.awaiting_s,
            "on_timeout": header.on_timeout,
            "on_conflict": header.on_conflict,
        }
        return msgspec.structs.replace(limits, **{name: wish for name, wish in wishes.items() if wish is not None})


DEFAULTS: Final = Policies()

__all__ = [
    "DEFAULTS",
    "EARLY_BYTES_MAX",
    "EARLY_PAYLOADS_MAX",
    "TIMEOUT_MAX_S",
    "TIMEOUT_MIN_S",
    "Limits",
    "OnConflict",
    "OnTimeout",
    "Policies",
]
