"""`python -m reference` writes the files; with `--check` it only says which are not as the code says."""

from __future__ import annotations

import sys

from reference.pages import differing, write


def main() -> int:
    """Write or check, and say what differed."""
    checking = sys.argv[1:] == ["--check"]
    for path in (found := differing() if checking else write()):
        print(f"docs/{path} {'is not as the code says: python -m reference' if checking else 'written'}")
    return int(checking and bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
