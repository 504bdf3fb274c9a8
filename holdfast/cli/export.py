"""``holdfast export``: what was recorded on this machine, sent to a backend or written to a file for one."""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast.cli import output, traces
from holdfast.cli.marks import count
from holdfast.errors import HoldfastError, PolicyError
from holdfast.tracing.export import _backends, otlp_json
from holdfast.tracing.spans.records import in_order
from holdfast.tracing.store.choice import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.tracing.spans.records import SpanRow
    from holdfast.tracing.store.database import TraceStore

_DATABASE = b"SQLite format 3\0"
"""How every file of SQLite begins (https://www.sqlite.org/fileformat.html#magic_header_string)."""

_ALIKE = 0.75  # a name this close to a backend's is taken for a slip
_ADDRESS = re.compile(r"[\w.-]+:\d+(/.*)?")


@click.command(
    epilog="\b\nExamples:\n  holdfast export --to http://localhost:4318     the last run, to Jaeger\n"
    "  holdfast export 0198c0de --to run.json         a run, as a file that Jaeger's page opens\n"
    "  holdfast export --all --to - | gzip > runs.jsonl.gz"
)
@click.argument("run", default="")
@click.option(
    "--to",
    "target",
    metavar="URL|BACKEND|FILE",
    required=True,
    help="An OTLP endpoint, a backend by its name in configure(), or a file for OTLP in JSON; - is stdout.",
)
@click.option("--protocol", type=click.Choice(["http/protobuf", "grpc"]), help="How to send to a URL; default http/protobuf.")
@click.option("--all", "everything", is_flag=True, help="All runs instead of one: in a file one line for each trace.")
@traces.db
def export(run: str, target: str, protocol: str | None, db: str | None, *, everything: bool) -> None:
    """Send a recorded run to a backend, or write it to a file.

    RUN is a run id or trace id, or the beginning of one; without it the last run
    is taken. Its whole trace goes, with the ids and times it has.
    """
    if everything and run:
        raise click.UsageError(f"RUN {run!r} and --all were both given: leave one of them out")
    if not target.strip():
        raise click.UsageError("--to is empty: give a URL, such as http://localhost:4318, a file, or - for stdout")
    is_sent = "://" in target or target in _backends.NAMES
    if protocol is not None and not is_sent:
        raise click.UsageError(f"--protocol {protocol} means nothing for a file: give a URL, such as http://localhost:4318")
    if not is_sent and (close := get_close_matches(target.lower(), _backends.NAMES, n=1, cutoff=_ALIKE)):
        raise click.UsageError(f"--to {target} is no backend: did you mean {close[0]}? Write ./{target} for a file of that name")
    if _ADDRESS.fullmatch(target):
        raise click.UsageError(f"--to {target} is no URL: write http://{target}, or ./{target} for a file of that name")
    store = traces.open_store(db)
    found = _traces(store, run, everything=everything)
    spans = sum(map(len, found))
    if is_sent:
        _send([row for rows in found for row in rows], target, protocol)
    else:
        _write(found, target)
    under_way = sum(row.is_open for rows in found for row in rows)
    said = f"{count(spans, 'span')} of {count(len(found), 'trace')} to {'stdout' if target == '-' else target}"
    if under_way:
        said += f"; {under_way} of them had no end and end where they were last seen"
    output.print_text(said, to_stderr=True)


def _traces(store: TraceStore, run: str, *, everything: bool) -> list[list[SpanRow]]:
    """The spans to go, trace by trace; ends the command when there are none."""
    if not everything:
        return [store.spans(traces.choose(store, run or "last").trace_id)]
    by_trace: dict[str, list[SpanRow]] = {}
    for row in store.all_spans(EVERYTHING):
        by_trace.setdefault(row.trace_id, []).append(row)
    if not by_trace:
        output.fail(traces.nothing_recorded(store))
    return sorted((in_order(rows) for rows in by_trace.values()), key=lambda rows: rows[0].start_ns)


def _send(rows: Sequence[SpanRow], target: str, protocol: str | None) -> None:
    from holdfast.tracing.export import resend  # the SDK, only when used

    backend, endpoint = (target, None) if target in _backends.NAMES else ("otlp", target)
    try:
        destination = _backends.destination(backend, endpoint=endpoint, protocol=protocol, project=None, headers=None)
        resend.send(rows, destination)
    except PolicyError as error:
        raise click.UsageError(str(error)) from None
    except HoldfastError as error:
        output.fail(str(error))


def _refuse_database(path: Path) -> None:
    """``--to traces.db`` for ``--db traces.db`` would leave nothing of what is recorded there."""
    with path.open("rb") as file:
        if file.read(len(_DATABASE)) == _DATABASE:
            raise click.UsageError(f"{path} is a SQLite database, which would be lost: choose another file for --to")


def _write(found: Sequence[Sequence[SpanRow]], target: str) -> None:
    data = b"".join(otlp_json.request(rows) + b"\n" for rows in found)
    if target == "-":
        sys.stdout.buffer.write(data)
        return
    path = Path(target)
    try:
        if path.is_file():
            _refuse_database(path)
        path.write_bytes(data)
    except OSError as error:
        output.fail(f"{target} cannot be written: {error.strerror}")
