"""The list of metrics, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.metrics import CATALOGUE, OTHER, TYPES_MAX, Kind

_WHERE = {
    Kind.BRIDGE: ("bridge", "`BRH_BRIDGE_BIND` (`127.0.0.1:6068`)"),
    Kind.TRACKER: ("tracker", "`BRH_API_BIND` (`127.0.0.1:6066`), with a token where there are tokens"),
    Kind.DELIVERY: ("delivery", "`BRH_DELIVERY_BIND` (`127.0.0.1:6067`)"),
}


def page() -> str:
    """`docs/metrics.md`."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield "Every process serves its own at `/metrics`, for Prometheus to read. Written by `python -m reference` from"
    yield "`bridge/metrics.py`."
    yield ""
    yield "No label holds the id of a transaction. Labels have few values; of transaction types, chosen by producers, a"
    yield f"process tells {TYPES_MAX} apart (`BRH_METRICS_TYPES_MAX`), and calls those that come later `{OTHER}`."
    yield "Counters begin at 0 when a process starts, and those by transaction type when it hears of it. Durations"
    yield "are of what succeeded. Beside these there are `process_*` and `python_info` of prometheus-client."
    yield ""
    yield "Metrics of bridge and delivery name no transaction, hold no secret and need no token, so the two may listen"
    yield "where Prometheus reaches them (`0.0.0.0:6068`); let nobody else reach the ports."
    for kind, (name, where) in _WHERE.items():
        yield ""
        yield f"## {name.capitalize()}"
        yield ""
        yield f"At {where}."
        yield ""
        yield "| metric | type | labels | meaning |"
        yield "|---|---|---|---|"
        for each in CATALOGUE:
            if kind in each.kinds:
                yield f"| `{each.name}` | {each.type} | {', '.join(each.labels)} | {each.meaning} |"
