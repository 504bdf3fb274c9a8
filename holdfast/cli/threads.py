"""``holdfast threads``: what a checkpointer's file holds, and forgetting what is old. Listing changes nothing, pruning says what went."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from rich.text import Text

from holdfast import clock
from holdfast.checkpoint.sqlite import SqliteSaver
from holdfast.cli import output, questions
from holdfast.cli.marks import ASCII, UNICODE, age, count, plain, shown_id, size
from holdfast.cli.table import LONGEST_NAME, Row, draw
from holdfast.errors import PolicyError
from holdfast.runtime import once
from holdfast.typing import UNFINISHED
from holdfast.values.failure import decode_failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.cli.marks import Marks
    from holdfast.errors import Doubt
    from holdfast.runtime.questions import Interrupt
    from holdfast.typing import Pruned, ThreadInfo

_HEAD = ("", "THREAD", "ENTRYPOINT", "STATUS", "RUNS", "STEPS", "SIZE", "UPDATED", "OWNED")
_RIGHT = frozenset(("RUNS", "STEPS", "SIZE", "GOING", "GONE", "LEFT"))

_db = click.option("--db", metavar="PATH", help="The file of the entrypoint's SqliteSaver.")


class Listed(NamedTuple):
    """A thread with what is worth knowing about its newest run.

    Attributes:
        info: The thread.
        status: As in `holdfast.typing.RunRecord`, but ``waiting`` for an interrupted run, ``stopped`` for a running one that nobody works on, and
            ``in doubt`` for one that a person has to settle first.
        asked: Its open questions.
        error: What its failure says; empty without one.
        doubts: Its at-most-once steps whose end is not known, and what to type about each.
    """

    info: ThreadInfo
    status: str
    asked: Sequence[Interrupt] = ()
    error: str = ""
    doubts: Sequence[tuple[Doubt, str]] = ()


@click.group(
    invoke_without_command=True,
    subcommand_metavar="[COMMAND]",
    epilog="\b\nExamples:\n  holdfast threads --db runs.db                   what is waiting, failed, done\n"
    "  holdfast threads --db runs.db --json | jq '.[].questions'\n"
    "  holdfast threads prune --db runs.db --max-age 30d --dry-run",
)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=20, show_default=True, help="At most N threads.")
@output.as_json
@_db
@click.pass_context
def threads(context: click.Context, limit: int, db: str | None, *, as_json: bool) -> None:
    """List the threads of a checkpointer, and what they wait for.

    Last updated first. Nothing is changed, and nobody at work is disturbed.
    """
    if context.invoked_subcommand is not None:
        return
    path = _file(db)
    with closing(SqliteSaver.read_only(path)) as saver:
        found = [_listed(saver, info) for info in saver.threads(limit=limit + 1)]
    if as_json:
        output.print_json([_in_json(each) for each in found[:limit]])
    elif not found:
        output.fail(f"no thread is kept in {path}")
    else:
        is_ascii = output.is_ascii()
        output.print_text(_render(found[:limit], now=clock.current.time(), color=output.has_color(), is_ascii=is_ascii))
        if len(found) > limit:
            output.print_text(f"{(ASCII if is_ascii else UNICODE).more} and more: --limit {10 * limit} shows them")


@threads.command(
    epilog="\b\nExamples:\n  holdfast threads prune --db runs.db --max-age 30d --dry-run\n  holdfast threads prune --db runs.db --keep-last 10"
)
@click.option("--keep-last", metavar="N", type=click.IntRange(min=1), help="Keep the N newest runs of each thread.")
@click.option("--max-age", metavar="AGE", help="Forget runs that last changed longer ago: 30d, 12h, 1h30m.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@output.as_json
@_db
@click.pass_context
def prune(context: click.Context, keep_last: int | None, max_age: str | None, db: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Forget old runs of all threads, and threads of which nothing is left.

    Kept in any case: a thread's newest run while it can be resumed, what the next
    run sees as `previous`, and threads that somebody is working on.
    """
    path = _file(db or (context.parent.params["db"] if context.parent is not None else None))
    if keep_last is None and max_age is None:
        raise click.UsageError("say what may go: --keep-last N, --max-age AGE, or both")
    reader = SqliteSaver.read_only(path)
    before = reader.threads()
    saver = reader if dry_run else SqliteSaver(path)
    try:
        whose = _threads_of(reader, _pruned(reader, keep_last, max_age, dry_run=True))
        gone = _pruned(saver, keep_last, max_age, dry_run=dry_run)
    finally:
        saver.close()
        reader.close()
    if as_json:
        output.print_json({"dry_run": dry_run, "runs": gone.runs, "threads": gone.threads, "steps": gone.steps, "size": gone.size})
        return
    rows = _rows_of_pruned(gone, whose, before, ASCII if output.is_ascii() else UNICODE)
    if rows:
        head = ("", "THREAD", "GOING" if dry_run else "GONE", "LEFT")
        output.print_text(draw(head, rows, right=_RIGHT, color=output.has_color()) + "\n")
    output.print_text(_said(gone, before, dry_run=dry_run))


def _file(db: str | None) -> str:
    """The file to look at; ends the command when none was named, or it is not there."""
    if db is None:
        raise click.UsageError("say which file: --db PATH, as given to the entrypoint's SqliteSaver(PATH)")
    output.need_file(db)
    return db


def _listed(saver: SqliteSaver, info: ThreadInfo) -> Listed:
    newest = saver.latest(info.thread_id) if info.status in UNFINISHED else None
    if newest is None:
        return Listed(info, info.status)
    if not info.is_owned and (doubts := once.in_doubt(saver.steps(newest.run_id))):
        found = [once.doubt(newest.run_id, each) for each in doubts]
        return Listed(info, "in doubt", doubts=[(each, once.how(newest, each.step, "result=... | rerun=True")) for each in found])
    if info.status in ("running", "cancelled"):
        return Listed(info, "stopped" if info.status == "running" and not info.is_owned else info.status)
    if info.status == "interrupted":
        return Listed(info, "waiting", questions.waiting(saver, newest))
    return Listed(info, info.status, error="" if newest.error is None else _described(decode_failure(newest.error)))


def _described(error: Exception) -> str:
    """``ConnectionError: the server is down``."""
    text, kind = plain(str(error)), type(error).__name__
    return text if kind == "ReplayedError" else f"{kind}: {text}" if text else kind


def _in_json(listed: Listed) -> dict[str, Any]:
    info = listed.info
    return {
        "thread_id": info.thread_id,
        "entry": info.entry,
        "status": listed.status,
        "runs": info.runs,
        "steps": info.steps,
        "size": info.size,
        "updated": info.updated,
        "is_owned": info.is_owned,
        "error": listed.error,
        "questions": questions.in_json(listed.asked),
        "doubts": [doubt._asdict() for doubt, _ in listed.doubts],
    }


def _render(found: Sequence[Listed], *, now: float, color: bool, is_ascii: bool) -> str:
    marks = ASCII if is_ascii else UNICODE
    return draw(_HEAD, [_row(each, now, marks) for each in found], right=_RIGHT, color=color)


def _row(listed: Listed, now: float, marks: Marks) -> Row:
    info = listed.info
    sign, style = {
        "done": (marks.ok, "green"),
        "failed": (marks.failed, "red"),
        "running": (marks.running, "cyan"),
        "stopped": (marks.unknown, "yellow"),
        "in doubt": (marks.unknown, "yellow"),
    }.get(listed.status, (marks.stopped, "yellow"))
    texts = (
        sign,
        shown_id(info.thread_id, marks),
        plain(info.entry)[:LONGEST_NAME],
        listed.status,
        str(info.runs),
        str(info.steps),
        size(info.size),
        f"{age(now - info.updated)} ago",
        "yes" if info.is_owned else "no",
    )
    said = [(name, questions.in_one_line(each)) for name, each in zip(questions.short_ids(listed.asked), listed.asked, strict=True)]
    for doubt, what in listed.doubts:  # by its key the other service may tell which of several calls it is
        key = f"idempotency key {doubt.idempotency_key}"
        said.append((doubt.step[:8], f"{plain(doubt.task)} has begun, its end is not known ({key}): {plain(what)}"))
    if listed.error:
        said.append(("", listed.error))
    return Row(texts, style, tuple(_below(said, style, marks)))


def _below(said: Sequence[tuple[str, str]], style: str, marks: Marks) -> list[Text]:
    """The questions and the error of a thread, as branches of its row."""
    lines: list[Text] = []
    for place, (name, text) in enumerate(said, 1):
        line = Text("   " + (marks.last if place == len(said) else marks.branch), "bright_black")
        lines.append(line.append(f"{name}  " if name else "", "bold").append(text, "" if name else style))
    return lines


def _pruned(saver: SqliteSaver, keep_last: int | None, max_age: str | None, *, dry_run: bool) -> Pruned:
    try:
        return saver.prune(keep_last=keep_last, max_age=max_age, dry_run=dry_run)
    except PolicyError as error:
        raise click.UsageError(str(error)) from None


def _threads_of(saver: SqliteSaver, pruned: Pruned) -> dict[str, str]:
    """The thread of each run that is to go."""
    found = {run_id: saver.find(run_id) for run_id in pruned.runs}
    return {run_id: run.thread_id for run_id, run in found.items() if run is not None}


def _rows_of_pruned(gone: Pruned, whose: dict[str, str], before: Sequence[ThreadInfo], marks: Marks) -> list[Row]:
    """One row for each thread that loses runs: how many, and how many are left."""
    lost: dict[str, int] = {}
    for run_id in gone.runs:
        thread = whose.get(run_id, "?")
        lost[thread] = lost.get(thread, 0) + 1
    had = {info.thread_id: info.runs for info in before}
    return [
        Row(("-", shown_id(thread, marks), str(number), str(max(0, had.get(thread, 0) - number))), "red") for thread, number in lost.items()
    ]


def _said(gone: Pruned, before: Sequence[ThreadInfo], *, dry_run: bool) -> str:
    """What went, or would go, in one or two sentences."""
    verb = "would go" if dry_run else "gone"
    if gone.runs:
        said = f"{verb}: {count(len(gone.runs), 'run')} with {count(gone.steps, 'step')}, {size(gone.size)}"
        said += f"; of {count(len(gone.threads), 'thread')} nothing {'would be' if dry_run else 'is'} left" if gone.threads else ""
    else:
        said = "nothing would go" if dry_run else "nothing to forget"
    busy = sum(info.is_owned for info in before)
    return said + (f"\npassed by: {count(busy, 'thread')} at work" if busy else "")
