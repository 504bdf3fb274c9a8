"""``holdfast cache tune``: what other TTLs would have done, and which one to take."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from holdfast import clock
from holdfast.cli import output
from holdfast.cli.cache import place, screen
from holdfast.cli.cache.ttl import Share
from holdfast.cli.marks import shell_word
from holdfast.cli.moments import Length
from holdfast.errors import HoldfastError, PolicyError
from holdfast.overrides import Overrides
from holdfast.recording.store import HOUR
from holdfast.tuning._words import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.tuning import Recording, Report


class PriceList(click.ParamType[dict[str, float]]):
    """``call=0.002,stale=0.05``."""

    name = "prices"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, float]:
        """Read what was typed; whether there are such prices is judged by whom they are for."""
        prices: dict[str, float] = {}
        for part in str(value).split(","):
            name, _, number = part.partition("=")
            try:
                prices[name.strip()] = float(number)
            except ValueError:
                self.fail(f"{part.strip()!r} is no price: write call=0.002,latency=0.01,stale=0.05", param, ctx)
        return prices


@click.command(
    epilog="\b\nExamples:\n  holdfast cache tune forecast --stale-budget 5%\n"
    "  holdfast cache tune forecast --price call=0.002,stale=0.01\n"
    "  holdfast cache tune --all --max-age 15m           every task that was recorded\n"
    "  holdfast cache tune forecast --stale-budget 5% --html whatif.html\n"
    "  holdfast cache tune --from calls.csv --live-ttl 1h --stale-budget 5%"
)
@click.argument("task", required=False)
@click.option("--all", "everything", is_flag=True, help="Every task that was recorded.")
@click.option("--stale-budget", metavar="SHARE", type=Share(), help="The share of answers that may be stale: 5%, or 0.05.")
@click.option(
    "--price", metavar="WHAT=X,..", type=PriceList(), help="Prices of a call, a wait (latency) and a stale answer, for the cheapest TTL."
)
@click.option("--max-age", metavar="AGE", type=Length(), help="No answer may be older than this: 15m, 2h.")
@click.option(
    "--reach", metavar="N", type=float, default=2.0, show_default=True, help="Look at TTLs from 1/N of the live one to N times it."
)
@click.option("--since", metavar="AGE", type=Length(), help="Only what was recorded in this time, from a full hour on: 7d, 12h.")
@click.option("--from", "file", metavar="FILE", help="Accesses from a file instead: CSV, JSON lines, spans, oracleGeneral.")
@click.option("--sightings", metavar="FILE", help="With --from: a CSV file of what the source answered.")
@click.option("--live-ttl", metavar="TTL", type=Length(), help="With --from: the TTL at that time; a recording knows its own.")
@click.option("--html", metavar="FILE", help="Write the report as a page, too.")
@output.as_json
@place.path
def tune(task: str | None, path: str | None, *, everything: bool, html: str | None, as_json: bool, **asked: Any) -> None:
    """Show what other TTLs would do to hits, calls and stale answers.

    This is worked out from what the cache has recorded of TASK, or from a file. A TTL is
    recommended within the limits given: a share of stale answers, prices, or an age.
    Nothing is changed.
    """
    file, since, sightings = asked.pop("file"), asked.pop("since"), asked["sightings"]
    _check(task, everything=everything, file=file, since=since, sightings=sightings, html=html, path=path)
    try:
        reports = list(_reports(task, place.folder_of(path) if file is None else None, file, since, everything=everything, asked=asked))
    except PolicyError as error:
        raise click.UsageError(str(error)) from None
    except (HoldfastError, OSError) as error:
        output.fail(str(error))
    if as_json:
        told = [report.to_dict() for report in reports]
        output.print_json(told if everything else told[0])
    else:
        look = screen.Look(width=output.width(), color=output.has_color(), is_ascii=output.is_ascii())
        for number, report in enumerate(reports):
            output.print_text("\n" * bool(number) + screen.drawn(report, look))
            if since is not None:
                output.print_text(f"  counted from {_full_hour(since):%Y-%m-%d %H:%M} on: what is counted is kept by the hour")
            if file is None and report.recommendation.move in {"raise", "lower"}:
                output.print_text(_applied(report, path))
    if html is not None:
        _write(html, reports[0].to_html())


def _full_hour(since: float) -> datetime:
    """Where `Recording.load` begins, in this machine's time zone."""
    return datetime.fromtimestamp((clock.current.time() - since) // HOUR * HOUR).astimezone()


def _applied(report: Report, path: str | None) -> str:
    """The command that makes it so."""
    best = next(point for point in report.curve if point.ttl == report.recommendation.ttl)
    before = [override.id for override in Overrides(place.folder_of(path)).current(report.task)]
    words = ["holdfast", "cache", "ttl", "set", report.task, shown(best.ttl), "--expect", best.expected]
    words += ["--after", str(before[-1])] if before else []
    words += ["--path", path] if path else []
    return "  apply: " + " ".join(map(shell_word, words))


def _check(
    task: str | None, *, everything: bool, file: str | None, since: float | None, sightings: str | None, html: str | None, path: str | None
) -> None:
    """Refuse options that do not go together: each would do nothing."""
    if everything and (task or file):
        raise click.UsageError("--all is for every task of a recording: leave TASK and --from out")
    if everything and html:
        raise click.UsageError("--html writes the page of one task: name it instead of --all")
    if file is None and sightings is not None:
        raise click.UsageError("--sightings goes with --from: a recording has its own")
    if file is not None and (since or path):
        raise click.UsageError("--since and --path are for what the cache has recorded: leave them out with --from")


def _reports(
    task: str | None, folder: object, file: str | None, since: float | None, *, everything: bool, asked: dict[str, Any]
) -> Iterator[Report]:
    from holdfast import tuning

    asked["prices"] = asked.pop("price")
    if file is not None:
        output.need_file(file)
        if asked["sightings"] is not None:
            output.need_file(asked["sightings"])
        yield tuning.tune(file, task=task or "", **asked)
        return
    names: list[str | None] = [*tuning.Recording.tasks(str(folder))] if everything else [task]
    if not names:
        output.fail(f"nothing is recorded in {folder} yet")
    for name in names:
        recording: Recording = tuning.Recording.load(str(folder), task=name, since=since)
        if len(recording.trace) or not everything:
            yield tuning.tune(recording, **asked)


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - a path as it was typed
            file.write(text)
    except OSError as error:
        output.fail(f"{path} cannot be written: {error}")
