"""A disk that loses its power: what a program asked the system for, and what of it may be found afterwards.

Theory of operation. The program runs under strace, which logs every call that changes a file or syncs one, with its data, beside what the
program says, in one order. Each `Event` of it is done to a `Disk`. What was synced is there after power loss: fsync(2) of a
file keeps its bytes, that of a folder its names, and neither keeps the other's. Of all the rest each part may be there or not, whatever
the order in which it was asked for: a write may be kept, lost, or torn into the sectors that it fills. A sector is
old or new, never mixed, as SQLite expects by default (https://sqlite.org/psow.html).

- Between its two lines in the log a call is under way. A sync keeps what was done before its first line, and has kept it at
  its last; what is said counts from its first.
- SQLite's ``-shm`` is left out: it is shared memory, made anew by whoever comes first after a crash (https://sqlite.org/walformat.html).
- A sync that fails has lost for good what it should have kept: the system takes those pages for clean, and no later sync writes them
  ("fsyncgate", https://wiki.postgresql.org/wiki/Fsync_Errors). The program that runs goes on seeing them.
- A call that would need another model is an error, so that a later SQLite is not judged by half of what it does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

SECTOR = 512
_KNOWN = ("openat", "write", "pwrite64", "ftruncate", "unlink", "unlinkat", "mkdir", "mkdirat", "fsync", "fdatasync")
_UNKNOWN = ("open", "writev", "pwritev", "fallocate", "truncate", "rename", "renameat", "renameat2", "link", "linkat", "rmdir", "msync")
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>)?(?P<rest>.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_TEXT = re.compile(r'<((?:\\x..)+)>|"((?:\\x..)*)"')


class Event(NamedTuple):
    """One call, or the first half of a sync.

    Attributes:
        call: Its name; ``"say"`` for what was written to stdout, ``"sync begins"`` for the first half, ``"sync fails"`` for a second half.
        path: The file or folder; of ``say`` the text.
        data: What was written.
        number: Its place in the file, or the file's new length.
    """

    call: str
    path: str
    data: bytes = b""
    number: int = 0


def tracing(log: Path, *options: str) -> list[str] | None:
    """How to run a command so that its calls are logged; None where that is not to be had."""
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "-o", os.devnull, "true"], capture_output=True, check=False).returncode:
        return None
    calls = ",".join(f"?{name}" for name in (*_KNOWN, *_UNKNOWN))
    return [strace, "-f", "-y", "-xx", "-s", str(1 << 20), "-o", str(log), "-e", f"trace={calls}", *options]


def events(log: Path, folder: Path) -> Iterator[Event]:
    """What was done in ``folder``, and what was said, in order."""
    begun: dict[str, str] = {}  # by thread: the first half of the call that is under way
    for line in log.read_text("ascii").splitlines():
        found = _LINE.fullmatch(line)
        assert found, line
        rest = found["rest"].removesuffix("<unfinished ...>")
        if found["resumed"]:
            rest = begun.pop(found[1]) + rest
        else:
            yield from _first_half(rest, str(folder))
        if line.endswith("<unfinished ...>"):
            begun[found[1]] = rest
        elif call := _CALL.match(rest):
            yield from _second_half(call[1], call[2], int(call[3]), str(folder))


def _first_half(text: str, folder: str) -> Iterator[Event]:
    if text.startswith("write(1<"):
        for line in _texts(text)[1].decode().splitlines():
            yield Event("say", line)
    elif text.startswith(("fsync", "fdatasync")):
        path = _texts(text)[0].decode()
        if _is_within(path, folder):
            yield Event("sync begins", path)


def _second_half(name: str, arguments: str, result: int, folder: str) -> Iterator[Event]:
    texts = _texts(arguments)
    path = next((text.decode() for text in texts if text.startswith(f"{folder}/".encode())), folder if folder.encode() in texts else "")
    if not path or not _is_within(path, folder):
        return
    if result < 0:
        if name in ("fsync", "fdatasync"):
            yield Event("sync fails", path)
        return
    assert name in _KNOWN, f"the disk does not know what {name} does: {arguments[:200]}"
    if name in ("write", "pwrite64"):
        place = int(arguments.rsplit(", ", 1)[1]) if name == "pwrite64" else -1
        assert place >= 0 or ".db" not in Path(path).name, f"anywhere: {arguments}"  # else to the end of a new file
        assert len(texts[1]) == result, arguments[:200]
        yield Event("write", path, texts[1], place)
    elif name == "ftruncate":
        yield Event("truncate", path, number=int(arguments.rsplit(", ", 1)[1]))
    elif name in ("fsync", "fdatasync"):
        yield Event("sync", path)
    elif name == "openat":
        assert "O_TRUNC" not in arguments, arguments
        if "O_CREAT" in arguments:
            yield Event("create", path)
    else:
        yield Event("make" if name.startswith("mkdir") else "remove", path)


def _texts(text: str) -> list[bytes]:
    return [bytes.fromhex((found[1] or found[2] or "").replace("\\x", "")) for found in _TEXT.finditer(text)]


def _is_within(path: str, folder: str) -> bool:
    return (path == folder or path.startswith(f"{folder}/")) and not path.endswith("-shm")


@dataclass
class Node:
    """A file or a folder, whatever its name is.

    Attributes:
        is_folder: Which of them.
        size: How long the program sees the file.
        kept: What of its bytes is synced, or of its names.
        names: The same for a folder.
        open: What is not: writes and truncations of a file, names given and taken in a folder.
        covered: How many of these a sync keeps that is under way.
    """

    is_folder: bool = False
    size: int = 0
    kept: bytearray = field(default_factory=bytearray)
    names: dict[str, Node] = field(default_factory=dict)
    open: list[Event | tuple[str, Node | None]] = field(default_factory=list)
    covered: int = 0

    def sync(self) -> None:
        """Keep what is covered."""
        for change in self.open[: self.covered]:
            self.apply(change, self.kept, self.names)
        del self.open[: self.covered]
        self.covered = 0

    def lose(self) -> None:
        """Forget what is covered: its sync has failed."""
        del self.open[: self.covered]
        self.covered = 0

    @staticmethod
    def apply(change: Event | tuple[str, Node | None], content: bytearray, names: dict[str, Node]) -> None:
        """Make a change to the bytes or the names."""
        if not isinstance(change, Event):
            name, node = change
            names.pop(name, None)
            if node is not None:
                names[name] = node
            return
        if change.call == "truncate":
            del content[change.number :]
        length = change.number + len(change.data)
        content.extend(bytes(max(0, length - len(content))))
        content[change.number : length] = change.data

    def found(self, chance: random.Random, share: float) -> tuple[bytearray, dict[str, Node]]:
        """The bytes and the names after power loss now, when of what is not synced about ``share`` is kept."""
        content, names = bytearray(self.kept), dict(self.names)
        for change in self.open:
            for part in _torn(change) if isinstance(change, Event) and chance.random() < 0.3 else [change]:
                if chance.random() < share:
                    self.apply(part, content, names)
        return content, names


def _torn(event: Event) -> Iterator[Event]:
    """The sectors of a write."""
    if event.call != "write":
        yield event
        return
    start = 0
    while start < len(event.data):
        end = start + SECTOR - (event.number + start) % SECTOR
        yield Event("write", event.path, event.data[start:end], event.number + start)
        start = end


class Disk:
    """What a program has done to a folder so far.

    Args:
        folder: It was there, and empty, before the program began.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._root = Node(is_folder=True)
        self._nodes = {self._folder: self._root}

    def do(self, event: Event) -> None:
        """Do the next one."""
        if event.call == "say":
            return
        if event.call in ("create", "make", "remove"):
            self._name(event)
            return
        node = self._nodes[event.path]
        if event.call == "sync begins":
            node.covered = len(node.open)
        elif event.call == "sync":
            node.sync()
        elif event.call == "sync fails":
            node.lose()
        else:
            node.open.append(event if event.number >= 0 else event._replace(number=node.size))
            node.size = event.number if event.call == "truncate" else max(node.size, node.open[-1][3] + len(event.data))  # type: ignore[misc]

    def _name(self, event: Event) -> None:
        folder, name = event.path.rsplit("/", 1)
        if event.call == "remove":
            node = None
            del self._nodes[event.path]
        elif event.path in self._nodes:
            return
        else:
            node = self._nodes[event.path] = Node(is_folder=event.call == "make")
        self._nodes[folder].open.append((name, node))

    def lose_power(self, target: Path, chance: random.Random, share: float) -> None:
        """Write what is found afterwards into a new folder.

        Args:
            target: The folder.
            chance: Which parts.
            share: How much of what was not synced is there, from 0 to 1.
        """
        self._write(self._root, target, chance, share)

    def _write(self, node: Node, target: Path, chance: random.Random, share: float) -> None:
        content, names = node.found(chance, share)
        if not node.is_folder:
            target.write_bytes(content)
            return
        target.mkdir(mode=0o700)
        for name, child in names.items():
            self._write(child, target / name, chance, share)
