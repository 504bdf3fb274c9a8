"""The model of a disk that loses its power: what it keeps, and what it may lose."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.disk import SECTOR, Disk, Event, events

FILE = "/d/file"
NEW = [Event("create", FILE), Event("sync begins", "/d"), Event("sync", "/d")]
SYNC = [Event("sync begins", FILE), Event("sync", FILE)]


@pytest.fixture
def found(tmp_path):
    """What is found after power loss: the bytes by name."""

    def after(done, share, seed=1):
        disk = Disk(Path("/d"))
        for event in done:
            disk.do(event)
        target = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        disk.lose_power(target, random.Random(seed), share)
        return {path.name: path.read_bytes() for path in target.iterdir()}

    return after


def write(content, number=0):
    return Event("write", FILE, content, number)


def test_what_was_synced_is_found_and_nothing_else(found):
    """When nothing of the rest is kept."""
    assert {"file": b"abc"} == found([*NEW, write(b"abc"), *SYNC, write(b"d", 3), write(b"x")], share=0)


def test_what_the_program_sees_is_found_when_all_is_kept(found):
    """Writes, one after the other without a place, and truncations."""
    done = [*NEW, write(b"abcdef", -1), Event("truncate", FILE, number=2), write(b"z", -1), write(b"!", 5)]

    assert {"file": b"abz\0\0!"} == found(done, share=1)


def test_a_name_is_kept_by_the_sync_of_its_folder_alone(found):
    """Neither the bytes of a file nor those of another keep it; a name that was taken away may be back."""
    unnamed = [Event("create", FILE), write(b"abc"), *SYNC]

    assert {} == found(unnamed, share=0)
    assert {"file": b"abc"} == found([*unnamed, *NEW[1:], Event("remove", FILE)], share=0)
    assert {} == found([*unnamed, *NEW[1:], Event("remove", FILE), *NEW[1:]], share=0)


def test_a_sync_keeps_what_was_done_before_it_began(found):
    """Not what was written while it was under way."""
    assert {"file": b"a"} == found([*NEW, write(b"a"), SYNC[0], write(b"b", 1), SYNC[1]], share=0)


def test_a_sync_that_fails_has_lost_what_it_should_have_kept(found):
    """Later ones keep what is written later; the program that runs sees all of it."""
    done = [*NEW, write(b"ab"), SYNC[0], Event("sync fails", FILE), write(b"c", 2), *SYNC]

    assert {"file": b"\0\0c"} == found(done, share=1)


def test_a_write_is_torn_between_sectors(found):
    """Each of them is old or new; over a hundred power cuts both are seen, in any order."""
    done = [*NEW, write(b"o" * 3 * SECTOR), *SYNC, write(b"n" * 2 * SECTOR, SECTOR // 2)]
    kinds = {found(done, share=0.5, seed=seed)["file"] for seed in range(100)}
    half = SECTOR // 2
    parts = [("o" * half, "n" * half), ("o" * SECTOR, "n" * SECTOR), ("o" * half, "n" * half)]

    assert {f"{'o' * half}{a}{b}{c}{'o' * half}".encode() for a in parts[0] for b in parts[1] for c in parts[2]} == kinds


def hexed(text):
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def test_the_log_is_read_in_the_order_in_which_things_can_count(tmp_path):
    """A call of two lines counts at its end, what is said at its beginning; other folders, shared memory and what failed do not."""
    log, path = tmp_path / "log", hexed(FILE)
    lines = [
        f'7 openat(AT_FDCWD<{hexed("/")}>, "{path}", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 4<{path}>',
        f'7 pwrite64(4<{path}>, "{hexed("ab")}", 2, 8192 <unfinished ...>',
        f'8 write(1<{hexed("pipe")}>, "{hexed("one")}\\x0a", 4 <unfinished ...>',
        "7 <... pwrite64 resumed>) = 2",
        f"7 fdatasync(4<{path}> <unfinished ...>",
        "8 <... write resumed>) = 4",
        "7 <... fdatasync resumed>) = 0",
        f"7 fsync(4<{path}>) = -1 EIO (Input/output error) (INJECTED)",
        f"7 ftruncate(5<{hexed('/d/file-shm')}>, 32768) = 0",
        f'7 unlink("{hexed("/elsewhere")}") = 0',
        f'7 unlink("{path}") = 0',
        "7 +++ exited with 0 +++",
    ]
    log.write_text("\n".join(lines))

    assert [
        Event("create", FILE),
        Event("say", "one"),
        write(b"ab", 8192),
        *SYNC,
        SYNC[0],
        Event("sync fails", FILE),
        Event("remove", FILE),
    ] == list(events(log, Path("/d")))


def test_a_call_that_the_model_does_not_know_is_an_error(tmp_path):
    """A part of what a program did is no base for a verdict."""
    log = tmp_path / "log"
    log.write_text(f'7 rename("{hexed(FILE)}", "{hexed("/d/other")}") = 0')

    with pytest.raises(AssertionError, match="the disk does not know what rename does"):
        list(events(log, Path("/d")))
