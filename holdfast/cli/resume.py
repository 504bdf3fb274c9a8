"""``holdfast resume``: go on with a thread's last run, in a process of its own, with the answers it waits for."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any

import click

from holdfast import clock
from holdfast.cli import output, questions
from holdfast.cli.job import Exit, busy, end, job_of, run_of
from holdfast.cli.marks import ASCII, UNICODE, count, shown_id, took
from holdfast.cli.prompt import ask
from holdfast.errors import HoldfastError, InDoubt, RunInterrupted, ThreadBusyError, UnknownInterruptError
from holdfast.runtime.interrupt import Command
from holdfast.runtime.stream import INTERRUPT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.cli.job import Job
    from holdfast.runtime.questions import Interrupt
    from holdfast.typing import RunRecord


@click.command(
    epilog="\b\nExamples:\n  holdfast resume app:plan --thread trip-1                      go on\n"
    "  holdfast resume app:plan --thread trip-1 --answer yes         answer its question\n"
    "  holdfast resume app:plan --thread trip-1 --answer 3f2a=yes --answer 77ab=no\n"
    "\n\b\nExit codes: 0 done, 1 failed, 2 wrong use, 3 waits for an answer,\n"
    "4 nothing to resume, 5 somebody else is working on the thread."
)
@click.argument("target", metavar="MODULE:ENTRYPOINT")
@click.option("--thread", metavar="T", required=True, help="The thread to go on with.")
@click.option(
    "--answer",
    "answers",
    metavar="[ID=]VALUE",
    multiple=True,
    help="The answer to the open question, or to the one whose id begins so; JSON, else text. May be given several times.",
)
@click.option("--wait", metavar="TIME", help="Wait so long for somebody else who works on the thread: 30s, 5m.")
@output.as_json
def resume(target: str, thread: str, answers: tuple[str, ...], wait: str | None, *, as_json: bool) -> None:
    """Go on with a thread's last run: finished tasks are not done again.

    The result goes to stdout. When the run waits for answers, its questions are
    shown; on a terminal they can be answered at once.
    """
    job = job_of(target, thread, wait)
    run = run_of(job)
    given = _given(job, run, answers)
    is_interactive = not answers and not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    while True:
        began = clock.current.monotonic()
        result = _go_on(job, given)
        asked = _asked(result)
        if not asked:
            _tell_done(job, result, as_json=as_json, seconds=clock.current.monotonic() - began, was_done=run.status == "done")
            return
        given = ask(asked, job.thread) if is_interactive else {}
        if not given:
            _tell_questions(job, asked, as_json=as_json)
            sys.exit(Exit.WAITS)


def _asked(result: Any) -> list[Interrupt]:
    """The questions that a run ended with; none when it is done."""
    return result[INTERRUPT] if isinstance(result, dict) and INTERRUPT in result else []  # pyright: ignore[reportUnknownVariableType]


def _given(job: Job, run: RunRecord, answers: Sequence[str]) -> dict[str, Any]:
    """The answers on the command line, by the ids of their questions."""
    if not answers:
        return {}
    asked = questions.waiting(job.saver, run)
    if not asked:
        end(Exit.NOTHING, f"thread {job.thread!r} waits for no answer: its last run is {run.status}")
    return questions.answers_of(answers, asked)


def _go_on(job: Job, answers: dict[str, Any]) -> Any:
    """What the run returned; ends the command when it raised."""
    try:
        return job.entrypoint.invoke(Command(resume=answers) if answers else None, thread_id=job.thread, wait=job.wait)
    except ThreadBusyError as error:
        busy(error)
    except UnknownInterruptError as error:  # answered by somebody else meanwhile
        end(Exit.NOTHING, str(error))
    except InDoubt as error:
        lines = [f"  {job.command('resolve')} {doubt.step[:8]} --result VALUE  # or --error TEXT, or --rerun" for doubt in error.doubts]
        end(Exit.FAILED, "\n".join([str(error), "From a shell:", *lines]))
    except HoldfastError as error:
        end(Exit.FAILED, "\n".join([str(error), *getattr(error, "__notes__", ())]))
    except KeyboardInterrupt:
        end(Exit.STOPPED, f"stopped; `{job.command('resume')}` goes on")
    except (Exception, SystemExit, RunInterrupted) as error:  # noqa: BLE001 - the run's own failure, shown as it is
        output.print_text("".join(_shown(error)).rstrip(), to_stderr=True)
        end(Exit.FAILED, f"{job.name} failed; what was finished is kept: `{job.command('resume')}` tries the rest again")


def _shown(error: BaseException) -> list[str]:
    """The traceback, from the user's own frames on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return traceback.format_exception(type(error), error, frames)


def _tell_done(job: Job, result: Any, *, as_json: bool, seconds: float, was_done: bool) -> None:
    if as_json:
        output.print_json({"thread_id": job.thread, "status": "done", "result": result, "questions": []})
        return
    marks = ASCII if output.is_ascii() else UNICODE
    state = "was done already" if was_done else f"done in {took(seconds, marks)}"
    output.print_text(f"{marks.ok}  {job.name} {marks.dot} thread {shown_id(job.thread)} {state}", to_stderr=True)
    output.print_text(result if isinstance(result, str) else output.json_of(result))


def _tell_questions(job: Job, asked: Sequence[Interrupt], *, as_json: bool) -> None:
    if as_json:
        output.print_json({"thread_id": job.thread, "status": "waiting", "result": None, "questions": questions.in_json(asked)})
        return
    marks = ASCII if output.is_ascii() else UNICODE
    names = questions.short_ids(asked)
    waits = f"{marks.stopped}  {job.name} {marks.dot} thread {shown_id(job.thread)} waits for {count(len(asked), 'answer')}"
    lines = [waits, ""]
    for name, question in zip(names, asked, strict=True):
        lines += questions.lines_of(name, question)
    said = ["VALUE"] if len(asked) == 1 else [f"{name}=VALUE" for name in names]
    lines += ["", "Answer with:", f"  {job.command('resume')} " + " ".join(f"--answer {each}" for each in said)]
    output.print_text("\n".join(lines))
