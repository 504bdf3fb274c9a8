"""Guards: what we rely on in diskcache, and that nothing of its pickling or files can be reached."""

from __future__ import annotations

import diskcache
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.cache._names import tag_text, tags_from_text
from holdfast.cache._table import OwnBytes, Table


def test_every_method_of_disk_is_replaced():
    """A new one in a later diskcache shows here; hash() only calls put()."""
    methods = {name for name, member in vars(diskcache.Disk).items() if callable(member)}

    assert {"__init__", "hash"} == methods - vars(OwnBytes).keys()


def test_diskcache_reaches_sqlite_through_con_alone():
    """``_sql`` and with it every statement takes the connection from ``_con``, which is a property of the class."""
    assert isinstance(vars(diskcache.Cache)["_con"], property)
    assert "_con" in vars(diskcache.Cache)["_sql"].fget.__code__.co_names
    users = {
        name
        for name, member in vars(diskcache.Cache).items()
        if "connect"
        in getattr(getattr(member, "fget", member), "__code__", test_diskcache_reaches_sqlite_through_con_alone.__code__).co_names
    }

    assert {"_con"} == users
    assert {"_con", "close"} <= vars(Table).keys()


@pytest.mark.parametrize("value", ["text", 1, 1.5, None, bytearray(b"x"), object()])
def test_only_bytes_get_in(value):
    """Everything else would be pickled, or stored as something that could be taken for ours."""
    disk = OwnBytes("/")
    with pytest.raises(TypeError):
        disk.put(value)
    with pytest.raises(TypeError):
        disk.store(value, read=False)


def test_only_bytes_get_out():
    """Whatever a row claims to be."""
    disk = OwnBytes("/")

    assert [b"v", b"", b"", b""] == [
        disk.fetch(1, None, b"v", read=False),
        disk.fetch(4, None, b"v", read=False),
        disk.fetch(1, "file", b"v", read=False),
        disk.fetch(1, None, "v", read=False),
    ]
    assert [b"k", b"", b""] == [disk.get(b"k", 1), disk.get(b"k", 0), disk.get("k", 1)]


def test_no_file_is_named_written_or_removed(tmp_path):
    """Values have none."""
    (tmp_path / "f").write_text("mine")
    disk = OwnBytes(str(tmp_path))

    with pytest.raises(TypeError):
        disk.filename()
    with pytest.raises(TypeError):
        disk._write(str(tmp_path / "g"), [], "xb")
    disk.remove("f")
    assert [tmp_path / "f"] == list(tmp_path.iterdir())


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1)), st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
)
def test_tags_are_found_exactly(tags, wanted):
    """One tag's text is in the text of many exactly when the tag is among them; and the text can be read back."""
    text = tag_text(tuple(tags))

    assert (wanted in tags) == (tag_text((wanted,)) in text)
    assert tuple(tags) == tags_from_text(text)
