"""The errors of holdfast, as values."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest

import holdfast
from holdfast import errors
from holdfast.testing import ScriptEndedError, StuckClockError
from holdfast.values._sqlite import EmptyStoreError, OldStoreError

if TYPE_CHECKING:
    from collections.abc import Callable

SPECIAL = {
    "NodeTimeoutError": lambda: errors.NodeTimeoutError("fetch", 1.5, cause="deadline"),
    "NotKeyable": lambda: errors.NotKeyable("no content", where="client"),
    "NotSerializable": lambda: errors.NotSerializable("not plain", where="result.items[3]"),
    "ReplayedError": lambda: errors.ReplayedError("app.Reset", "by peer"),
    "Divergence": lambda: errors.Divergence("other", recorded="a", actual="b"),
    "InDoubt": lambda: errors.InDoubt("doubt", task="pay", step="00"),
    "OverrideConflict": lambda: errors.OverrideConflict("anna was faster", current=7),
    "StoreError": lambda: errors.StoreError(13, "denied", "runs.db"),
}
PUBLIC = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, BaseException)]
CLASSES = [*PUBLIC, ScriptEndedError, StuckClockError, EmptyStoreError, OldStoreError]
WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {n}": lambda error, n=n: pickle.loads(pickle.dumps(error, n)) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_survives_pickle_and_copy(cls: type[BaseException], way: str) -> None:
    """Class, text, arguments, attributes and notes: one that could not be unpickled would break a whole pool of processes."""
    error: Any = SPECIAL.get(cls.__name__, lambda: cls("what happened"))()
    error.add_note("after 3 attempts")

    other = WAYS[way](error)

    assert other is not error
    fields = ("errno", "strerror", "filename")
    assert (type(error), str(error), error.args, vars(error)) == (type(other), str(other), other.args, vars(other))
    assert [getattr(error, name, None) for name in fields] == [getattr(other, name, None) for name in fields]


def test_an_error_of_a_subclass_with_another_init_survives() -> None:
    """Users may derive their own."""
    other = pickle.loads(pickle.dumps(_Slow(3, "x")))

    assert (_Slow, "x did not finish within 3 s (timeout)", 3) == (type(other), str(other), other.seconds)


class _Slow(holdfast.NodeTimeoutError):
    def __init__(self, seconds: int, what: str) -> None:
        super().__init__(what, seconds)
        self.seconds = seconds
