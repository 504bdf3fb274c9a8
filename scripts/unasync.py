"""Write the sync twin of every module in an ``_async`` folder: ``a/_async/b.py`` becomes ``a/_sync/b.py``.

    python scripts/unasync.py            write the twins (what `make sync` does)
    python scripts/unasync.py --check    exit 1, with a diff, when a twin is stale or a rename is used nowhere

How: the tokenizer says where each name stands, and the source text is edited in place at those positions, from the end to the start.
Text is never rebuilt from tokens, so comments, strings and layout stay what they were. Imports are then sorted and the file formatted by
ruff, because a shorter line may fit where the longer one had to be wrapped.

What differs between the colours in more than its spelling (sleeping, spawning, calling a store) does not belong in a converted file but,
in pairs, in ``holdfast/runtime/_ports.py``.
"""

from __future__ import annotations

import argparse
import difflib
import io
import shutil
import subprocess
import sys
import tokenize
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("holdfast", "tests")

# Dropped together with the blank that follows: `async def` -> `def`, `await x` -> `x`.
KEYWORDS = frozenset({"async", "await"})

# Any name that ends so: `_async` -> `_sync` (the folder), `sleep_async` -> `sleep_sync` (the ports).
ASYNC_SUFFIX, SYNC_SUFFIX = "_async", "_sync"

# Whole names. A rename that no source uses is an error under --check: it would rot here unseen.
RENAMES: dict[str, str] = {}

# Token types that Python 3.11 does not have.
FSTRING_START: int = getattr(tokenize, "FSTRING_START", -1)
FSTRING_END: int = getattr(tokenize, "FSTRING_END", -1)

BANNER = """\
# Generated from {source} by scripts/unasync.py. Do not edit:
# change that file and run `make sync`.

"""


class Edit(NamedTuple):
    """Replace the characters ``start:end`` of one line (numbered from 1) by ``text``."""

    line: int
    start: int
    end: int
    text: str


class Twin(NamedTuple):
    """A generated file: where it stands, what it is made from, and what it must hold."""

    path: Path
    source: Path
    text: str


def rename(name: str, renames: dict[str, str]) -> str:
    """Return what ``name`` is called in sync code; most names stay."""
    if name in renames:
        return renames[name]
    if name.endswith(ASYNC_SUFFIX):
        return name.removesuffix(ASYNC_SUFFIX) + SYNC_SUFFIX
    return name


def names_and_more(source: str) -> Iterator[tokenize.TokenInfo]:
    """Tokens of ``source`` outside f-strings: only Python 3.12 and later look inside those, and the twin must not depend on that."""
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        depth += token.type == FSTRING_START
        if not depth:
            yield token
        depth -= token.type == FSTRING_END


def edits(source: str, renames: dict[str, str]) -> list[Edit]:
    """List the edits that make ``source`` sync, in the order in which they stand in it.

    Raises:
        SyntaxError: A keyword stands before a line continuation, where dropping it would break the layout.
    """
    found: list[Edit] = []
    for token, following in pairwise(names_and_more(source)):
        if token.type != tokenize.NAME:
            continue
        (line, start), (_, end) = token.start, token.end
        if token.string in KEYWORDS:
            if following.start[0] != line:
                raise SyntaxError(f"line {line}: {token.string!r} before a line continuation cannot be dropped; put what follows beside it")
            found.append(Edit(line, start, following.start[1], ""))
        elif (new := rename(token.string, renames)) != token.string:
            found.append(Edit(line, start, end, new))
    return found


def convert(source: str, renames: dict[str, str] | None = None) -> str:
    r"""Return ``source`` with its async syntax and names made sync; nothing else changes.

    Args:
        source: Text of a Python module.
        renames: Whole names and what they become; None takes `RENAMES`.

    >>> convert("async def f():\n    return await sleep_async(1)  # await it\n")
    'def f():\n    return sleep_sync(1)  # await it\n'
    """
    lines = source.splitlines(keepends=True)
    for edit in reversed(edits(source, RENAMES if renames is None else renames)):
        line = lines[edit.line - 1]
        lines[edit.line - 1] = line[: edit.start] + edit.text + line[edit.end :]
    return "".join(lines)


def unused(texts: list[str], renames: dict[str, str]) -> list[str]:
    """Names in ``renames`` that stand in none of ``texts``."""
    names = {token.string for text in texts for token in names_and_more(text) if token.type == tokenize.NAME}
    return [name for name in renames if name not in names]


def tidy(source: str, path: Path) -> str:
    """Sort the imports of ``source`` and format it as ruff would at ``path``.

    Raises:
        SystemExit: ruff is not installed, or it refuses the text.
    """
    beside = Path(sys.executable).with_name("ruff")
    ruff = str(beside) if beside.exists() else shutil.which("ruff")
    if ruff is None:
        raise SystemExit("unasync: ruff was not found beside this Python nor on PATH; `make sync` installs it")
    for command in (["check", "--select=I001", "--fix-only"], ["format"]):
        arguments = [ruff, *command, "--quiet", "--no-cache", f"--stdin-filename={path}", "-"]
        done = subprocess.run(arguments, input=source, capture_output=True, text=True, encoding="utf-8", check=False)
        if done.returncode:
            raise SystemExit(f"unasync: ruff {command[0]} refused {path}:\n{done.stderr}")
        source = done.stdout
    return source


def sources(root: Path) -> list[Path]:
    """Modules of every ``_async`` folder below ``root``, sorted."""
    return sorted(path for folder in FOLDERS for path in (root / folder).rglob("_async/**/*.py") if "__pycache__" not in path.parts)


def twin_path(source: Path) -> Path:
    """Where the twin of ``source`` stands."""
    return Path(*("_sync" if part == "_async" else part for part in source.parts))


def sync_text(source: Path) -> str:
    """Return the text of ``source`` made sync.

    Raises:
        SystemExit: The result is not Python, for example because an ``await`` hides in an f-string.
    """
    try:
        text = convert(source.read_text(encoding="utf-8"))
        compile(text, source, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise SystemExit(f"unasync: {source} cannot be made sync: {error}") from error
    return text


def twins(root: Path) -> list[Twin]:
    """Make the twin of every source below ``root``, in memory."""
    made: list[Twin] = []
    for source in sources(root):
        path = twin_path(source)
        banner = BANNER.format(source=source.relative_to(root).as_posix())
        made.append(Twin(path, source, tidy(banner + sync_text(source), path)))
    return made


def orphans(root: Path, made: list[Twin]) -> list[Path]:
    """Generated files whose source is gone."""
    wanted = {twin.path for twin in made}
    mark = BANNER.partition("{")[0]
    found = (path for folder in FOLDERS for path in (root / folder).rglob("_sync/**/*.py") if path not in wanted)
    return sorted(path for path in found if path.read_text(encoding="utf-8").startswith(mark))


def write(root: Path) -> int:
    """Write every twin that changed, drop orphans, say what was done; return the exit code."""
    made = twins(root)
    for twin in made:
        if twin.path.exists() and twin.path.read_text(encoding="utf-8") == twin.text:
            continue
        twin.path.parent.mkdir(parents=True, exist_ok=True)
        twin.path.write_text(twin.text, encoding="utf-8")
        print(f"wrote {twin.path.relative_to(root)}")
    for path in orphans(root, made):
        path.unlink()
        print(f"removed {path.relative_to(root)}, whose source is gone")
    return 0


def check(root: Path, renames: dict[str, str] | None = None) -> int:
    """Compare every twin with what stands on disk, print the differences; return the exit code."""
    made = twins(root)
    complaints = [text for twin in made if (text := difference(twin, root))]
    complaints += [f"{path.relative_to(root)} has no source any more" for path in orphans(root, made)]
    table = RENAMES if renames is None else renames
    used_in = [twin.source.read_text(encoding="utf-8") for twin in made]
    complaints += [f"RENAMES has {name!r}, which no source uses: remove it from scripts/unasync.py" for name in unused(used_in, table)]
    for complaint in complaints:
        print(complaint)
    if complaints:
        print("The sync twins are stale: run `make sync`.")
    return 1 if complaints else 0


def difference(twin: Twin, root: Path) -> str:
    """Return a unified diff from the file on disk to the twin it should be, or ``""``."""
    there = twin.path.read_text(encoding="utf-8") if twin.path.exists() else ""
    name = str(twin.path.relative_to(root))
    lines = difflib.unified_diff(there.splitlines(), twin.text.splitlines(), f"{name} (on disk)", f"{name} (generated)", lineterm="")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Write the sync twin of every module in an _async folder.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 with a diff when a twin is stale or a rename is unused")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder that holds holdfast/ and tests/ (default: this repository)")
    options = parser.parse_args(arguments)
    return check(options.root) if options.check else write(options.root)


if __name__ == "__main__":
    sys.exit(main())
