"""Which modules are mutated, and the tests that have to find it: fast ones, because each mutant is a run of them."""

from __future__ import annotations

from typing import Final

_FACTS: Final = ("test_rules", "test_accept", "test_waiting", "test_completing", "test_orphans")

MODULES: Final[dict[str, tuple[str, ...]]] = {
    # module: modules of tests/rules
    "tables/accept.py": ("test_accept", "test_rules", "test_found"),
    "tables/contents.py": ("test_contents", "test_accept", "test_commit"),
    "tables/deadlines.py": ("test_waiting", "test_completing", "test_rules", "test_projection"),
    "tables/due.py": ("test_completing", "test_waiting", "test_rules", "test_projection", "test_limits"),
    "tables/effects.py": ("test_completing", "test_accept", "test_rules", "test_waiting"),
    "tables/explain.py": ("test_explain",),
    "tables/limits.py": ("test_limits",),
    "tables/messages.py": (*_FACTS, "test_limits", "test_found"),
    "tables/missing.py": ("test_waiting", "test_projection", "test_limits", "test_explain"),
    "tables/ordinals.py": ("test_ordinals", "test_commit"),
    "tables/plan.py": ("test_rules", "test_completing", "test_waiting", "test_limits", "test_commit"),
    "tables/policies.py": ("test_waiting",),
    "tables/projection.py": ("test_projection",),
    "tables/receipts.py": ("test_receipts", "test_assemble", "test_host_time"),
    "tables/rules.py": (*_FACTS, "test_limits", "test_lifecycle"),
    "tables/tiling.py": ("test_tiling",),
    "tables/transaction.py": _FACTS,
    "tables/watermarks.py": ("test_watermarks",),
    "bridge/contract/events.py": ("test_events", "test_receipts", "test_completing"),
    "bridge/contract/inbound.py": ("test_envelope", "test_events"),
    "bridge/contract/outbound.py": ("test_notification", "test_projection", "test_partial"),
    "bridge/checksums.py": ("test_checksums", "test_commit"),
    "bridge/durations.py": ("test_durations", "test_envelope"),
    "bridge/envelope.py": ("test_envelope", "test_envelope_properties"),
    "bridge/frames.py": ("test_frames",),
    "bridge/hand.py": ("test_hand", "test_gathering"),
    "bridge/header_body.py": ("test_envelope", "test_envelope_properties"),
    "bridge/inflow.py": ("test_inflow", "test_inflow_frames", "test_inflow_small"),
    "bridge/layout.py": ("test_layout",),
    "bridge/memory.py": ("test_memory",),
    "bridge/quoting.py": ("test_envelope", "test_envelope_properties"),
    "bridge/reached.py": ("test_reached",),
    "bridge/runs.py": ("test_runs",),
    "bridge/unreadable.py": ("test_events", "test_receipts"),
}
