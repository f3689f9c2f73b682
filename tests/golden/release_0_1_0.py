"""What release 0.1.0 writes: one record of every kind, with every member that it can have.

It is not changed once the release is out. A later one has a module of its own, and reads this one for ever.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from bridge.contract.events import (
    AnyEvent,
    Command,
    Delivered,
    DeliveryRefused,
    HeaderReceived,
    MessageRefused,
    PayloadsStaged,
    Staged,
    Tick,
    Told,
    Watermark,
)
from bridge.contract.inbound import Header, SeriesSpec, Timeouts, Trace
from bridge.contract.outbound import Orphaned, Outcome, OutcomeTimestamps, Part, Problem, SeriesResult
from bridge.contract.outbound import OrphanSeries as OrphanResult
from bridge.contract.outbound import Told as ToldRecord
from bridge.header_record import HeaderRecord
from bridge.layout import EMPTY_MARKER_CRC64, KEEP_ALIVE, BlockId, PartName
from bridge.runs import Interval
from streams.notification import notice, notification, orphan_record
from streams.outcome import Audience, Decided
from tables.decisions import Expired, GapNoticed, Overdue
from tables.effects import Announce, Deliver, Effect, KeepAlive, OrphanSeries, PartPlan, SeriesPlan
from tables.projection import view
from tables.rules import Fact, advance, opened
from tests.golden import sample
from tests.golden.sample import Sample

MOMENT: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER: Final = datetime(2026, 1, 31, 12, 30, 0, 123_456, tzinfo=UTC)
TIME: Final = "2026-01-31T12:00:00.000Z"
URI: Final = "https://lab.blob.core.windows.net/results/T1"

PROBLEM: Final = Problem(
    "timeout", "A title", "What happened.", "await", TIME, missing={"a": ((1, 2), (4, 4)), "b": None}
)
PASSING: Final = replace(PROBLEM, code="storage-unavailable", stage="assemble", retryable=True, terminal=False)
HEADER: Final = Header(
    (SeriesSpec("a", 2, "text/csv"), SeriesSpec("b")), "valuation", Timeouts(60.0, 3_600.0), "partial", "keep-first",
    {"book": "EUR"},
)  # fmt: skip
TRACE: Final = Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b")

ONE: Final = Staged("a", 1, 1, 2, (5,), ("0123456789abcdef",), ("0123456789abcdef",))
CUT: Final = Staged("a", 2, 1, 2, (20 << 20,), ("0" * 16,), ("1" * 16, "2" * 16, "3" * 16))
EMPTY: Final = Staged("b", 9, 1, 9, (0,), ("0" * 16,), ())
RUN: Final = Staged("b", 1, 4, 9, (1, 2, 0, 3), ("4" * 16, "5" * 16, "0" * 16, "6" * 16), ("7" * 16,))
FOUND: Final = Staged("b", 5, 4, 9, (), (), ("8" * 16,), 77)

RECEIVED: Final = HeaderReceived("T1", HEADER, "d" * 32, MOMENT, "queue", TRACE)
COMPLETED: Final = Delivered("T1", "Completed", f"{URI}/_outcome.json", "0x8DCF", MOMENT, LATER, "n-1")
REFUSED: Final = DeliveryRefused("T1", "d-1", PASSING, {"a": (0, 1)})
EXTENDED: Final = Command("T1", "c-1", "extend", "somebody", MOMENT, 60.0)

EVENTS: Final[dict[str, AnyEvent]] = {
    "HeaderReceived": RECEIVED,
    "HeaderReceived-conflict": replace(RECEIVED, conflicting_digest="e" * 32),
    "HeaderReceived-least": HeaderReceived("T1", Header((SeriesSpec("a"),)), "d" * 32, MOMENT),
    "PayloadsStaged": PayloadsStaged("T1", (ONE, CUT, EMPTY, RUN, FOUND), LATER, TRACE),
    "Delivered": COMPLETED,
    "Delivered-failed": replace(COMPLETED, outcome="Failed", problem=PROBLEM),
    "MessageRefused": MessageRefused("T1", replace(PASSING, code="bad-ordinal", stage="ingest", type="")),
    "DeliveryRefused": REFUSED,
    "Told": Told("T1", "e-1", MOMENT),
    "Command-retry": Command("T1", "c-2", "retry", "somebody", MOMENT),
    "Command-cancel": Command("T1", "c-3", "cancel", "somebody", MOMENT),
    "Command-extend": EXTENDED,
    "Watermark": Watermark("b1", MOMENT),
    "Watermark-gone": Watermark("b1", None, gone=True),
    "Tick": Tick(MOMENT),
}

PLAN: Final = PartPlan(0, 2, 4, 10, "0" * 32, "f" * 32)
EFFECTS: Final[dict[str, Effect]] = {
    "Deliver": Deliver(
        "d-1", "T1", "valuation", "Completed", MOMENT, (SeriesPlan("a", 2, "text/csv", (PLAN,)), SeriesPlan("b", 0)),
        header_received=LATER, reply_to="queue", trace=TRACE,
    ),
    "Deliver-partial": Deliver(
        "d-2", "T1", "valuation", "Completed", MOMENT,
        (SeriesPlan("b", 9, None, (replace(PLAN, tiles="Y5BgAAA=", named=("0" * 16, "1" * 32, "")),)),), partial=True,
    ),
    "Deliver-abandoned": Deliver(
        "d-3", "T1", "default", "Abandoned", MOMENT, (SeriesPlan("a", None),), problem=PROBLEM,
        orphans=(OrphanSeries("b", None, 1, 2, ((1, 1),), False),),
    ),
    "Announce-accepted": Announce(
        "e-1", "T1", "valuation", "accepted", MOMENT, header=HEADER, reply_to="q", trace=TRACE
    ),
    "Announce-gap": Announce("e-2", "T1", "valuation", "gap", MOMENT, 3, PASSING),
    "Announce-overdue": Announce("e-3", "T1", "valuation", "overdue", MOMENT, problem=PASSING),
    "KeepAlive": KeepAlive("e-4", "T1", 2),
}  # fmt: skip

KEPT: Final[dict[str, Any]] = {
    "header": RECEIVED,
    "header-conflict": EVENTS["HeaderReceived-conflict"],
    "staged-one": ONE,
    "staged-cut": CUT,
    "staged-empty": EMPTY,
    "staged-run": RUN,
    "staged-found": FOUND,
    "outcome": COMPLETED,
    "told": EVENTS["Told"],
    "command": EXTENDED,
    "decision-gap": GapNoticed(2, PASSING),
    "decision-expired": Expired("Abandoned", PROBLEM),
    "decision-partial": Expired("Completed", None, partial=True),
    "decision-overdue": Overdue(PASSING),
}

TIMES: Final = OutcomeTimestamps(TIME, TIME, "2026-01-31T12:30:00.123Z")
WHOLE: Final = Outcome(
    "T1", "valuation", "Completed", False, f"{URI}/_outcome.json",
    (
        SeriesResult("a", 2, 10, "text/csv", (Part(f"{URI}/a/part-00000", 10, "0x8DCF", "0123456789abcdef"),)),
        SeriesResult("b", 0, 0, None, (Part(f"{URI}/b/part-00000", 0, "0x8DD0", "0" * 16),)),
    ),
    None, TIMES,
)  # fmt: skip
OUTCOMES: Final = {
    "completed": WHOLE,
    "partial": replace(
        WHOLE,
        partial=True,
        series=(
            SeriesResult("a", 4, 10, None, WHOLE.series[0].parts, ((1, 2),), ((3, 4),), False),
            SeriesResult("b", None, 0, None, (), (), None, True),
        ),
    ),
    "failed": replace(WHOLE, outcome="Failed", series=(SeriesResult("a", 2, 0, "text/csv", ()),), problem=PROBLEM),
    "abandoned": replace(
        WHOLE, outcome="Abandoned", transaction_type="default", series=(SeriesResult("a", None, 0, None, ()),),
        problem=replace(PROBLEM, code="no-header"), timestamps=replace(TIMES, created=None, header_received=None),
    ),
}  # fmt: skip
ORPHANED: Final = Orphaned("T1", "valuation", "unknown-series", (OrphanResult("b", None, 1, 2, ((1, 1),), True),))
AUDIENCE: Final = Audience("queue", TRACE, orphans=True)

STATES: Final[dict[str, tuple[Fact, ...]]] = {
    "AwaitingResults": (ONE, RECEIVED, REFUSED, EXTENDED, ONE, RUN),
    "SendingCompletion": (replace(RECEIVED, header=Header((SeriesSpec("a", 2),))), ONE, CUT),
    "Completed": (replace(RECEIVED, header=Header((SeriesSpec("a", 2),))), ONE, CUT, COMPLETED),
    "Failed": (RECEIVED, replace(COMPLETED, outcome="Failed", problem=PROBLEM)),
    "Abandoned": (ONE, replace(COMPLETED, outcome="Abandoned", problem=PROBLEM)),
}


def samples() -> dict[str, Sample]:
    """By the name of the file that holds it."""
    found = {f"events/{name}.json": sample.event(value) for name, value in EVENTS.items()}
    found |= {f"effects/{name}.json": sample.effect(value) for name, value in EFFECTS.items()}
    for offset, (name, fact) in enumerate(KEPT.items()):
        found[f"receipts/{name}.json"] = sample.receipt("T1", fact, offset, offset % 3)
    found |= {f"transactions/{state}.json": sample.view(_view(facts)) for state, facts in STATES.items()}
    found |= {f"outcomes/{name}.json": sample.document(value) for name, value in OUTCOMES.items()}
    found["told.json"] = sample.document(ToldRecord("n-1", TIME))
    found["header.json"] = sample.document(HeaderRecord("T1", HEADER, "d" * 32, MOMENT, "queue", TRACE))
    found["orphans.json"] = sample.document(ORPHANED)
    found["audience.txt"] = sample.audience(AUDIENCE)
    return found | _told() | _names()


def _view(facts: tuple[Fact, ...]) -> dict[str, Any]:
    transaction = opened("T1", MOMENT)
    for fact in facts:
        transaction = advance(transaction, fact, MOMENT)
    return view(transaction)


def _told() -> dict[str, Sample]:
    """Everything that anybody is told."""
    found = {
        f"notifications/{name}.json": sample.told(notification(Decided(outcome, "0x8DD1", AUDIENCE), "lab"))
        for name, outcome in OUTCOMES.items()
    }
    for name in ("accepted", "gap", "overdue"):
        effect = EFFECTS[f"Announce-{name}"]
        assert isinstance(effect, Announce)
        found[f"notifications/{name}.json"] = sample.told(notice(effect, "lab"))
    orphaned = orphan_record(Decided(WHOLE, "0x8DD1", AUDIENCE), ORPHANED, "lab")
    return found | {"notifications/orphaned.json": sample.told(orphaned)}


def _names() -> dict[str, Sample]:
    """How blobs and blocks are called."""
    counts, ordinals = bytes([3, 3, 3, 3, 1, 0, 2, 2, 1]), range(1, 10)
    tiles = [Interval(1, 4), Interval(5, 1), Interval(7, 2), Interval(9, 1)]
    return {
        "names/block.txt": sample.block(BlockId(1_000_000, 17, 1, 2, 8, 0x0123456789ABCDEF)),
        "names/block-run.txt": sample.block(BlockId(9, 5, 4, 0, 1, 7)),
        "names/block-empty.txt": sample.block(BlockId(9, 9, 1, 0, 0, EMPTY_MARKER_CRC64)),
        "names/block-keep-alive.txt": sample.block(KEEP_ALIVE),
        "names/part.txt": sample.part(PartName("T1", "cash-flows.v2", 244)),
        "names/tiles.txt": sample.tiles(tiles, counts, ordinals),
    }
