"""The ``holdfast`` command. Its libraries come with the extra ``cli`` and load when it runs."""

from __future__ import annotations

import sys

from holdfast.errors import StoreError


def main() -> None:
    """Run the command line and exit: 0 when all is well, 1 when there is nothing to show, 2 when it was called wrongly."""
    try:
        from holdfast.cli.app import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        sys.stderr.write("the holdfast command needs its extra: pip install 'holdfast[cli]'\n")
        sys.exit(2)
    try:
        app(prog_name="holdfast")
    except StoreError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(1)
