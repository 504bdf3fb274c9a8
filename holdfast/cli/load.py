"""Finds the entrypoint, or the cached function, that ``module:attribute`` names."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, runtime_checkable

import click

from holdfast._entrypoint import Entrypoint
from holdfast.policies.plan import Plan

if TYPE_CHECKING:
    from types import ModuleType

    from holdfast.typing import Checkpointer


@runtime_checkable
class _Planned(Protocol):
    plan: Plan


def load_entrypoint(target: str) -> tuple[Entrypoint[Any], Checkpointer]:
    """The entrypoint and its checkpointer.

    Args:
        target: ``module:attribute``, for example ``app:plan`` or ``package.flows:Flows.plan``. The current folder is searched first.

    Raises:
        UsageError: There is no such thing, or it is no entrypoint, or one that keeps nothing.
    """
    module, path, found = _found(target, "an entrypoint: write MODULE:ENTRYPOINT, such as app:plan for `plan` in app.py", Entrypoint)
    if not isinstance(found, Entrypoint):
        _refuse(module, path, f"has a {path!r}, but it is no entrypoint: a {type(found).__name__}")
    entrypoint: Entrypoint[Any] = found  # pyright: ignore[reportUnknownVariableType]
    saver = entrypoint._settings.checkpointer  # noqa: SLF001 - of our own package; users have no use for it
    if saver is None:
        raise click.UsageError(f"{target} keeps nothing that could be resumed: give it a checkpointer, @entrypoint(SqliteSaver('runs.db'))")
    return entrypoint, saver


def load_plan(target: str) -> Plan:
    """The plan of a cached task or ``@resilient`` function.

    Args:
        target: ``module:attribute``, as for `load_entrypoint`.

    Raises:
        UsageError: There is no such thing, or it is not cached.
    """
    _, _, found = _found(target, "a function: write MODULE:FUNCTION, such as app:forecast for `forecast` in app.py", _Planned)
    plan = getattr(found, "plan", None)
    if not isinstance(plan, Plan) or plan.cache is None:
        raise click.UsageError(f"{target} is not cached: it is no task and no @resilient function with a cache_policy")
    return plan


def _found(target: str, what: str, kind: type) -> tuple[ModuleType, str, Any]:
    name, sign, path = target.partition(":")
    if not sign or not name or not path or name.endswith(".py") or "/" in name:
        raise click.UsageError(f"{target!r} does not name {what}")
    module = _module(name)
    found: Any = module
    for attribute in path.split("."):
        if not hasattr(found, attribute):
            _refuse(module, path, f"has no {path!r}", kind)
        found = getattr(found, attribute)
    return module, path, found


def _module(name: str) -> ModuleType:
    here = os.getcwd()  # noqa: PTH109 - a text is wanted
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise  # the module is there, and something that it imports is not
        raise click.UsageError(f"there is no module {error.name!r} in {here}, nor is it installed") from None


def _refuse(module: ModuleType, path: str, what: str, kind: type = Entrypoint) -> NoReturn:
    names = sorted(name for name, thing in vars(module).items() if isinstance(thing, kind))
    close = difflib.get_close_matches(path, names, n=1)
    title = "entrypoints" if kind is Entrypoint else "tasks and functions"
    known = f"did you mean {close[0]!r}?" if close else f"its {title} are: {', '.join(names) or 'none'}"
    raise click.UsageError(f"module {module.__name__!r} {what}; {known}")
