"""The secret is private, stable, and made once however many ask for it first."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from holdfast.errors import PolicyError, StoreError
from holdfast.values import secret
from holdfast.values.secret import load_secret

pytestmark = pytest.mark.skipif(os.name != "posix", reason="file modes")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A configuration folder that does not exist yet."""
    monkeypatch.delenv("HOLDFAST_SECRET", raising=False)
    monkeypatch.setenv("HOLDFAST_CONFIG_DIR", str(tmp_path / "config" / "holdfast"))
    return tmp_path / "config" / "holdfast"


def test_made_once_and_kept(folder):
    """The first call makes it, later ones read it; nothing else is left in the folder."""
    first = load_secret()

    assert 32 == len(first)
    assert first == load_secret()
    assert ["secret"] == [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_private_whatever_the_umask(folder, umask):
    """File 0600, folder 0700."""
    before = os.umask(umask)
    try:
        load_secret()
    finally:
        os.umask(before)

    assert (0o600, 0o700) == ((folder / "secret").stat().st_mode & 0o777, folder.stat().st_mode & 0o777)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_refuses_a_file_others_can_read(folder, mode):
    """The error says which command mends it."""
    load_secret()
    (folder / "secret").chmod(mode)
    with pytest.raises(StoreError, match=f"chmod 600 {folder}/secret"):
        load_secret()


def test_refuses_a_file_of_another_user(folder, monkeypatch):
    """Whoever owns the file knows the secret."""
    load_secret()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(StoreError, match=f"belongs to user {owner}"):
        load_secret()


def test_refuses_a_symbolic_link(folder):
    """A link may lead to a file that somebody else chose."""
    load_secret()
    (folder / "secret").rename(folder / "other")
    (folder / "secret").symlink_to(folder / "other")
    with pytest.raises(StoreError, match="symbolic link"):
        load_secret()


def test_refuses_a_folder_in_its_place(folder):
    """A folder called secret is not read."""
    (folder / "secret").mkdir(parents=True, mode=0o700)
    with pytest.raises(StoreError, match=r"not a file"):
        load_secret()


def test_refuses_a_file_cut_short(folder):
    """An empty secret would seal nothing."""
    load_secret()
    (folder / "secret").write_text("")
    with pytest.raises(StoreError, match="empty or cut short"):
        load_secret()


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path, monkeypatch):
    """The error names the ways out, and is one that stores know to survive."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOLDFAST_CONFIG_DIR", str(tmp_path / "file" / "holdfast"))
    with pytest.raises(StoreError, match="HOLDFAST_SECRET"):
        load_secret()


def test_comes_from_the_environment_when_given(folder, monkeypatch):
    """The same text is the same secret everywhere, and no file is made."""
    monkeypatch.setenv("HOLDFAST_SECRET", "correct horse battery")
    first = load_secret()
    monkeypatch.setenv("HOLDFAST_SECRET", "correct horse batterz")

    assert 32 == len(first)
    assert first != load_secret()
    assert not folder.exists()


@pytest.mark.parametrize("text", ["", "short", "x" * 15])
def test_short_texts_are_refused(monkeypatch, text):
    """A text that can be guessed is no secret; the error says how to make one."""
    monkeypatch.setenv("HOLDFAST_SECRET", text)
    with pytest.raises(PolicyError, match=r"at least 16 are needed.*secrets\.token_hex"):
        load_secret()


def test_the_default_folder_is_the_user_s(monkeypatch, tmp_path):
    """Without a variable it is where the platform keeps settings."""
    monkeypatch.delenv("HOLDFAST_CONFIG_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))

    assert "holdfast" == secret._folder().name
    assert tmp_path in secret._folder().parents


def test_processes_that_race_agree(folder):
    """Five processes that all find no file end with one secret."""
    code = "import sys; sys.stdin.read(1); from holdfast.values.secret import load_secret; print(load_secret().hex())"
    racers = [subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(5)]
    for racer in racers:
        racer.stdin.write("x")
        racer.stdin.flush()
    found = {racer.communicate()[0].strip() for racer in racers}

    assert {load_secret().hex()} == found
    assert ["secret"] == [path.name for path in folder.iterdir()]


def test_the_loser_of_a_race_takes_the_winner_s(folder, monkeypatch):
    """A file that appears between looking and making is used, not replaced."""
    make = secret._create

    def late(path):
        make(path)
        won.append(path.read_bytes())
        make(path)

    won: list[bytes] = []
    monkeypatch.setattr(secret, "_create", late)
    load_secret()

    assert won == [(folder / "secret").read_bytes()]
