"""The checker: a process that knows only the producer's ledger and the outside world, and imports nothing of ours.

It consumes what is told while the faults happen, and looks at once whether that is true (I6). When the file `finish` is
there it waits until everything has become quiet, holds every transaction against the laws, and writes `report.json`.
Exit code 1: a law does not hold.

    python -m tests.chaos.check CONFIG
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from aio_pika.abc import AbstractIncomingMessage
from azure.core.exceptions import AzureError

from tests.chaos.known import Known
from tests.chaos.laws import Evidence, Notice, Violation, judge
from tests.chaos.ledger import LedgerReader, LedgerWriter
from tests.chaos.listen import ORPHANS, REJECTED, TELLING, Listener, follow_topic
from tests.chaos.outside import Outside
from tests.chaos.storage import Storage, Stored

ROUND_S: Final = 2.0
"""Between two looks at everything."""
QUIET_ROUNDS: Final = 2
"""So often in a row nothing may be pending; then nothing is on its way any more."""
READERS: Final = 2
CANCELS_MAX: Final = 10
LISTED_MAX: Final = 40
"""Pending things in a report."""
OUTCOMES: Final = {f"brh.transaction.{kind}.v1" for kind in ("completed", "failed", "abandoned")}


class Checker:
    """Everything that was seen."""

    def __init__(self, config: dict[str, Any], storage: Storage, outside: Outside) -> None:
        self._config = config
        self._folder = Path(config["folder"])
        self._storage, self._outside = storage, outside
        self._known, self._ledger = Known(), LedgerReader(Path(config["ledger"]))
        self._journal = LedgerWriter(self._folder / "seen.jsonl")
        self._seen: defaultdict[str, Evidence] = defaultdict(Evidence)
        self._violations: set[Violation] = set()
        self._listed: dict[str, Stored] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._readers = asyncio.Semaphore(READERS)
        self._reading: set[str] = set()

    # What is told

    def take(self, queue: str, message: AbstractIncomingMessage) -> None:
        """A message from one of the queues."""
        digest = hashlib.sha256(message.body).hexdigest()
        self._journal.write(
            [{"at": time.time(), "queue": queue, "id": message.message_id, "t": message.correlation_id, "sha": digest}],
            durable=False,
        )
        if queue == REJECTED:
            self._take_dead(message, digest)
        elif queue == ORPHANS:
            event = json.loads(message.body)
            self._seen[event["subject"]].orphans.add(message.body.decode())
        else:
            self._take_event("amqp" if queue == TELLING else "reply", message.body)

    def take_record(self, value: bytes) -> None:
        """A record of the outcomes topic."""
        self._take_event("kafka", value)

    def _take_event(self, via: str, body: bytes) -> None:
        event = json.loads(body)
        if event["type"] in OUTCOMES:
            seen = self._seen[event["subject"]]
            notice = Notice(via, event["id"], body.decode())
            if notice not in seen.notices:
                seen.notices.add(notice)
                if len(seen.notices) == 1:
                    self._begin(self._look_at_once(event["subject"], event["data"]))
        elif event["type"] == "brh.message.rejected.v1":
            name, number = _message(event["data"]["messageId"])
            said = (event["id"], event["data"]["problem"]["code"])
            self._seen[name].refused.setdefault(number, set()).add(said)

    def _take_dead(self, message: AbstractIncomingMessage, digest: str) -> None:
        self._known.add(self._ledger.new())
        name, number = _message(message.message_id)
        self._seen[name].dead.setdefault(number, set()).add(digest)
        if name not in self._known.transactions or number not in self._known.transactions[name].bad:
            self.violated("I4", name, f"message {number} was good, and is dead-lettered: {dict(message.headers)}")

    def violated(self, law: str, transaction: str, detail: str) -> None:
        """Remember, and say so at once."""
        violation = Violation(law, transaction, detail)
        if violation not in self._violations:
            self._violations.add(violation)
            with (self._folder / "violations.jsonl").open("a") as file:
                file.write(json.dumps({"at": time.time()} | violation._asdict()) + "\n")

    # What is there

    async def _look_at_once(self, name: str, data: dict[str, Any]) -> None:
        """I6: told, therefore there, now."""
        document = await self._storage.document(f"{name}/_outcome.json")
        if document is None:
            self.violated("I6", name, "told, and the outcome cannot be read")
            return
        seen = self._seen[name]
        seen.outcome, seen.outcome_etag = document.json, document.etag
        parts = [part for series in data["series"] for part in series["parts"]]
        for part in parts:
            if await self._storage.looks(part["uri"]) != Stored(part["etag"], part["bytes"]):
                self.violated("I6", name, f"told, and {part['uri']} is not there as listed")
        if data["outcome"] == "Completed":
            await self._read_bytes(name)

    async def _read_bytes(self, name: str) -> None:
        seen = self._seen[name]
        if seen.outcome is None or seen.committed is not None or name in self._reading:
            return
        self._reading.add(name)
        try:
            async with self._readers:
                self._known.add(self._ledger.new())
                committed: dict[Any, Any] = {}
                for wrong in await self._storage.wrong_bytes(self._known.transactions[name], seen.outcome, committed):
                    self.violated("I1", name, wrong)
                seen.committed = committed
        finally:
            self._reading.discard(name)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        async def insist() -> None:
            try:
                await work
            except AzureError:  # away for longer than the client's patience; the rounds at the end read it again
                return

        task = asyncio.create_task(insist())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # At the end

    async def settle(self) -> bool:
        """Look at everything until nothing is pending, or the deadline; whether all laws hold."""
        deadline, quiet = time.monotonic() + self._config["settle_s"], 0
        while True:
            self._known.add(self._ledger.new())
            pending, classes = await self._round()
            quiet = 0 if pending else quiet + 1
            late = time.monotonic() > deadline
            self._report(pending, classes)
            if quiet >= QUIET_ROUNDS or late or self._violations:
                for each in pending if late else ():
                    self.violated(*each)
                self._report(pending, classes)
                return not self._violations
            await asyncio.sleep(ROUND_S)

    async def _round(self) -> tuple[list[Violation], Counter[str]]:
        if not self._known.done:
            return [Violation("harness", "", "the producer has not ended")], Counter()
        try:
            pending = await self._storage_round() + await self._outside.queues()
        except (AzureError, OSError) as error:
            return [Violation("harness", "", f"not answered: {error!r}")], Counter()
        classes: Counter[str] = Counter()
        for name, sent in self._known.transactions.items():
            seen = self._seen[name]
            if seen.outcome is not None and seen.state != seen.outcome["outcome"]:
                seen.state = await self._outside.state(name)
            judgement = judge(sent, seen, self._config["header_limit_s"])
            classes.update(judgement.classes)
            pending += judgement.pending
            for each in judgement.violations:
                self.violated(*each)
        if not pending and sum(classes.values()) != self._known.confirmed:
            self.violated("I4", "", f"{self._known.confirmed} messages confirmed, classes {dict(classes)}")
        return pending, classes

    async def _storage_round(self) -> list[Violation]:
        """Read what is new, compare what was read, and find what should not be there."""
        before = {name for name, seen in self._seen.items() if seen.outcome is not None}
        self._listed = await self._storage.list()
        folders: defaultdict[str, set[str]] = defaultdict(set)
        for blob in self._listed:
            name, _, rest = blob.partition("/")
            folders[name].add(rest)
        pending: list[Violation] = []
        for name, blobs in folders.items():
            seen = self._seen[name]
            if "_outcome.json" in blobs and seen.outcome is None:
                document = await self._storage.document(f"{name}/_outcome.json")
                if document is not None:
                    seen.outcome, seen.outcome_etag = document.json, document.etag
            if seen.outcome is not None:
                if seen.outcome["outcome"] == "Completed":
                    await self._read_bytes(name)
                if seen.told is None and "_told.json" in blobs:
                    told = await self._storage.document(f"{name}/_told.json")
                    seen.told = told.json if told else None
                # A list that was begun before the outcome was seen may be older than that.
                pending += self._floor(name, blobs, seen) if name in before else [Violation("I2", name, "is new")]
            if name not in self._known.transactions:
                self.violated("I13", name, "is in storage, and nobody sent anything of it")
        return pending

    def _floor(self, name: str, blobs: set[str], seen: Evidence) -> list[Violation]:
        """I2 and I7: what was read is still the same. I13: nothing is left behind."""
        assert seen.outcome is not None
        there = self._listed.get(f"{name}/_outcome.json")
        if there is None or there.etag != seen.outcome_etag:
            self.violated("I2", name, f"the outcome was {seen.outcome_etag} and is {there}")
        listed = {}
        for series in seen.outcome["series"]:
            for part in series["parts"]:
                blob = self._storage.blob_of(part["uri"])
                listed[blob.partition("/")[2]] = True
                if self._listed.get(blob) != Stored(part["etag"], part["bytes"]):
                    self.violated("I7", name, f"{blob} is {self._listed.get(blob)}, the outcome says {part}")
        left = sorted(blob for blob in blobs if not blob.startswith("_") and blob not in listed)
        return [Violation("I13", name, f"left behind: {left[:5]}")] if left else []

    def _report(self, pending: list[Violation], classes: Counter[str]) -> None:
        outcomes = Counter(seen.outcome["outcome"] for seen in self._seen.values() if seen.outcome)
        report = {
            "transactions": len(self._known.transactions),
            "confirmed": self._known.confirmed,
            "outcomes": dict(outcomes),
            "classes": dict(classes),
            "violations": [each._asdict() for each in sorted(self._violations)],
            "pending": [each._asdict() for each in pending[:LISTED_MAX]],
        }
        (self._folder / "report.json").write_text(json.dumps(report, indent=1))


def _message(message_id: str | None) -> tuple[str, int]:
    """The transaction and the number in the id of a producer's message."""
    name, _, number = (message_id or "").rpartition("/")
    return name, int(number or 0)


async def main(config: dict[str, Any]) -> int:
    """Until everything is judged; the exit code."""
    folder = Path(config["folder"])
    async with Storage(config["blob"], config["container"]) as storage, Outside(config) as outside:
        checker = Checker(config, storage, outside)
        listener = Listener(config["amqp_url"], checker.take)
        topic = follow_topic(config["kafka"], config["outcomes_topic"], config["partitions"], checker.take_record)
        watching = [asyncio.create_task(listener.run()), asyncio.create_task(topic)]
        await listener.ready.wait()
        (folder / "listening").touch()
        while not (folder / "finish").exists():
            for task in watching:
                if task.done():
                    task.result()
            await asyncio.sleep(0.2)
        holds = await checker.settle()
        await _end(watching)
        return 0 if holds else 1


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel, as often as it takes: some libraries take a cancellation for their own."""
    for _ in range(CANCELS_MAX):
        for task in tasks:
            task.cancel()
        _, left = await asyncio.wait(tasks, timeout=5)
        if not left:
            return
    raise RuntimeError(f"does not end: {left}")


if __name__ == "__main__":
    sys.exit(asyncio.run(main(json.loads(Path(sys.argv[1]).read_text()))))
