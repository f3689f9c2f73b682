"""The dashboards for Grafana, as JSON: panels in rows, each with queries on the metrics of `bridge/metrics.py`."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

Node = dict[str, Any]

_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS: Final = 24
_WIDTH, _HEIGHT = 8, 7
_RATE: Final = "[$__rate_interval]"


class Panel(NamedTuple):
    """A graph; `queries` are expressions by their legends."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    meaning: str = ""


def _rate(counter: str, by: str, selector: str = "") -> str:
    return f"sum by ({by}) (rate({counter}{selector}{_RATE}))"


def _quantile(share: str, histogram: str, by: str = "", selector: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket{selector}{_RATE})))"


def _slow(histogram: str, selector: str = "") -> dict[str, str]:
    return {
        "p50": _quantile("0.5", histogram, selector=selector),
        "p95": _quantile("0.95", histogram, selector=selector),
    }


_OF_TYPE: Final = '{transaction_type="$type"}'

OVERVIEW: Final = [
    Panel("Processes that answer", {"{{job}}": 'sum by (job) (up{job=~"brh-.+"})'}),
    Panel("Transactions", {"{{state}}": "sum by (state) (brh_transactions)"}),
    Panel(
        "Oldest open transaction",
        {"{{transaction_type}}": "max by (transaction_type) (brh_transactions_oldest_seconds)"},
        "s",
    ),
    Panel(
        "Oldest verdict that waits",
        {"{{transaction_type}}": "max by (transaction_type) (brh_transactions_sending_seconds)"},
        "s",
        "In SendingCompletion; the limit `completing` is 15 min by default.",
    ),
    Panel("Outcomes", {"{{outcome}} {{code}}": _rate("brh_outcomes_total", "outcome, code")}, "ops"),
    Panel("From an outcome to its notification", _slow("brh_transaction_told_seconds"), "s"),
    Panel("Bytes taken in", {"{{size_class}}": _rate("brh_intake_payload_bytes_total", "size_class")}, "Bps"),
    Panel("Messages that wait", {"{{queue}}": "max by (queue) (brh_queue_messages)"}),
    Panel("Records that wait", {"{{job}}": "sum by (job) (brh_partition_lag)"}),
    Panel("Watermark", {"furthest behind": "max(brh_watermark_age_seconds)"}, "s", "Nobody is judged late after it."),
    Panel("Systems that fail", {"{{system}}": "max by (system) (brh_system_sick)"}, meaning="1: deliveries are held."),
    Panel("Requests to storage", {"{{status}}": _rate("brh_storage_requests_total", "status")}, "reqps"),
    Panel("Memory", {"{{job}} {{instance}}": 'process_resident_memory_bytes{job=~"brh-.+"}'}, "bytes"),
    Panel("Tasks", {"{{job}} {{instance}}": "brh_tasks"}, meaning="What only grows is a leak."),
    Panel(
        "Workers that ended themselves",
        {"{{instance}} {{code}}": "sum by (instance, code) (increase(brh_worker_ended_total[1h]))"},
        meaning="By exit code, within an hour; 75 and 76 are the fence.",
    ),
    Panel("Records put aside", {"{{job}}": "sum by (job) (increase(brh_records_parked_total[1h]))"}),
    Panel("Messages refused", {"{{code}}": _rate("brh_intake_rejected_total", "code")}, "ops"),
]

INTAKE: Final = [
    Panel("Payloads", {"{{size_class}}": _rate("brh_intake_payloads_total", "size_class")}, "ops"),
    Panel("Bytes", {"{{size_class}}": _rate("brh_intake_payload_bytes_total", "size_class")}, "Bps"),
    Panel(
        "Headers and refusals",
        {
            "headers": f"sum(rate(brh_intake_headers_total{_RATE}))",
            "refused: {{code}}": _rate("brh_intake_rejected_total", "code"),
        },
        "ops",
    ),
    Panel("Messages that wait", {"{{queue}}": "max by (queue) (brh_queue_messages)"}),
    Panel("Lanes", {"{{queue}}": "sum by (queue) (brh_lanes_open)"}),
    Panel("Lanes that ended", {"{{queue}}": "sum by (queue) (increase(brh_lanes_closed_total[15m]))"}),
    Panel("Messages in hand", {"{{queue}}": "sum by (queue) (brh_lanes_unsettled)"}),
    Panel("Oldest message in hand", {"{{queue}}": "max by (queue) (brh_lanes_unsettled_seconds)"}, "s"),
    Panel(
        "From the first byte to the last block",
        {
            "{{size_class}} p95": _quantile("0.95", "brh_intake_stage_seconds", "size_class"),
        },
        "s",
    ),
    Panel(
        "Small payloads in a block",
        {"mean": f"sum(rate(brh_intake_run_payloads_sum{_RATE})) / sum(rate(brh_intake_run_payloads_count{_RATE}))"},
    ),
    Panel("Blocks on their way", {"{{instance}}": "sum by (instance) (brh_intake_blocks_in_flight)"}),
    Panel(
        "Memory for bodies",
        {
            "{{instance}}": "sum by (instance) (brh_memory_held_bytes)",
            "{{instance}} limit": "sum by (instance) (brh_memory_limit_bytes)",
        },
        "bytes",
    ),
    Panel("Facts: until acknowledged", _slow("brh_intake_fact_seconds"), "s"),
    Panel(
        "Facts that were not acknowledged", {"{{instance}}": _rate("brh_intake_facts_failed_total", "instance")}, "ops"
    ),
    Panel("Watermarks: last acknowledged", {"{{instance}}": "max by (instance) (brh_watermark_said_seconds)"}, "s"),
    Panel(
        "Requests to storage",
        {
            "{{operation}} {{status}}": _rate("brh_storage_requests_total", "operation, status", '{job="brh-bridge"}'),
        },
        "reqps",
    ),
    Panel(
        "Storage: until answered",
        {
            "{{operation}} p95": _quantile("0.95", "brh_storage_request_seconds", "operation", '{job="brh-bridge"}'),
        },
        "s",
    ),
    Panel("Systems that fail", {"{{instance}} {{system}}": "max by (instance, system) (brh_system_sick)"}),
]

TRACKER: Final = [
    Panel("Events", {"{{kind}}": _rate("brh_events_total", "kind")}, "ops"),
    Panel("What one event takes", _slow("brh_event_seconds"), "s"),
    Panel("Records not read", {"{{partition}}": 'sum by (partition) (brh_partition_lag{job="brh-tracker"})'}),
    Panel("Watermarks", {"{{partition}}": "max by (partition) (brh_watermark_age_seconds)"}, "s"),
    Panel("Effects asked for", {"{{kind}}": _rate("brh_effects_total", "kind")}, "ops"),
    Panel("Partitions", {"{{instance}}": 'sum by (instance) (brh_partitions{job="brh-tracker"})'}),
    Panel("Rows", {"{{table}}": "sum by (table) (brh_table_rows)"}),
    Panel(
        "Table operations", {"{{table}} {{operation}}": _rate("brh_table_operations_total", "table, operation")}, "ops"
    ),
    Panel("Records sent", {"{{topic}}": _rate("brh_records_sent_total", "topic", '{job="brh-tracker"}')}, "ops"),
    Panel("Flush before a commit", _slow("brh_flush_seconds", '{job="brh-tracker"}'), "s"),
    Panel("Recovering", {"{{instance}}": "max by (instance) (brh_recovering)"}),
    Panel("Records left to recover", {"{{instance}}": "sum by (instance) (brh_recovery_records_left)"}),
    Panel(
        "Recoveries and rebalances",
        {
            "recoveries {{instance}}": "sum by (instance) (increase(brh_recoveries_total[15m]))",
            "rebalances {{instance}}": 'sum by (instance) (increase(brh_rebalances_total{job="brh-tracker"}[15m]))',
        },
    ),
    Panel(
        "Ended themselves",
        {"{{instance}} {{code}}": "sum by (instance, code) (increase(brh_worker_ended_total[1h]))"},
    ),
    Panel(
        "Put aside", {"{{instance}}": 'sum by (instance) (increase(brh_records_parked_total{job="brh-tracker"}[1h]))'}
    ),
]

DELIVERY: Final = [
    Panel("In flight", {"{{instance}}": "sum by (instance) (brh_deliveries_in_flight)"}),
    Panel("Attempts", {"{{result}}": _rate("brh_delivery_attempt_seconds_count", "result")}, "ops"),
    Panel(
        "What an attempt takes",
        {
            "{{result}} p95": _quantile("0.95", "brh_delivery_attempt_seconds", "result"),
        },
        "s",
    ),
    Panel("Refused", {"{{code}}": _rate("brh_deliveries_refused_total", "code")}, "ops"),
    Panel("Outcomes", {"{{outcome}} {{code}}": _rate("brh_outcomes_total", "outcome, code")}, "ops"),
    Panel(
        "Races and repeated writes",
        {
            "lost to another": f"sum(rate(brh_outcome_races_lost_total{_RATE}))",
            "met our own": f"sum(rate(brh_outcome_own_conflicts_total{_RATE}))",
        },
        "ops",
    ),
    Panel("Committing all parts", _slow("brh_transaction_commit_seconds"), "s"),
    Panel("From an outcome to its notification", _slow("brh_transaction_told_seconds"), "s"),
    Panel("RabbitMQ: until confirmed", _slow("brh_notice_seconds", '{job="brh-delivery"}'), "s"),
    Panel("Records not read", {"{{partition}}": 'sum by (partition) (brh_partition_lag{job="brh-delivery"})'}),
    Panel(
        "Requests to storage",
        {
            "{{operation}} {{status}}": _rate(
                "brh_storage_requests_total", "operation, status", '{job="brh-delivery"}'
            ),
        },
        "reqps",
    ),
    Panel(
        "Storage: until answered",
        {
            "{{operation}} p95": _quantile("0.95", "brh_storage_request_seconds", "operation", '{job="brh-delivery"}'),
        },
        "s",
    ),
    Panel("Orphans told", {"{{transaction_type}}": "sum by (transaction_type) (increase(brh_orphans_told_total[1h]))"}),
]

TRANSACTION_TYPE: Final = [
    Panel("Open", {"{{state}}": f"sum by (state) (brh_transactions_open{_OF_TYPE})"}),
    Panel(
        "Oldest open one, oldest verdict that waits",
        {
            "open": f"max(brh_transactions_oldest_seconds{_OF_TYPE})",
            "with a verdict": f"max(brh_transactions_sending_seconds{_OF_TYPE})",
        },
        "s",
    ),
    Panel("Outcomes", {"{{outcome}} {{code}}": _rate("brh_outcomes_total", "outcome, code", _OF_TYPE)}, "ops"),
    Panel("From the first message to the outcome", _slow("brh_transaction_decided_seconds", _OF_TYPE), "s"),
    Panel("Committing all parts", _slow("brh_transaction_commit_seconds", _OF_TYPE), "s"),
    Panel("From the outcome to its notification", _slow("brh_transaction_told_seconds", _OF_TYPE), "s"),
    Panel("Gaps noticed", {"gaps": f"sum(increase(brh_gaps_total{_OF_TYPE}[1h]))"}),
    Panel(
        "Duplicate and late messages",
        {
            "duplicate": f"sum(rate(brh_messages_duplicate_total{_OF_TYPE}{_RATE}))",
            "late": f"sum(rate(brh_messages_late_total{_OF_TYPE}{_RATE}))",
        },
        "ops",
    ),
    Panel(
        "Contradicting transactions", {"conflicts": f"sum(increase(brh_transactions_conflicting_total{_OF_TYPE}[1h]))"}
    ),
    Panel("Facts that contradict", {"{{code}}": f"sum by (code) (increase(brh_conflicts_total{_OF_TYPE}[1h]))"}),
    Panel("Orphans told", {"orphans": f"sum(increase(brh_orphans_told_total{_OF_TYPE}[1h]))"}),
]

_TYPE_VARIABLE: Final = {
    "name": "type",
    "label": "transaction type",
    "type": "query",
    "datasource": _DATASOURCE,
    # Also those of which nothing was ever told, and those of which none is open.
    "query": {
        "query": 'label_values({__name__=~"brh_transactions_open|brh_outcomes_total"}, transaction_type)',
        "refId": "type",
    },
    "refresh": 2,
    "sort": 1,
}
_DATASOURCE_VARIABLE: Final = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}

BOARDS: Final[dict[str, tuple[str, list[Panel]]]] = {
    "overview": ("Overview", OVERVIEW),
    "intake": ("Intake", INTAKE),
    "tracker": ("Tracker", TRACKER),
    "delivery": ("Delivery", DELIVERY),
    "transaction-type": ("One transaction type", TRANSACTION_TYPE),
}


def dashboards() -> dict[str, Node]:
    """Each by the name of its file."""
    return {name: _board(name, title, panels) for name, (title, panels) in BOARDS.items()}


def text(board: Node) -> str:
    """As it stands in its file."""
    return json.dumps(board, indent=1) + "\n"


def _board(name: str, title: str, panels: list[Panel]) -> Node:
    variables = [_DATASOURCE_VARIABLE, *([_TYPE_VARIABLE] if name == "transaction-type" else [])]
    return {
        "uid": f"brh-{name}",
        "title": f"BigResultHandler: {title}",
        "tags": ["big-result-handler"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": variables},
        "links": [
            {"type": "dashboards", "title": "BigResultHandler", "tags": ["big-result-handler"], "asDropdown": True}
        ],
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _panel(number: int, panel: Panel) -> Node:
    row, column = divmod(number, _COLUMNS // _WIDTH)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.meaning,
        "datasource": _DATASOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": _DATASOURCE, "expr": expr, "legendFormat": legend}
            for at, (legend, expr) in enumerate(panel.queries.items())
        ],
    }
