"""What `module:attribute` finds, and what is said when it finds nothing."""

from __future__ import annotations

import sys

import click
import pytest

from holdfast.cli.load import load_entrypoint

MODULE = """
from holdfast import InMemorySaver, entrypoint, task

@entrypoint(InMemorySaver())
def plan(x):
    return x

class Flows:
    @entrypoint(InMemorySaver())
    @staticmethod
    def write(x):
        return x

@entrypoint
def fleeting(x):
    return x

@task
def step(x):
    return x
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a module in it."""
    (tmp_path / "flows_to_load.py").write_text(MODULE)
    (tmp_path / "broken_to_load.py").write_text("import no_such_library_anywhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield tmp_path
    for name in ("flows_to_load", "broken_to_load"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("target", "name"), [("flows_to_load:plan", "plan"), ("flows_to_load:Flows.write", "Flows.write")])
def test_the_current_folder_is_searched(here, target, name):
    """And an attribute of an attribute is found."""
    entrypoint, saver = load_entrypoint(target)

    assert (name, None) == (entrypoint.plan.name, saver.latest("t"))


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("flows_to_load", "'flows_to_load' does not name an entrypoint: write MODULE:ENTRYPOINT, such as app:plan for `plan` in app.py"),
        ("flows_to_load.py:plan", "does not name an entrypoint"),
        ("./flows_to_load:plan", "does not name an entrypoint"),
        (":plan", "does not name an entrypoint"),
        ("no_such_module:plan", "there is no module 'no_such_module' in "),
        ("flows_to_load:plam", "module 'flows_to_load' has no 'plam'; did you mean 'plan'?"),
        ("flows_to_load:xyz", "module 'flows_to_load' has no 'xyz'; its entrypoints are: fleeting, plan"),
        ("flows_to_load:step", "has a 'step', but it is no entrypoint: a Task"),
        ("flows_to_load:fleeting", "flows_to_load:fleeting keeps nothing that could be resumed: give it a checkpointer"),
    ],
)
def test_what_is_no_entrypoint_is_refused(here, target, text):
    """Saying what there is instead."""
    with pytest.raises(click.UsageError) as caught:
        load_entrypoint(target)

    assert text in caught.value.message


def test_an_error_inside_the_module_is_its_own(here):
    """A library that it needs and that is missing is not taken for the module."""
    with pytest.raises(ModuleNotFoundError, match="no_such_library_anywhere"):
        load_entrypoint("broken_to_load:plan")
