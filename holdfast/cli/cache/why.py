"""``holdfast cache why``: what became of a key."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click
import msgspec

from holdfast._keys import key_maker
from holdfast.cache.disk import salted
from holdfast.cache.misses import explain
from holdfast.cli import output
from holdfast.cli.cache import place
from holdfast.cli.cache.terms import InForce, Terms
from holdfast.cli.load import load_plan
from holdfast.errors import HoldfastError
from holdfast.runtime.inject import left_empty
from holdfast.values.secret import load_secret

if TYPE_CHECKING:
    from holdfast.cache._scan import Look
    from holdfast.cache.misses import MissExplanation


@click.command(
    short_help="Tell what became of a key: expired, evicted, forgotten.",
    epilog="\b\nExamples:\n  holdfast cache why forecast 5be1d0a9      why a call finds nothing under this key\n"
    "  holdfast cache why app:forecast --args '[\"Oslo\", 3]'\n"
    '  holdfast cache why app:forecast --args \'{"city": "Oslo"}\'',
)
@click.argument("task")
@click.argument("key", required=False)
@click.option(
    "--args", "given", metavar="JSON", help="A list of arguments, or an object of named ones, instead of KEY; TASK is then MODULE:FUNCTION."
)
@output.as_json
@place.path
def why(task: str, key: str | None, given: str | None, path: str | None, *, as_json: bool) -> None:
    """Tell what became of KEY of TASK: expired, evicted, forgotten, of another version.

    KEY is the beginning of a key, as holdfast cache keys shows it. Whether it is fresh
    is judged by the override in force, else by the ttl and the windows that were
    recorded last, else by what it was stored with. With --args, MODULE is imported, the
    call is judged by its policy, and the nearest keys are shown with the arguments in
    which they differ.
    """
    if (key is None) == (given is None):
        raise click.UsageError("give KEY, or --args with the arguments of a call")
    look = place.look(path)
    told = _of_key(look, task, key) if key is not None else [_of_call(look, task, str(given))]
    if as_json:
        output.print_json([msgspec.to_builtins(each) for each in told])
    else:
        output.print_text("\n".join(f"{each.namespace}  {each.key[:8]}\n  " + str(each).replace("\n", "\n  ") for each in told))


def _of_key(look: Look, task: str, key: str) -> list[MissExplanation]:
    known = look.known_keys(key)
    meant = place.tasks_meant((place.task_of(each.namespace) for each in look.known_keys("")), task)
    found = [each for each in known if place.task_of(each.namespace) in meant]
    if not found:
        output.fail(f"no key of {task} begins with {key!r}: never stored, or so long ago that it is not remembered")
    if len({each.digest for each in found}) > 1:
        names = ", ".join(each.digest.hex()[: len(key) + 8] for each in found[:3])
        output.fail(f"{len(found)} keys begin with {key!r}: {names}. Give more of it")
    in_force = InForce(look.folder)
    known_terms = {info.key: in_force.of(info) for info in look.entries()}
    terms = [(each, known_terms.get(each, Terms(None, (0.0, 0.0)))) for each in found]
    with look.reading() as connection:
        return [explain(connection, each, time.time(), ttl=by.ttl, parts=None, windows=by.windows) for each, by in terms]


def _of_call(look: Look, target: str, given: str) -> MissExplanation:
    plan = load_plan(target)
    args, kwargs = _arguments(given)
    plan, kwargs = left_empty(plan, args, kwargs)
    maker = key_maker(plan)
    try:
        key, parts = maker.make(args, kwargs), maker.digests(args, kwargs)
    except (HoldfastError, TypeError) as error:
        raise click.UsageError(f"--args {given}: {error}") from None
    place.tasks_meant({place.task_of(each.namespace) for each in look.known_keys("")}, place.task_of(key.namespace))
    secret = load_secret()
    override = InForce(look.folder).override(key)
    ttl, windows = (None, (0.0, 0.0)) if plan.cache is None else (plan.cache.ttl, plan.cache.windows)
    ttl = ttl if override is None else override.ttl
    with look.reading() as connection:
        return explain(connection, key, time.time(), ttl=ttl, parts=salted(parts, secret), windows=windows)


def _arguments(given: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What JSON says, with its types: numbers with a point are floats, lists are lists."""
    try:
        found: dict[str, Any] | list[Any] = msgspec.json.decode(given, type=dict[str, Any] | list[Any])
    except msgspec.ValidationError:
        raise click.UsageError(f"--args {given}: give a list of arguments, or an object of named ones") from None
    except msgspec.DecodeError as error:
        raise click.UsageError(f"--args {given}: {error}") from None
    return ((), found) if isinstance(found, dict) else (tuple(found), {})
