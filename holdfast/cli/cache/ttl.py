"""``holdfast cache ttl``: change a task's time to live while programs run, watch it, and take it back."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from holdfast import clock
from holdfast.cli import output
from holdfast.cli.cache import place, suggested
from holdfast.cli.cache.history import all_in_json, drawn, in_json, outcomes, share_of, ttl_of
from holdfast.cli.marks import age, plain, time_left
from holdfast.cli.moments import Length
from holdfast.cli.table import Row, draw
from holdfast.errors import HoldfastError, OverrideConflict
from holdfast.overrides import Overrides
from holdfast.policies.duration import spoken
from holdfast.recording.store import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from holdfast.overrides import Override

T = TypeVar("T")

_HEAD = ("", "TASK", "TTL", "KEYS", "GUARD", "BY", "SINCE", "ENDS", "ID", "REASON")
_RIGHT = frozenset(("TTL", "KEYS", "ID", "SINCE", "ENDS"))


class Share(click.ParamType[float]):
    """``10%`` or ``0.1``."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read what was typed; ends the command with what was expected when it is neither."""
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            self.fail(f"{text!r} is no share: give for example 10% or 0.1", param, ctx)
        if share > 1:
            self.fail(f"{text!r} is more than all: give for example 10% or 0.1", param, ctx)
        return share


@click.group(
    epilog="\b\nExamples:\n  holdfast cache ttl list\n"
    "  holdfast cache ttl set forecast 45m --canary 10% --guard 'errors<=5%'\n"
    "  holdfast cache ttl promote forecast\n"
    "  holdfast cache ttl rollback forecast --reason 'stale answers'"
)
def ttl() -> None:
    """Change a task's ttl while programs run.

    Every process that has the cache open follows within a second, also for entries that
    are there already.
    """


_author = click.option("--author", metavar="WHO", help="Who does it; default your user name.")
_reason = click.option("--reason", metavar="TEXT", default="", help="Why, for the history.")
_dry_run = click.option("--dry-run", is_flag=True, help="Only say what would be.")


@ttl.command(
    "list",
    short_help="List what is in force, and what is suggested.",
    epilog="\b\nExamples:\n  holdfast cache ttl list --json | jq '.[].ttl'",
)
@output.as_json
@place.path
def list_(path: str | None, *, as_json: bool) -> None:
    """List what is in force, and what is suggested for tasks that are looked after."""
    found = _guarded(lambda: _overrides(path).current())
    if as_json:
        output.print_json([in_json(each) for each in found])
        return
    now = clock.current.time()
    rows = [_row(each, now) for each in found]
    output.print_text(draw(_HEAD, rows, right=_RIGHT, color=output.has_color()) if rows else "no ttl is overridden")
    for each in suggested.moves(place.folder_of(path), None, now):
        output.print_text(suggested.drawn(each, now))


@ttl.command(epilog="\b\nExamples:\n  holdfast cache ttl history\n  holdfast cache ttl history forecast")
@click.argument("task", required=False)
@output.as_json
@place.path
def history(task: str | None, path: str | None, *, as_json: bool) -> None:
    """List every change there was, of all tasks or of TASK.

    Beside what was expected stands what came: hits while it was in force, and stale
    answers where probes were made. It takes 200 gets, and four times the ttl.
    """
    found = _guarded(_overrides(path).history)
    if task is not None:
        meant = place.tasks_meant(_known(place.folder_of(path)), task)
        found = [each for each in found if each.task in meant]
    now = clock.current.time()
    came = outcomes(place.folder_of(path), found, now)
    if as_json:
        output.print_json(all_in_json(found, came))
    elif not found:
        output.print_text("no ttl was ever overridden")
    else:
        output.print_text(drawn(found, came, now, color=output.has_color()))


@ttl.command(
    "set",
    epilog="\b\nExamples:\n  holdfast cache ttl set forecast 45m --reason 'the source changes every hour'\n"
    "  holdfast cache ttl set forecast 45m --canary 10% --guard 'errors<=5%, changed<=20%' --expires 7d\n"
    "  holdfast cache ttl set forecast 1h --after 3      replaces override 3",
)
@click.argument("task")
@click.argument("ttl", metavar="TTL", type=Length())
@click.option("--canary", metavar="SHARE", type=Share(), default="100%", show_default=True, help="Only for this share of the keys.")
@click.option(
    "--guard", metavar="TEXT", help="Take it back unless: errors<=5%, changed<=20%, calls<=1.5x, stale<=2%; several with commas between."
)
@click.option("--expires", metavar="TIME", type=Length(), help="After this time the policy in the code holds again: 12h, 7d.")
@click.option("--expect", metavar="TEXT", help="What should come of it, for the history to compare: hits=73.4%, stale=2%; either or both.")
@click.option(
    "--after", metavar="ID", type=int, default=0, help="The override that this one replaces; without it, only where there is none."
)
@_author
@_reason
@_dry_run
@output.as_json
@place.path
def set_(
    task: str,
    ttl: float,
    canary: float,
    guard: str | None,
    expires: float | None,
    expect: str | None,
    after: int,
    author: str | None,
    reason: str,
    path: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Override the ttl of TASK: seconds, or 90s, 45m, 1h30m, 7d."""
    folder = place.folder_of(path)
    name = _task(folder, task)
    overrides = Overrides(folder)
    _check_range(folder, name, ttl)
    before = _guarded(lambda: overrides.current(name))
    options: dict[str, Any] = {
        "share": canary,
        "guard": guard,
        "author": _who(author),
        "reason": reason,
        "expires_in": expires,
        "expected": expect,
        "after": after,
    }
    made = _guarded(lambda: _naming(lambda: overrides.set(name, ttl, **options, dry_run=dry_run)))
    _say(made, _ttl_before(folder, name, before), dry_run=dry_run, as_json=as_json)


@ttl.command(
    short_help="Apply what is in force for some keys to more, or all.",
    epilog="\b\nExamples:\n  holdfast cache ttl promote forecast --to 50%\n  holdfast cache ttl promote forecast",
)
@click.argument("task")
@click.option("--to", metavar="SHARE", type=Share(), default="100%", show_default=True, help="For this share of the keys.")
@_author
@_reason
@_dry_run
@output.as_json
@place.path
def promote(task: str, to: float, author: str | None, reason: str, path: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Apply what is in force for some keys of TASK to more of them, or all."""
    folder = place.folder_of(path)
    overrides = Overrides(folder)
    current = _current(overrides, folder, task)
    made = _guarded(lambda: overrides.promote(current.task, to, author=_who(author), reason=reason, after=current.id, dry_run=dry_run))
    _say(made, f"{share_of(current)} before", dry_run=dry_run, as_json=as_json)


@ttl.command(
    short_help="Take back what is in force: what it had replaced holds.",
    epilog="\b\nExamples:\n  holdfast cache ttl rollback forecast --reason 'stale answers'",
)
@click.argument("task")
@_author
@_reason
@_dry_run
@output.as_json
@place.path
def rollback(task: str, author: str | None, reason: str, path: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Take back what is in force for TASK: what it had replaced holds again."""
    folder = place.folder_of(path)
    overrides = Overrides(folder)
    current = _current(overrides, folder, task)
    made = _guarded(lambda: overrides.rollback(current.task, author=_who(author), reason=reason, after=current.id, dry_run=dry_run))
    _say(made, f"{ttl_of(current)} before", dry_run=dry_run, as_json=as_json)


def _overrides(path: str | None) -> Overrides:
    folder = place.folder_of(path)
    if not folder.is_dir():
        output.fail(f"there is no cache in {folder}")
    return Overrides(folder)


def _guarded(work: Callable[[], T]) -> T:
    try:
        return work()
    except HoldfastError as error:
        output.fail(str(error))


def _naming(work: Callable[[], T]) -> T:
    """Of two operators, tell the second how to name here what is to be replaced."""
    try:
        return work()
    except OverrideConflict as error:
        output.fail(f"{error}: {f'--after {error.current}' if error.current else 'leave --after out'}")


def _known(folder: Path) -> set[str]:
    """The tasks that have entries, a recording or a history."""
    known = {place.task_of(info.key.namespace) for info in place.look(str(folder)).entries()}
    known.update(each.task for each in _guarded(Overrides(folder).history))
    known.update(place.recorded(folder, Reader.tasks, []))
    return known


def _task(folder: Path, given: str) -> str:
    """The one task that a name means."""
    meant = place.tasks_meant(_known(folder), given)
    if len(meant) > 1:
        output.fail(f"{given!r} means {len(meant)} tasks, {', '.join(meant)}: give more of the name")
    return meant[0]


def _check_range(folder: Path, task: str, ttl: float) -> None:
    """End the command when the task's policy would not take it, as far as that is recorded; running programs check it anyway."""
    _, least, most = place.recorded(folder, lambda reader: reader.policy(task), None) or (None, None, None)
    if least is not None and most is not None and not least <= ttl <= most:
        output.fail(f"ttl {spoken(ttl)} is beyond the ttl_range of {task}, {spoken(least)} to {spoken(most)}")


def _current(overrides: Overrides, folder: Path, given: str) -> Override:
    name = _task(folder, given)
    found = _guarded(lambda: overrides.current(name))
    if not found:
        output.fail(f"no override of {name} is in force")
    return found[0]


def _who(author: str | None) -> str:
    if author:
        return author
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name
        return "unknown"


def _ttl_before(folder: Path, task: str, before: Sequence[Override]) -> str:
    """What is known of the ttl until now."""
    if before:
        return f"{ttl_of(before[0])} before"
    live = place.recorded(folder, lambda reader: reader.policy(task), None)
    if live is None:
        return "its policy's before"
    return f"{'without end' if live[0] is None else spoken(live[0])} before"


def _say(made: Override, before: str, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        output.print_json({"dry_run": dry_run} | in_json(made))
        return
    parts = [f"ttl {ttl_of(made)}", *([f"for {share_of(made)} of its keys"] if made.ttl is not None else []), before]
    parts += [f"taken back unless {made.guard}"] if made.guard is not None else []
    parts += [f"for {spoken(made.expires - made.created)}"] if made.expires is not None and made.action == "set" else []
    ending = "nothing was changed" if dry_run else f"override {made.id}; running programs follow within a second"
    output.print_text(f"{plain(made.task)}: {', '.join(parts)}\n{ending}")


def _row(each: Override, now: float) -> Row:
    ends = "" if each.expires is None else f"in {time_left(each.expires - now)}"
    guard = "" if each.guard is None else str(each.guard)
    texts = (
        plain(each.task),
        ttl_of(each),
        share_of(each),
        guard,
        plain(each.author),
        f"{age(now - each.created)} ago",
        ends,
        str(each.id),
    )
    return Row(("*", *texts, plain(each.reason)), "green")
