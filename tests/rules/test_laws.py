"""What must hold whatever arrives, in whatever order, how often ever."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from hashlib import blake2b
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from playbook import (
    START,
    T1,
    command,
    core,
    delivered,
    deliveries,
    header,
    not_taken,
    payload,
    problem,
    refused,
    run,
    seconds,
)
from playbook import told as answered

from bridge.contract.events import Command, Delivered, DeliveryRefused, HeaderReceived, MessageRefused, Staged
from bridge.layout import part_of
from bridge.runs import is_aligned
from tables import effects, receipts
from tables.accept import block_ids
from tables.decisions import Expired, GapNoticed, Overdue
from tables.due import due
from tables.effects import content_hash, notice_id
from tables.plan import plans
from tables.rules import TRANSITIONS, Fact, advance, opened
from tables.transaction import FINAL, State, Transaction, Verdict

law = settings(max_examples=80, deadline=None)

# Few names, ordinals and bodies, so that facts meet: `xy` and `xz` share a block, `u` is in no header, and a total of
# 2000 cuts bodies into larger blocks. Of the runs of two some have the same block with the edge elsewhere. Made
# beforehand, so that drawing a fact is drawing one number.
BODIES = ["", "x", "y", "xy", "xz"]
SMALL = ["", "x", "y"]
POLICIES = [None, "fail", "keep-first"]
TOTALS: list[dict[str, int | None]] = [{"a": 3}, {"a": None, "b": 3}, {"b": None}, {"a": 0}, {"a": 4, "b": 0}]
STAGED = [
    payload(series, ordinal, of=of, body=body)
    for series, ordinal, of, body in product("abu", [1, 2, 3], [3, 3, 4, 2_000], BODIES)
]
RUNS = [
    run(series, first, *bodies, of=of)
    for series in "aabu"
    for first, of, many in [
        (1, 3, product(SMALL, repeat=2)),
        (1, 4, product(SMALL, repeat=2)),
        (3, 4, product(SMALL, repeat=2)),
        (1, 4, [("x", "x", "x", "x"), ("x", "", "x", ""), ("", "x", "x", "y"), ("y", "y", "x", "x")]),
    ]
    for bodies in many
    if any(bodies)
]
HEADERS = [
    header(on_conflict=policy, conflicting=conflicting, **totals)
    for totals, policy, conflicting in product(TOTALS, POLICIES, [None, None, "other"])
]
OUTCOMES = ["Completed", "Failed", "Abandoned"]

outcomes = st.sampled_from(OUTCOMES)
kept: st.SearchStrategy[Fact] = st.one_of(
    *2 * [st.sampled_from(STAGED)], *2 * [st.sampled_from(RUNS)], st.sampled_from(HEADERS)
)
ASIDE: list[Fact] = [
    *(command(action, name=f"{action}-{n}", extend=60.0) for action in ("retry", "cancel", "extend") for n in (1, 2)),
    *(answered(notice_id(T1, kind, n)) for kind, n in (("accepted", 0), ("gap", 1), ("gap", 2), ("overdue", 0))),
    *(GapNoticed(n, problem("gap")) for n in (1, 2, 3)),
    *(
        Expired(outcome, problem(code))
        for outcome, code in (("Abandoned", "timeout"), ("Failed", "completion-timeout"))
    ),
    *(Expired("Completed", None, partial=True), Overdue(problem("overdue"))),
    *(not_taken(code) for code in ("bad-ordinal", "bad-type")),
]
facts = st.one_of(
    *6 * [kept], st.sampled_from(ASIDE), st.sampled_from([*map(delivered, OUTCOMES), *map(refused, OUTCOMES)])
)
scripts = st.lists(facts, max_size=12)
# Runs that were found in storage as well: of one such nobody can say what it would have contradicted.
FOUND = [replace(fact, sizes=(), crc64s=(), run_bytes=sum(fact.sizes)) for fact in RUNS]
any_facts = facts | st.sampled_from(FOUND)
any_scripts = st.lists(any_facts, max_size=12)
# All of one series, so that most facts meet others.
crowds = st.lists(st.sampled_from([fact for fact in [*STAGED, *RUNS] if fact.series == "a"]), max_size=25)


def fact_of(name: str, total: int, tile: tuple[int, int], bodies: list[str]) -> Staged:
    """The ordinals first .. first + count - 1 of a series with these bodies; `bodies[0]` is that of ordinal 1."""
    first, count = tile
    mine = bodies[first - 1 : first - 1 + count]
    return run(name, first, *mine, of=total) if count > 1 else payload(name, first, of=total, body=mine[0])


def may_be_staged(tile: tuple[int, int], bodies: list[str]) -> bool:
    """Whether there can be such a fact."""
    first, count = tile
    mine = bodies[first - 1 : first - 1 + count]
    small = any(mine) and all(len(body) < 2 for body in mine)
    return len(mine) == count and is_aligned(first, count) and (count == 1 or small)


def tiles_within(total: int) -> list[tuple[int, int]]:
    """First ordinal and count of everything that might be staged of 1 .. total."""
    return [(first, count) for count in (1, 2, 4, 8) for first in range(1, total + 1)]


@st.composite
def tilings(draw: st.DrawFn, total: int, bodies: list[str]) -> list[tuple[int, int]]:
    """First ordinal and count of tiles that hold each of 1 .. total once."""
    tiles: list[tuple[int, int]] = []
    first = 1
    while first <= total:
        count = draw(st.sampled_from([count for count in (1, 2, 4) if may_be_staged((first, count), bodies)]))
        tiles.append((first, count))
        first += count
    return tiles


@st.composite
def wholes(draw: st.DrawFn) -> list[Fact]:
    """The header and every payload of a transaction without contradictions, each of them in one fact."""
    totals = draw(st.dictionaries(st.sampled_from("abc"), st.integers(0, 4), min_size=1))
    announced = {name: total if total == 0 or draw(st.booleans()) else None for name, total in totals.items()}
    payloads: list[Fact] = []
    for name, total in totals.items():
        bodies = draw(st.lists(st.sampled_from(draw(st.sampled_from([BODIES, SMALL]))), min_size=total, max_size=total))
        payloads += [fact_of(name, total, tile, bodies) for tile in draw(tilings(total, bodies))]
    return [header(on_conflict=draw(st.sampled_from(POLICIES)), **announced), *payloads]


@st.composite
def overlapping(draw: st.DrawFn) -> list[Staged]:
    """Payloads of two series without contradictions, by themselves and in runs, some more than once."""
    found: list[Staged] = []
    for name in "ab":
        total = draw(st.sampled_from([1, 2, 2, 3, 4, 9]))
        bodies = draw(st.lists(st.sampled_from(SMALL), min_size=total, max_size=total))
        possible = [tile for tile in tiles_within(total) if may_be_staged(tile, bodies)]
        some = draw(st.lists(st.sampled_from(possible), min_size=1, max_size=10))
        found += [fact_of(name, total, tile, bodies) for tile in some]
    return found


def told(script: Iterable[Fact], at: Transaction | None = None) -> Transaction:
    return reduce(lambda transaction, fact: advance(transaction, fact, START), script, at or opened(T1, START))


COUNTERS = ("updated", "duplicates", "late", "contradictions", "refusals")


# --- one fact after the other


@law
@given(any_scripts, any_facts)
def test_a_fact_told_twice_is_a_fact_told_once(script: list[Fact], fact: Fact) -> None:
    once = told([fact], told(script))
    assert core(told([fact], once), but=COUNTERS) == core(once, but=COUNTERS)


@law
@given(scripts, st.data())
def test_a_message_or_a_command_told_again_at_any_time_changes_nothing_but_counters(
    script: list[Fact], data: st.DataObject
) -> None:
    # What answers or decides was true when it was said first, and means nothing where nothing has asked for it.
    after = told(script)
    for fact in script:
        if isinstance(fact, HeaderReceived | Staged | Command | Delivered) and data.draw(st.booleans()):
            assert core(told([fact], after)) == core(after)


@law
@given(any_scripts, any_facts)
def test_every_step_is_in_the_table(script: list[Fact], fact: Fact) -> None:
    before = told(script)
    assert told([fact], before).state in TRANSITIONS[before.state][type(fact)]


@law
@given(any_scripts, outcomes, any_scripts)
def test_a_final_state_is_never_left(script: list[Fact], outcome: str, later: list[Fact]) -> None:
    settled = told([*script, delivered(outcome)])
    after = told(later, settled)
    assert settled.state in FINAL
    assert after == replace(settled, late=after.late)
    assert due(after, START + seconds(3_600)) == ()


@law
@given(any_scripts, any_facts)
def test_a_verdict_is_changed_only_from_a_result_to_none(script: list[Fact], fact: Fact) -> None:
    before = told(script)
    after = told([fact], before)
    if before.verdict is not None and after.verdict != before.verdict:
        assert isinstance(fact, Expired | Command)
        assert after.verdict is not None
        assert (before.verdict.outcome, after.verdict.outcome != "Completed") == ("Completed", True)


@law
@given(any_scripts, any_facts)
def test_facts_only_grow(script: list[Fact], fact: Fact) -> None:
    before = told(script)
    after = told([fact], before)
    for name, series in before.series.items():
        assert after.series[name].received & series.received == series.received
        assert series.total_count in (None, after.series[name].total_count)


@law
@given(any_scripts, any_facts)
def test_telling_leaves_the_record_told_as_it_was(script: list[Fact], fact: Fact) -> None:
    before = told(script)
    told([fact], before)
    assert before == told(script)


# --- order


@law
@given(wholes(), st.data())
def test_the_same_facts_in_any_order_are_the_same_transaction(whole: list[Fact], data: st.DataObject) -> None:
    whole += data.draw(st.lists(st.sampled_from(whole), max_size=5))
    assert told(data.draw(st.permutations(whole))) == told(whole)


@law
@given(overlapping(), st.data())
def test_runs_and_payloads_that_overlap_are_the_same_transaction_in_any_order(
    staged: list[Staged], data: st.DataObject
) -> None:
    assert told(data.draw(st.permutations(staged))) == told(staged)


@law
@given(wholes(), st.data())
def test_time_tells_nothing_but_times(whole: list[Fact], data: st.DataObject) -> None:
    transaction = opened(T1, START)
    for number, fact in enumerate(data.draw(st.permutations(whole))):
        transaction = advance(transaction, fact, START + seconds(number))
    assert core(transaction) == core(told(whole))


# --- the verdict


@law
@given(wholes(), st.data())
def test_a_transaction_is_complete_when_and_only_when_everything_was_in(whole: list[Fact], data: st.DataObject) -> None:
    missing = data.draw(st.integers(0, 2))
    transaction = told(data.draw(st.permutations(whole))[missing:])
    everything = missing == 0
    assert transaction.verdict == (Verdict("Completed") if everything else None)
    assert transaction.state is (State.SENDING_COMPLETION if everything else State.AWAITING_RESULTS)


@law
@given(any_scripts)
def test_completed_is_said_only_when_every_ordinal_of_every_series_is_in(script: list[Fact]) -> None:
    transaction = told(script)
    if transaction.verdict != Verdict("Completed") or transaction.state in FINAL:
        return
    assert transaction.header is not None
    for spec in transaction.header.series:
        series = transaction.series[spec.type]
        told_of = [fact for fact in script if isinstance(fact, Staged) and fact.series == spec.type]
        heard = {fact.first + place for fact in told_of for place in range(fact.count)}
        assert series.total_count is not None
        assert set(range(1, series.total_count + 1)) <= heard
        assert series.received == (1 << series.total_count) - 1


@law
@given(scripts)
def test_without_a_header_payloads_reach_no_verdict(script: list[Fact]) -> None:
    assert told(fact for fact in script if isinstance(fact, Staged)).verdict is None


# --- effects


@law
@given(scripts, st.integers(0, 90))
def test_the_same_state_wants_the_same_effects(script: list[Fact], later_s: int) -> None:
    now = START + seconds(later_s)
    one, other = due(told(script), now), due(told(script), now)
    assert [effects.encode(each) for each in one] == [effects.encode(each) for each in other]
    assert tuple(effects.decode(effects.encode(each)) for each in one) == one


@law
@given(scripts, st.integers(0, 90))
def test_a_delivery_is_due_exactly_while_sending_and_not_in_a_pause(script: list[Fact], later_s: int) -> None:
    transaction, now = told(script), START + seconds(later_s)
    pause = transaction.refused is not None and later_s < min(2 ** (transaction.refusals - 1), 60)
    assert bool(deliveries(transaction, now)) == (transaction.state is State.SENDING_COMPLETION and not pause)


@law
@given(st.lists(st.sampled_from(SMALL), min_size=2, max_size=4), st.data())
def test_once_a_delivery_is_due_what_its_parts_contain_never_changes(bodies: list[str], data: st.DataObject) -> None:
    # A part may be committed by then; its blocks may still become larger ones, because what it contains tells it.
    total = len(bodies)
    staged = [fact_of("a", total, tile, bodies) for tile in tiles_within(total) if may_be_staged(tile, bodies)]
    transaction = told([header(a=total)])
    first = None
    for fact in data.draw(st.permutations(staged)):
        transaction = told([fact], transaction)
        for effect in deliveries(transaction, START):
            found = [(part.ordinals, part.bytes, part.content) for part in effect.series[0].parts]
            first = first or found
            assert found == first
    assert first is not None


@law
@given(any_scripts, any_facts)
def test_nothing_is_received_after_the_verdict(script: list[Fact], fact: Fact) -> None:
    before = told(script)
    after = told([fact], before)
    if before.verdict is not None and not isinstance(fact, Delivered | HeaderReceived):
        assert {name: series.received for name, series in after.series.items()} == {
            name: series.received for name, series in before.series.items()
        }
        assert {name: series.bytes for name, series in after.series.items()} == {
            name: series.bytes for name, series in before.series.items()
        }


# --- what a plan adds up to


class Model:
    """One series by brute force: the first content of each ordinal stays, and of the facts that agree the largest."""

    def __init__(self) -> None:
        self.contents: dict[int, tuple[int, str]] = {}
        self.agreed: list[Staged] = []

    def tell(self, fact: Staged, *, decided: bool) -> None:
        said = dict(enumerate(zip(fact.sizes, fact.crc64s, strict=True), fact.first))
        contradicts = any(self.contents.get(ordinal, content) != content for ordinal, content in said.items())
        if not contradicts and not (decided and not said.keys() <= self.contents.keys()):
            self.contents |= said
            self.agreed.append(fact)

    @property
    def tiles(self) -> list[Staged]:
        by_interval = {(fact.first, fact.count): fact for fact in reversed(self.agreed)}
        return [
            fact
            for (first, count), fact in by_interval.items()
            if not any(
                other <= first and first + count <= other + larger and larger > count for other, larger in by_interval
            )
        ]


def models(script: list[Fact]) -> dict[str, Model]:
    """By brute force: of each series the first total count stays."""
    totals: dict[str, int] = {}
    found: dict[str, Model] = {}
    transaction = opened(T1, START)
    for fact in script:
        if isinstance(fact, HeaderReceived) and transaction.header is None:
            for spec in fact.header.series:
                if spec.total_count is not None:
                    totals.setdefault(spec.type, spec.total_count)
        elif isinstance(fact, Staged):
            decided = transaction.verdict is not None
            listed = transaction.header and fact.series in {spec.type for spec in transaction.header.series}
            reported = not decided and transaction.limits.on_conflict == "keep-first"
            wanted = transaction.header is None or listed or reported
            if wanted and totals.setdefault(fact.series, fact.total_count) == fact.total_count:
                found.setdefault(fact.series, Model()).tell(fact, decided=decided)
        transaction = told([fact], transaction)
    return found


@law
@given(st.lists(kept, max_size=20) | crowds)
def test_tallies_are_what_brute_force_adds_up(script: list[Fact]) -> None:
    transaction, known = told(script), models(script)
    for name, series in transaction.series.items():
        model = known.get(name, Model())
        parts: dict[int, list[Staged]] = {}
        for tile in model.tiles:
            parts.setdefault(part_of(tile.first, tile.total_count), []).append(tile)
        assert {
            number: (tally.ordinals, tally.blocks, tally.bytes, f"{tally.digest:032x}")
            for number, tally in series.parts.items()
        } == {number: added_up(part) for number, part in parts.items()}
        assert series.bytes == sum(size for size, _ in model.contents.values())
        assert series.received_count == len(model.contents) == series.received.bit_count()


def added_up(part: list[Staged]) -> tuple[int, int, int, str]:
    ids = [block_id for tile in part for block_id in block_ids(tile)]
    digest = sum(int.from_bytes(blake2b(each.encode(), digest_size=16).digest(), "big") for each in ids)
    return sum(tile.count for tile in part), len(ids), sum(sum(tile.sizes) for tile in part), f"{digest % 2**128:032x}"


@law
@given(st.lists(kept, max_size=20) | crowds)
def test_the_content_of_a_part_is_that_of_its_ordinals_in_whatever_blocks(script: list[Fact]) -> None:
    transaction, known = told(script), models(script)
    for name, series in transaction.series.items():
        of_parts: dict[int, int] = {}
        for ordinal, (size, crc64) in known.get(name, Model()).contents.items():
            part = part_of(ordinal, series.total_count or 0)
            said = content_hash(ordinal, bytes.fromhex(crc64) if size else b"")
            of_parts[part] = (of_parts.get(part, 0) + said) % 2**128
        assert {number: tally.content for number, tally in series.parts.items()} == of_parts


@law
@given(st.lists(kept, max_size=20) | crowds)
def test_a_plan_names_the_blocks_of_the_tiles_and_no_others(script: list[Fact]) -> None:
    transaction, known = told(script), models(script)
    if transaction.verdict != Verdict("Completed"):
        return
    everything = {name: tuple(series.parts) for name, series in transaction.series.items()}
    for plan in plans(replace(transaction, unclear=everything), Verdict("Completed")):
        tiles = sorted(known.get(plan.series, Model()).tiles, key=lambda tile: tile.first)
        named = [text for part in plan.parts for text in part.named or ()]
        assert named == ["".join(tile.blocks) for tile in tiles]


# --- rows


def rows(script: list[Fact]) -> dict[str, receipts.Row]:
    """As the host keeps them: each key once, written by the first event that has it, if that changes anything."""
    found: dict[str, receipts.Row] = {}
    transaction = opened(T1, START)
    for offset, fact in enumerate(script):
        key = receipts.key(T1, fact)
        after = told([fact], transaction)
        has_row = not isinstance(fact, DeliveryRefused | MessageRefused)
        if key is not None and has_row and receipts.says_more(transaction, after):
            found.setdefault(key, receipts.read(receipts.row(fact, offset, START)))
        transaction = after
    return found


@law
@given(any_scripts, st.data())
def test_folding_the_rows_in_any_order_is_advancing_one_by_one(script: list[Fact], data: st.DataObject) -> None:
    # Nothing but a message or an outcome makes a transaction known.
    heard = [header(a=1), *(fact for fact in script if not isinstance(fact, DeliveryRefused | MessageRefused))]
    heard = data.draw(st.permutations(heard[:3])) + heard[3:]
    kept_rows = data.draw(st.permutations(list(rows(heard).values())))
    assert core(receipts.fold(T1, kept_rows)) == core(told(heard))


@law
@given(kept, kept)
def test_facts_of_other_content_have_other_keys(one: Fact, other: Fact) -> None:
    same = core(told([one])) == core(told([one, other])) and type(one) is type(other)
    if receipts.key(T1, one) == receipts.key(T1, other):
        assert same
