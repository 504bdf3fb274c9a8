"""LateCodec: the codec of a function's results, chosen when the first result needs one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.values.annotations import return_annotation

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.typing import Codec


class LateCodec:
    """Chooses a codec by the return annotation of ``fn`` at its first use: by then, names defined below the function are known too."""

    __slots__ = ("_codec", "_fn")

    id: int = 1
    """One byte that names the codec in an envelope: that of `holdfast.values.codec.MsgpackCodec`, as `codec_for` knows no other."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        """Remember the function."""
        self._fn = fn
        self._codec: Codec | None = None

    def chosen(self) -> Codec:
        """The codec, chosen now if it was not yet."""
        if self._codec is None:
            from holdfast.values.codec import codec_for  # a function that is only retried never needs one

            self._codec = codec_for(return_annotation(self._fn))
        return self._codec

    def encode(self, value: Any, /) -> bytes:
        """Encode, or raise NotSerializable."""
        return (self._codec or self.chosen()).encode(value)

    def decode(self, data: bytes, /) -> Any:
        """Decode, or raise CorruptRecord."""
        return (self._codec or self.chosen()).decode(data)
