"""Owners' files: made private, locked while their owner lives, removed by whoever finds them dead."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from holdfast.checkpoint._owners import Owners


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs.db-owners"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def open_in(folder):
    """The files of the folder that this process has open; others may come and go, of threads and garbage of other tests."""
    found = [os.path.realpath(each) for each in Path("/dev/fd").iterdir()]
    return [each for each in found if each.startswith(f"{folder}/")]


def test_a_file_for_each_saver(folder):
    """Made once, kept while it is used, and gone when it is given back."""
    first, second = Owners(folder), Owners(folder)
    tokens = [first.enter(), second.enter(), first.enter()]
    before = names(folder)
    first.leave()

    assert tokens[0] == tokens[2] != tokens[1]
    assert sorted(set(tokens)) == before
    assert [tokens[1]] == names(folder)
    assert None is first.token
    second.leave()


def test_files_are_private(folder):
    """Folder 0700, file 0600, whatever the umask."""
    before = os.umask(0)
    owners = Owners(folder)
    try:
        token = owners.enter()
    finally:
        os.umask(before)

    assert [0o700, 0o600] == [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / token)]
    owners.leave()


def test_the_living_are_alive_and_the_dead_are_swept(folder):
    """Another one's lock says that it lives; a file without a lock is removed, one that is not there belonged to somebody."""
    mine, theirs = Owners(folder), Owners(folder)
    token = theirs.enter()
    (folder / "dead").touch()
    found = [mine.is_alive(token), mine.is_alive("dead", sweep=False), mine.is_alive("dead"), mine.is_alive("never")]

    assert [True, False, False, False] == found
    assert [token] == names(folder)
    theirs.leave()


def test_entering_sweeps(folder):
    """What dead processes left does not pile up."""
    folder.mkdir(mode=0o700)
    for number in range(5):
        (folder / f"dead-{number}").touch()
    owners = Owners(folder)

    assert [owners.enter()] == names(folder)
    owners.leave()


def test_two_that_look_at_once_do_not_see_one_another(folder):
    """Somebody who is just looking at a dead owner's file is not taken for the owner."""
    import fcntl

    folder.mkdir(mode=0o700)
    (folder / "dead").touch()
    with (folder / "dead").open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not Owners(folder).is_alive("dead")


def test_a_file_that_was_swept_at_birth_is_made_again(folder, monkeypatch):
    """Between making a file and locking it, somebody may find it without a lock and remove it."""
    folder.mkdir(mode=0o700)
    owners, sweeper = Owners(folder), Owners(folder)
    real, swept = os.fchmod, []

    def fchmod(descriptor, mode):
        real(descriptor, mode)
        if not swept:
            swept.extend(names(folder))
            sweeper.is_alive(swept[0])

    monkeypatch.setattr(os, "fchmod", fchmod)
    token = owners.enter()

    assert [token] == names(folder)
    assert swept != [token]
    assert sweeper.is_alive(token)
    owners.leave()


def test_says_who_it_is(folder):
    """Process and host, as far as they are known."""
    mine, theirs = Owners(folder), Owners(folder)
    token = theirs.enter()
    (folder / "odd").write_bytes(b'{"pid": "x", "host": 1}')

    assert f"process {os.getpid()} on {os.uname().nodename}" == mine.describe(token)
    assert f"another run in this process ({os.getpid()})" == theirs.describe(token)
    assert ["a process that is gone"] * 2 == [mine.describe("odd"), mine.describe("never")]
    theirs.leave()


def test_no_descriptor_is_left_open(folder):
    """Neither by looking nor by leaving, nor by an owner that is just dropped."""
    owners = Owners(folder)
    owners.enter()
    owners.is_alive("never")
    other = Owners(folder)
    other.is_alive(owners.enter())
    before = open_in(folder)
    del owners

    assert (1, []) == (len(before), open_in(folder))
    assert [] == names(folder)
