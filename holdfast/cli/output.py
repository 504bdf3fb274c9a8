"""Where the commands print to, and how they end when there is nothing to print."""

from __future__ import annotations

import os
import shutil
import sys
from typing import NoReturn

import click
import msgspec

from holdfast.cli.marks import UNICODE

_WIDTH_OF_A_PIPE = 80

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def fail(text: str) -> NoReturn:
    """End the command with exit code 1 and ``text`` as its reason."""
    raise click.ClickException(text)


def need_file(path: str) -> None:
    """End the command when a file was named that is not there, or a folder: a mistyped path is no empty store."""
    if not os.path.exists(path):  # noqa: PTH110 - `~` was the shell's business
        fail(f"there is no file {path}")
    if os.path.isdir(path):  # noqa: PTH112 - as above
        fail(f"{path} is a folder: give the file in it")


def print_json(value: object) -> None:
    """Print ``value`` as JSON; what JSON does not have is written as Python shows it."""
    print_text(json_of(value))


def json_of(value: object) -> str:
    """``value`` as JSON over several lines; what JSON does not have is written as Python shows it."""
    return msgspec.json.format(line_of_json(value), indent=2)


def line_of_json(value: object) -> str:
    """``value`` as JSON in one line; what JSON does not have is written as Python shows it."""
    try:
        data = msgspec.json.encode(value, enc_hook=repr)
    except (TypeError, ValueError, RecursionError):  # a key that is no text, half a surrogate, a number too large, a circle
        data = msgspec.json.encode(repr(value).encode("utf-8", "backslashreplace").decode())
    return data.decode()


def print_text(text: str, *, to_stderr: bool = False) -> None:
    """Print, with escapes for what the terminal's encoding does not have."""
    encoding = (sys.stderr if to_stderr else sys.stdout).encoding or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), err=to_stderr)


def is_ascii() -> bool:
    """Whether the output cannot print our signs."""
    try:
        "".join(UNICODE).encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return True
    return False


def has_color() -> bool:
    """Whether the output is a terminal that wants colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width() -> int:
    """Columns of the terminal; of a pipe 80."""
    return shutil.get_terminal_size((_WIDTH_OF_A_PIPE, 24)).columns
