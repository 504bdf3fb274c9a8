"""The contract of threads: their names, their history, and how they are copied, deleted and pruned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from holdfast import clock
from holdfast.errors import PolicyError, StoreError, ThreadBusyError
from holdfast.testing._contract import LARGE, Base, a_run, a_step, begin, finished, keep
from holdfast.typing import UNFINISHED, Commit, Pruned

if TYPE_CHECKING:
    from holdfast.typing import Checkpointer, RunRecord

_ODD_IDS = (
    *("1", "01", "1.0", "None", " ", "a", "A", "a ", "%", "_", "*", "?", "[a]", "a\nb", "é", "e\N{COMBINING ACUTE ACCENT}", "\N{FIRE}"),
    *("'; DROP TABLE runs; --", '" OR 1=1', "../../etc/passwd", "/", "\\", "i" * 255, "\U00010000" * 255),
)
_BAD_IDS: tuple[Any, ...] = (1, None, b"a", 1.5, "", "a\0b", "\0", "\ud800", "a\udfff", "i" * 256)


def _series(count: int, *, status: str = "done", thread_id: str = "thread", updated: float = 0.0) -> list[RunRecord]:
    """Runs that each see the one before as ``previous``, oldest first."""
    return [
        a_run(
            f"{thread_id}-{number}", thread_id, status=status, base=f"{thread_id}-{number - 1}" if number else "", updated=updated + number
        )
        for number in range(count)
    ]


def _ids(saver: Checkpointer, thread_id: str = "thread") -> list[str]:
    return [run.run_id for run in saver.runs(thread_id)]


class ThreadsContract(Base):
    """Threads as a whole."""

    def test_odd_ids_are_kept_apart(self, saver: Checkpointer) -> None:
        """Ids are text, compared exactly, and nothing but data to the store."""
        for name in _ODD_IDS:
            finished(saver, name, a_run(name, name))

        assert [saver.latest(name) for name in _ODD_IDS] == [a_run(name, name) for name in _ODD_IDS]
        assert [saver.find(name) for name in _ODD_IDS] == [a_run(name, name) for name in _ODD_IDS]
        assert {info.thread_id for info in saver.threads()} == set(_ODD_IDS)
        assert [saver.delete_thread(name) for name in _ODD_IDS] == [True] * len(_ODD_IDS)

    @pytest.mark.parametrize("bad", _BAD_IDS, ids=lambda bad: ascii(bad)[:12])
    def test_bad_ids_are_refused(self, saver: Checkpointer, bad: Any) -> None:
        """What is no text, nothing, too long, or cannot be kept by every store: no thread and no run is called so."""
        lease = saver.claim("thread")
        with pytest.raises(PolicyError, match="thread_id="):
            saver.claim(bad)
        (problem,) = saver.commit([Commit(lease, bad, run=a_run(bad))])

        assert isinstance(problem, PolicyError)
        assert saver.threads() == []

    @pytest.mark.parametrize("bad", _BAD_IDS, ids=lambda bad: ascii(bad)[:12])
    @pytest.mark.parametrize("method", ["latest", "find", "runs", "steps", "is_owned", "delete_thread"])
    def test_bad_ids_are_looked_for_by_nobody(self, saver: Checkpointer, method: str, bad: Any) -> None:
        """``delete_thread(1)`` deletes nothing, and says so instead of answering that there was no such thread."""
        finished(saver, "1", a_run("1", "1"))

        with pytest.raises(PolicyError, match="_id="):
            getattr(saver, method)(bad)
        with pytest.raises(PolicyError, match="source="):
            saver.copy_thread(bad, "2")
        assert [info.thread_id for info in saver.threads()] == ["1"]

    def test_runs_come_newest_first(self, saver: Checkpointer) -> None:
        """In the order of their first commit, page by page."""
        finished(saver, "thread", *_series(5))
        finished(saver, "other", a_run("elsewhere", "other"))

        assert _ids(saver) == ["thread-4", "thread-3", "thread-2", "thread-1", "thread-0"]
        assert [run.run_id for run in saver.runs("thread", limit=2)] == ["thread-4", "thread-3"]
        assert [run.run_id for run in saver.runs("thread", limit=2, before="thread-3")] == ["thread-2", "thread-1"]
        assert [run.run_id for run in saver.runs("thread", before="thread-1")] == ["thread-0"]
        assert saver.runs("thread", limit=0) == saver.runs("thread", before="thread-0") == []
        assert saver.runs("thread", before="elsewhere") == saver.runs("thread", before="nowhere") == []

    def test_the_list_says_what_there_is(self, saver: Checkpointer) -> None:
        """Last updated first, with what their newest run is and what all of them hold."""
        lease = saver.claim("busy")
        first = a_run("run-1", "busy", status="abandoned", updated=5.0)
        keep(saver, Commit(lease, "run-1", run=first, steps=(a_step(1, b"12345"), a_step(2, b"x"), a_step(3, b"y"))))
        keep(saver, Commit(lease, "run-1", steps=(a_step(2, b"1234567890"),), dropped=(a_step(3).step,)))
        keep(saver, Commit(lease, "run-2", run=a_run("run-2", "busy", status="interrupted", updated=7.0)))
        finished(saver, "later", a_run("run-3", "later", status="done", updated=8.0))
        finished(saver, "earlier", a_run("run-4", "earlier", status="done", updated=6.0))

        listed = saver.threads()

        assert [info.thread_id for info in listed] == ["later", "busy", "earlier"]
        assert tuple(listed[1]) == ("busy", "plan", "interrupted", 2, 2, 2 * len(b"input") + 15, 7.0, True)
        assert saver.threads(limit=2) == listed[:2]

    def test_deleting_takes_everything(self, saver: Checkpointer) -> None:
        """Runs, steps and large values of that thread, and of no other."""
        for name in ("thread", "other"):
            lease = saver.claim(name)
            keep(saver, Commit(lease, f"run-{name}", run=a_run(f"run-{name}", name), steps=(a_step(1, LARGE),)))
            saver.release(lease)

        assert saver.delete_thread("thread") is True
        assert saver.delete_thread("thread") is False
        assert (saver.find("run-thread"), saver.steps("run-thread"), saver.runs("thread")) == (None, [], [])
        assert saver.steps("run-other") == [a_step(1, LARGE)]

    def test_an_owned_thread_is_not_deleted(self, saver: Checkpointer) -> None:
        """Its owner is at work."""
        begin(saver, saver.claim("thread"), a_run())

        with pytest.raises(ThreadBusyError, match="'thread'"):
            saver.delete_thread("thread")
        assert saver.latest("thread") == a_run()

    def test_a_copy_goes_its_own_way(self, saver: Checkpointer) -> None:
        """The same runs and steps under new ids, which nobody has traced; what is done to one thread leaves the other alone."""
        lease = saver.claim("thread")
        for number, run in enumerate(_series(2)):
            keep(
                saver, Commit(lease, run.run_id, run=run._replace(output=LARGE, trace="t"), steps=(a_step(number, b"s"), a_step(9, LARGE)))
            )
        saver.release(lease)
        saver.copy_thread("thread", "copy")
        newest, oldest = saver.runs("copy")
        steps = [saver.steps(run.run_id) for run in (oldest, newest)]
        saver.delete_thread("thread")

        assert newest == _series(2)[1]._replace(run_id=newest.run_id, thread_id="copy", base=oldest.run_id, output=LARGE)
        assert not {newest.run_id, oldest.run_id} & {"thread-0", "thread-1"}
        assert steps == [[a_step(0, b"s"), a_step(9, LARGE)], [a_step(1, b"s"), a_step(9, LARGE)]]
        assert [saver.steps(run.run_id) for run in reversed(saver.runs("copy"))] == steps

    def test_what_cannot_be_copied(self, saver: Checkpointer) -> None:
        """Nothing, onto something, under a bad name, and what somebody works on."""
        finished(saver, "thread", a_run())
        finished(saver, "other", a_run("run-2", "other"))
        with pytest.raises(StoreError, match="'nowhere'"):
            saver.copy_thread("nowhere", "copy")
        with pytest.raises(StoreError, match="'other'"):
            saver.copy_thread("thread", "other")
        with pytest.raises(PolicyError):
            saver.copy_thread("thread", "")
        saver.claim("thread")
        with pytest.raises(ThreadBusyError):
            saver.copy_thread("thread", "copy")

        assert {info.thread_id for info in saver.threads()} == {"thread", "other"}

    def test_prune_keeps_the_last(self, saver: Checkpointer) -> None:
        """The newest runs of each thread, and the one that the oldest of them sees as ``previous``."""
        finished(saver, "thread", *_series(6))
        finished(saver, "short", *_series(2, thread_id="short"))

        pruned = saver.prune(keep_last=3)

        assert _ids(saver) == ["thread-5", "thread-4", "thread-3", "thread-2"]
        assert _ids(saver, "short") == ["short-1", "short-0"]
        assert pruned == Pruned(("thread-0", "thread-1"), (), 0, 2 * len(b"input"))
        assert saver.prune(keep_last=3) == Pruned((), (), 0, 0)

    def test_prune_by_age(self, saver: Checkpointer) -> None:
        """Runs whose last change is too long ago, and a thread of which nothing younger is left; nothing without a rule."""
        now = clock.current.time()
        finished(saver, "old", *_series(2, thread_id="old", updated=now - 1000))
        finished(
            saver,
            "new",
            *(run._replace(base="") for run in _series(2, thread_id="new", updated=now - 1000)),
            a_run("now", "new", updated=now),
        )

        assert saver.prune() == Pruned((), (), 0, 0)
        pruned = saver.prune(max_age=500)

        assert (set(pruned.runs), pruned.threads) == ({"old-0", "old-1", "new-0", "new-1"}, ("old",))
        assert [_ids(saver, name) for name in ("old", "new")] == [[], ["now"]]
        assert saver.find("old-0") is None

    @pytest.mark.parametrize("status", sorted(UNFINISHED))
    def test_prune_leaves_what_can_be_resumed(self, saver: Checkpointer, status: str) -> None:
        """The newest run of a thread, while it is unfinished, with what it sees as ``previous``."""
        finished(saver, "thread", *_series(3), a_run("last", status=status, base="thread-1"))

        saver.prune(keep_last=1, max_age=1)

        assert _ids(saver) == ["last", "thread-1"]

    @pytest.mark.parametrize("status", ["running", "interrupted", "failed", "cancelled", "abandoned"])
    def test_prune_takes_what_was_superseded(self, saver: Checkpointer, status: str) -> None:
        """An unfinished run with a newer one after it is history like any other."""
        finished(saver, "thread", a_run("first", status=status), a_run("second", status="done"))

        assert saver.prune(keep_last=1).runs == ("first",)

    def test_prune_leaves_owned_threads(self, saver: Checkpointer) -> None:
        """Their owner may be reading what would go."""
        begin(saver, saver.claim("thread"), *_series(5))

        assert saver.prune(keep_last=1, max_age=1) == Pruned((), (), 0, 0)
        assert len(saver.runs("thread")) == 5

    def test_a_dry_run_only_says(self, saver: Checkpointer) -> None:
        """The same answer as the real one, and nothing is gone."""
        lease = saver.claim("thread")
        for number, run in enumerate(_series(4)):
            keep(saver, Commit(lease, run.run_id, run=run, steps=(a_step(1, b"s"), a_step(2, bytes([number]) * 2000))))
        saver.release(lease)

        said = saver.prune(keep_last=1, dry_run=True)

        assert said == Pruned(("thread-0", "thread-1"), (), 4, 2 * (len(b"input") + 1 + 2000))
        assert len(saver.runs("thread")) == 4
        assert saver.prune(keep_last=1) == said

    def test_a_value_stays_while_it_is_needed(self, saver: Checkpointer) -> None:
        """Two runs hold the same large value: forgetting one of them leaves it to the other."""
        lease = saver.claim("thread")
        for run in (a_run("run-1", status="done"), a_run("run-2", status="done")):
            keep(saver, Commit(lease, run.run_id, run=run._replace(output=LARGE), steps=(a_step(1, LARGE),)))
        saver.release(lease)
        saver.prune(keep_last=1)

        assert _ids(saver) == ["run-2"]
        assert saver.find("run-2") == a_run("run-2", status="done")._replace(output=LARGE)
        assert saver.steps("run-2") == [a_step(1, LARGE)]

    @pytest.mark.parametrize("rule", [{"keep_last": 0}, {"keep_last": -1}, {"keep_last": 1.5}, {"keep_last": True}, {"max_age": -1}])
    def test_rules_that_cannot_work(self, saver: Checkpointer, rule: dict[str, Any]) -> None:
        """They are refused, naming the rule and the value, before anything is looked at."""
        ((name, value),) = rule.items()
        with pytest.raises(PolicyError, match=f"{name}={value}"):
            saver.prune(**rule)
