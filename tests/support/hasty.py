"""An installation in which everything is late within seconds."""

from __future__ import annotations

from pathlib import Path

from tests.support.world import World

SILENCE_S = 4


def hasty_world(stack_env: dict[str, str], folder: Path, types: str, **changes: str) -> World:
    """Not started yet; `types` is its types file, and `changes` are further settings."""
    (folder / "types.toml").write_text(types)
    env = {
        "BRH_TYPES_FILE": str(folder / "types.toml"),
        "BRH_BRIDGE_SILENCE_S": str(SILENCE_S),
        "BRH_WATERMARK_INTERVAL_S": "0.2",
        **changes,
    }
    world = World(stack_env, folder, env=env)
    world.env["BRH_AMQP_URL"] += "?heartbeat=1"  # three of them have to fit into the silence
    return world
