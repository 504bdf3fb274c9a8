"""What every command has in common."""

from __future__ import annotations

import click
from click.testing import CliRunner

from holdfast.cli.app import app


def groups_in(group):
    """The group, and all below it."""
    yield group
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from groups_in(command)


def test_no_command_is_told_by_half_a_sentence():
    """In the list of its group: click cuts what does not fit."""
    lists = [CliRunner().invoke(group, ["--help"], **app.context_settings).output for group in groups_in(app)]

    assert 5 == len(lists)
    assert [] == [line for said in lists for line in said.splitlines() if line.endswith("...") and not line.startswith("Usage:")]
