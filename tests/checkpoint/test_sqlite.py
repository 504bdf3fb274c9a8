"""SqliteSaver: the contract."""

from __future__ import annotations

import pytest

from holdfast import SqliteSaver
from holdfast.testing import CheckpointerContract


class TestContract(CheckpointerContract):
    """What every checkpointer does."""

    @pytest.fixture
    def saver(self, tmp_path):
        saver = SqliteSaver(tmp_path / "runs.db", keep_last=None)
        yield saver
        saver.close()

    def reopen(self, saver):
        return SqliteSaver(saver.path, keep_last=None)
