"""What a list of the container tells of each transaction, without reading a single blob. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from bridge.blobs import Listed
from bridge.contract.inbound import is_transaction_id
from bridge.layout import HEADER_BLOB, ORPHANS_BLOB, OUTCOME_BLOB, TOLD_BLOB, PartName, record_name
from streams.outcome import PARTS_LISTED


class Folder(NamedTuple):
    """Everything below one transaction."""

    transaction: str
    outcome: Listed | None = None
    header: bool = False
    told: bool = False
    orphans: bool = False
    parts: int = 0
    """Staged or committed."""
    bare: int = 0
    """Of them those that look as if nothing were committed."""
    newest: datetime | None = None
    """When the last of it was written, as far as the service says."""

    @property
    def empty(self) -> bool:
        """Storage has nothing of it that is ours."""
        return self == Folder(self.transaction)

    @property
    def garbage(self) -> bool:
        """There is an outcome, and more parts than it lists, or such that are only staged."""
        if self.outcome is None:
            return False
        listed = self.outcome.metadata.get(PARTS_LISTED, "0")
        return self.bare > 0 or self.parts > int(listed)

    def with_blob(self, blob: Listed) -> Folder:
        """The same and one blob more."""
        folder = self
        if blob.modified is not None and (folder.newest is None or blob.modified > folder.newest):
            folder = folder._replace(newest=blob.modified)
        if blob.name == record_name(self.transaction, OUTCOME_BLOB):
            return folder._replace(outcome=blob)
        if blob.name == record_name(self.transaction, TOLD_BLOB):
            return folder._replace(told=True)
        if blob.name == record_name(self.transaction, HEADER_BLOB):
            return folder._replace(header=True)
        if blob.name == record_name(self.transaction, ORPHANS_BLOB):
            return folder._replace(orphans=True)
        if PartName.parse(blob.name) is not None:
            return folder._replace(parts=folder.parts + 1, bare=folder.bare + blob.bare)
        return folder


def gather(begun: Folder | None, blobs: Iterable[Listed]) -> tuple[list[Folder], Folder | None]:
    """Put blobs, in the order of a list, into the folders of their transactions.

    Returns those that are complete, and the one that the next blobs may still belong to. What is below no name that a
    transaction can have is somebody else's and left out.
    """
    done: list[Folder] = []
    for blob in blobs:
        transaction = blob.name.partition("/")[0]
        if begun is None or begun.transaction != transaction:
            if begun is not None:
                done.append(begun)
            begun = Folder(transaction) if is_transaction_id(transaction) else None
        if begun is not None:
            begun = begun.with_blob(blob)
    return done, begun
