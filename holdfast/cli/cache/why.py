"""``holdfast cache why``: what became of a key."""

from __future__ import annotations

import time

import click
import msgspec

from holdfast.cache.misses import explain
from holdfast.cli import output
from holdfast.cli.cache import place


@click.command(epilog="\b\nExamples:\n  holdfast cache why forecast 5be1d0a9      why a call finds nothing under this key")
@click.argument("task")
@click.argument("key")
@output.as_json
@place.path
def why(task: str, key: str, path: str | None, *, as_json: bool) -> None:
    """Say what became of KEY of TASK: expired, evicted, forgotten, of another version.

    KEY is the beginning of a key, as holdfast cache keys shows it; in a program,
    task.why_miss(...) takes the arguments themselves. TTLs are those that entries were
    stored with.
    """
    look = place.look(path)
    known = look.known_keys(key)
    meant = place.tasks_meant((place.task_of(each.namespace) for each in look.known_keys("")), task)
    found = [each for each in known if place.task_of(each.namespace) in meant]
    if not found:
        output.fail(f"no key of {task} begins with {key!r}: never stored, or so long ago that it is not remembered")
    if len({each.digest for each in found}) > 1:
        names = ", ".join(each.digest.hex()[: len(key) + 8] for each in found[:3])
        output.fail(f"{len(found)} keys begin with {key!r}: {names}. Give more of it")
    ttls = {info.key: info.ttl for info in look.entries()}
    with look.reading() as connection:
        told = [explain(connection, each, time.time(), ttl=ttls.get(each), parts=None) for each in found]
    if as_json:
        output.print_json([msgspec.to_builtins(each) for each in told])
    else:
        output.print_text("\n".join(f"{each.namespace}  {each.key[:8]}\n  {each}" for each in told))
