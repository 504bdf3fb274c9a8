"""``interrupt``: ask a person, and go on when the answer is there."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic

import msgspec

from holdfast.errors import PolicyError, RunInterrupted, TaskContextError
from holdfast.runtime.context import here, scope_for

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # type checkers know it; nobody else needs it

    from holdfast.runtime.context import Scope
    from holdfast.runtime.journal import Journal
    from holdfast.typing import StepId

    N = TypeVar("N", default=Any)
else:
    from typing import TypeVar

    N = TypeVar("N")
V = TypeVar("V")


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Generic[N]):
    """What goes into `Entrypoint.invoke` instead of an input, to move a run on; and what a node of a state graph may return.

    Attributes:
        graph: For which graph a node says this: None for its own, ``Command.PARENT`` for the one whose node its graph is.
        update: What to write to the state of a graph: a dict, or an object of its schema; None writes nothing.
        resume: The answer to the open question, or ``{id: answer}`` with the ids of several; None is an answer too.
        goto: Nodes of a graph to run next, beside those that its edges lead to: a name, a `Send`, or a sequence of them.
    """

    PARENT: ClassVar[str] = "__parent__"

    graph: str | None = None
    update: Any = None
    resume: Any = NOTHING
    goto: Any = ()

    @property
    def is_for_graph(self) -> bool:
        """True when it says something to a state graph, and not only an answer."""
        return self.update is not None or self.goto != ()


@dataclass(frozen=True, slots=True)
class Input(Generic[V]):
    """An input as it is: ``invoke(Input(None))`` starts a run with None, where ``invoke(None)`` would resume one.

    Attributes:
        value: The input.
    """

    value: V


def interrupt(value: Any, *, response_schema: Any = None) -> Any:
    """Ask a person: the run ends here with the question, and goes on from the answer when it is resumed.

    The first time, the run stops: `Entrypoint.invoke` returns ``{"__interrupt__": [Interrupt(value, id)]}``. Resumed with
    ``Command(resume=answer)``, the body runs again from its top, finished tasks are taken from the checkpointer, and this call returns
    the answer. What the body does before asking and is not a task is therefore done again.

    Args:
        value: The question: text, or anything else the checkpointer can keep.
        response_schema: What the answer must be: a type, a dataclass, a TypedDict, a msgspec Struct or a pydantic model; the answer is
            converted to it. One that does not fit is not used up: the question is asked again, and `Interrupt.error` says why. None takes any.

    Returns:
        The answer.

    Raises:
        TaskContextError: Called outside a run, in one without a checkpointer, or in a task that may run at most once.
        PolicyError: ``response_schema`` is none.
        NotSerializable: The checkpointer cannot keep the question.
        Divergence: An answer was recorded for another question at this place.
    """
    if here() is None:
        msg = f"interrupt({value!r:.80}) was called outside a run; call it in an @entrypoint or a @task while it runs"
        raise TaskContextError(msg)
    scope = scope_for("interrupt")
    if scope.run.ask is not None:
        return scope.run.ask(value, response_schema)
    journal = scope.run.journal
    if journal is None:
        msg = (
            f"interrupt({value!r:.80}) was called in a run that keeps nothing, so no answer could ever reach it: give the entrypoint a "
            f"checkpointer, e.g. @entrypoint(checkpointer=SqliteSaver('runs.db'))"
        )
        raise TaskContextError(msg)
    _refuse_at_most_once(scope)
    _check_schema(response_schema)
    step, answer = journal.questions.ask(scope, value)
    if answer is None:
        return _park(scope, journal, step, value, "")
    try:
        return answer[0] if response_schema is None else _converted(answer[0], response_schema)
    except PolicyError:
        raise
    except (msgspec.ValidationError, ValueError) as error:  # pydantic's is a ValueError
        return _park(scope, journal, step, value, str(error))


def _refuse_at_most_once(scope: Scope) -> None:
    """A body that asks is run again from its top when the answer is there; this one must not be."""
    name = next((each.call.plan.name for each in scope.outward() if each.call.plan.is_once), None)
    if name is not None:
        msg = (
            f"interrupt() was called in task {name}, which may run at most once and would have to run again when the answer is there: ask "
            f"before it is called, in the entrypoint's body or in a task of its own"
        )
        raise TaskContextError(msg)


def _park(scope: Scope, journal: Journal, step: StepId, value: Any, error: str) -> Any:
    journal.questions.put(scope, step, value, error)
    msg = f"{scope.call.plan.name} waits for an answer"
    raise RunInterrupted(msg)


def _check_schema(schema: Any) -> None:
    """Refuse what is no schema before anybody is asked, rather than when the answer comes."""
    if schema is not None and not hasattr(schema, "model_validate"):
        with contextlib.suppress(msgspec.ValidationError):
            _converted(None, schema)


def _converted(answer: Any, schema: Any) -> Any:
    if hasattr(schema, "model_validate"):
        return schema.model_validate(answer)
    try:
        return msgspec.convert(answer, schema)
    except TypeError as error:
        msg = f"response_schema={schema!r}: give a type, a dataclass, a TypedDict, a msgspec Struct or a pydantic model ({error})"
        raise PolicyError(msg) from error
