"""numpy arrays and scalars as plain values: dtype, shape, order and raw content. numpy is imported only to rebuild one."""

from __future__ import annotations

import re
import sys
from typing import Any

from holdfast.values.refusal import Refused

_CONTENT_KINDS = "biufcmMSUV"  # numpy's one-letter kinds whose bytes are the value: no pointers
_DTYPE_TEXT = re.compile(r"[<>|=]?[biufcmMSUV]\d+(\[\d*[A-Za-z]+\])?")


def is_scalar_class(cls: type) -> bool:
    """True for numpy's scalar types, ``numpy.float64`` and its like; numpy is not imported to find out."""
    numpy = sys.modules.get("numpy")
    generic = getattr(numpy, "generic", None)
    return generic is not None and issubclass(cls, generic) and cls.__module__ == "numpy"


def reduce_array(value: Any) -> list[Any]:
    """``[dtype, shape, order, content]``; order is "F" only for arrays that are column-major and not row-major."""
    if value.dtype.itemsize == 0 and value.shape:
        raise Refused("is a numpy array of items without content")
    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    return [_describe(value.dtype), list(value.shape), order, value.tobytes(order)]


def restore_array(_: Any, payload: Any) -> Any:
    """The array `reduce_array` took apart, with memory of its own."""
    import numpy as np

    description, shape, order, content = payload
    dtype = _dtype(description)
    size = dtype.itemsize
    for extent in shape:
        if type(extent) is not int or extent < 0:
            raise ValueError("a shape holds numbers from 0")
        size *= extent
    if (dtype.itemsize == 0 and shape) or size != len(content) or order not in ("C", "F"):
        raise ValueError("content and shape differ")
    return np.ndarray(tuple(shape), dtype, buffer=content, order=order).copy(order)


def reduce_scalar(value: Any) -> list[Any]:
    """``[dtype, content]``."""
    return [_describe(value.dtype), value.tobytes()]


def restore_scalar(_: Any, payload: Any) -> Any:
    """The scalar `reduce_scalar` took apart."""
    description, content = payload
    return restore_array(None, [description, [], "C", content])[()]


def key_of_array(value: Any) -> list[Any]:
    """What names an array in a key: as `reduce_array`, in row-major order whatever the memory layout."""
    return [_describe(value.dtype), list(value.shape), value.tobytes("C")]


def _describe(dtype: Any) -> Any:
    if dtype.hasobject or dtype.kind not in _CONTENT_KINDS:
        raise Refused(f"holds a numpy dtype {dtype} whose content is not in the array itself", fix="use a dtype without objects")
    return dtype.descr if dtype.names else dtype.str


def _dtype(description: Any) -> Any:
    import numpy as np

    if isinstance(description, str):
        _check_text(description)
        return np.dtype(description)
    _check_fields(description)
    return np.lib.format.descr_to_dtype(description)


def _check_fields(description: Any) -> None:
    for _name, kind, *_shape in description:
        if isinstance(kind, str):
            _check_text(kind)
        else:
            _check_fields(kind)


def _check_text(text: str) -> None:
    if _DTYPE_TEXT.fullmatch(text) is None:
        raise ValueError("not the dtype of plain content")
