"""CheckpointerContract: the test that every checkpointer has to pass, holdfast's own ones too."""

from __future__ import annotations

from holdfast.testing._contract_owners import OwnersContract
from holdfast.testing._contract_records import RecordsContract
from holdfast.testing._contract_threads import ThreadsContract


class CheckpointerContract(OwnersContract, RecordsContract, ThreadsContract):
    """Whether a checkpointer does what `holdfast.typing.Checkpointer` says. Subclass it in a test module, and let pytest run it.

    Override the fixture ``saver``: it yields a checkpointer with an empty store, and closes it. Where a store outlives its saver, override
    the method ``reopen(saver)`` too: it returns another checkpointer on the same store, as another process would make it.

    .. code-block:: python

        class TestMySaver(CheckpointerContract):
            @pytest.fixture
            def saver(self, tmp_path):
                saver = MySaver(tmp_path / "runs")
                yield saver
                saver.close()

            def reopen(self, saver):
                return MySaver(saver.path)
    """
