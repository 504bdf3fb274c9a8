"""Folders that are made for stores."""

from __future__ import annotations

import os
import sys

import pytest

from holdfast.values._private import make_folder


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be synced there")
def test_a_new_folder_outlives_a_power_cut(tmp_path, monkeypatch):
    """The disk is asked to keep the name of each one that is made, outermost first; of one that is there, nothing."""
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    for _ in range(2):
        make_folder(tmp_path / "one" / "two")

    assert [tmp_path.stat().st_ino, (tmp_path / "one").stat().st_ino] == synced


def test_a_file_system_that_syncs_no_folders_will_do(tmp_path, monkeypatch):
    """SQLite passes over that, too."""

    def refuse(_descriptor):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    make_folder(tmp_path / "one")

    assert (tmp_path / "one").is_dir()
