"""Classes of the user's own that may be rebuilt from stored bytes, and how each is taken apart and put together.

Stored data carries a class's name, which is looked up in a closed table: the classes named in a return annotation and those registered.
Nothing is ever imported or looked up in a module because data says so. Instances are rebuilt without ``__init__``, attribute by
attribute; only a msgspec Struct, which cannot be made otherwise, runs its ``__post_init__``.
"""

from __future__ import annotations

from enum import Enum, Flag
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from holdfast.errors import PolicyError
from holdfast.values import records
from holdfast.values.annotations import classes_in
from holdfast.values.names import kind_name, qualified_name
from holdfast.values.raising import rebuild_exception, take_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Dump = Callable[[Any], tuple[Any, dict[str, Any]]]
    Load = Callable[[Any, dict[str, Any]], Any]

C = TypeVar("C", bound=type)


class ClassKind(NamedTuple):
    """How instances of one class are stored.

    Attributes:
        cls: The class.
        name: What it is called in data.
        dump: Takes an instance, returns its content and its attributes.
        load: Takes content and attributes, returns an equal instance; any exception means bad data.
    """

    cls: type
    name: str
    dump: Dump
    load: Load


class Table:
    """A closed set of classes, found by class and by name."""

    def __init__(self, roots: Iterable[Any] = ()) -> None:
        """Admit every class named in the annotations ``roots``, and in the fields of those, that holdfast can rebuild."""
        self.by_class: dict[type, ClassKind] = {}
        self.by_name: dict[str, ClassKind] = {}
        for cls in classes_in(roots):
            kind = class_kind(cls)
            if kind is not None:
                self.by_class[cls] = kind
                self.by_name.setdefault(kind.name, kind)


class _Registry:
    """The registered classes; those named in their fields are admitted with them, looked up when first needed."""

    def __init__(self) -> None:
        self._roots: dict[str, type] = {}
        self._custom: dict[str, ClassKind] = {}
        self._table: Table | None = None

    def add(self, cls: type) -> None:
        self._roots[qualified_name(cls)] = cls
        self._table = None

    def add_custom(self, kind: ClassKind) -> None:
        self._custom[kind.name] = kind
        self._table = None

    def table(self) -> Table:
        """The table of everything registered so far; a class registered again under its name (a reloaded module) replaces the old."""
        table = self._table
        if table is None:
            table = Table(self._roots.values())
            for kind in self._custom.values():
                table.by_class[kind.cls] = table.by_name[kind.name] = kind
            self._table = table
        return table


_registry = _Registry()


def registered() -> Table:
    """The classes admitted by `register`."""
    return _registry.table()


def register(
    cls: C,
    *,
    dump: Callable[[Any], Any] | None = None,
    load: Callable[[Any], Any] | None = None,
) -> C:
    """Let instances of ``cls``, and of the classes its fields name, be stored and rebuilt; usable as a decorator.

    Args:
        cls: An Enum, dataclass, attrs class, pydantic model, msgspec Struct, NamedTuple, exception, or a subclass of a builtin type.
        dump: For any other class: takes an instance and returns plain data. Needs ``load``.
        load: Takes what ``dump`` returned and returns an equal instance.

    Returns:
        ``cls`` itself.

    Raises:
        PolicyError: ``cls`` is not a class, or of no known sort and without ``dump`` and ``load``.
    """
    if not isinstance(cls, type):
        raise PolicyError(f"register({cls!r}) needs a class")
    if (dump is None) != (load is None):
        raise PolicyError(f"register({cls.__name__}) needs both dump= and load=, or neither")
    if dump is not None and load is not None:
        _registry.add_custom(_custom_kind(cls, dump, load))
    elif class_kind(cls) is None:
        raise PolicyError(
            f"{qualified_name(cls)} is not an Enum, dataclass, attrs class, pydantic model, Struct, NamedTuple, exception or subclass of "
            f"a builtin: say how to store it with register({cls.__name__}, dump=..., load=...)"
        )
    else:
        _registry.add(cls)
    return cls


def _custom_kind(cls: type, dump: Callable[[Any], Any], load: Callable[[Any], Any]) -> ClassKind:
    def checked(stored: Any, _: dict[str, Any]) -> Any:
        value = load(stored)
        if type(value) is not cls:
            raise TypeError(f"load= of {cls.__name__} returned {kind_name(value)}")
        return value

    def content(value: Any) -> tuple[Any, dict[str, Any]]:
        return dump(value), {}

    return ClassKind(cls, qualified_name(cls), content, checked)


def class_kind(cls: type) -> ClassKind | None:
    """How to store instances of ``cls``; None when holdfast does not know how. The first rule that fits wins."""
    for fits, make in _RULES:
        if fits(cls):
            dump, load = make(cls)
            return ClassKind(cls, qualified_name(cls), dump, load)
    return None


def _enum(cls: Any) -> tuple[Dump, Load]:
    if issubclass(cls, Flag):
        return lambda value: (value.value, {}), lambda content, _: cls(content)
    return lambda value: (value.name, {}), lambda content, _: cls.__members__[content]


def _exception(cls: Any) -> tuple[Dump, Load]:
    return take_apart, lambda content, state: rebuild_exception(cls, content, state)


def _builtin_subclass(cls: Any) -> tuple[Dump, Load]:
    base: Any = records.builtin_base(cls, records.CONTENT.__contains__)
    read = records.CONTENT[base]
    make, fill = getattr(base, "__new__"), getattr(base, "__init__")  # noqa: B009 - mypy reads base.__init__ as an instance's
    fields = getattr(cls, "_fields", None) if base is tuple else None

    def load(content: Any, state: dict[str, Any]) -> Any:
        if type(content) is not base or (fields is not None and len(content) != len(fields)):
            raise TypeError("the class has changed")
        if base in _FILLED_LATER:
            value = make(cls)
            fill(value, content)
        else:
            value = make(cls, content)
        return _set_all(value, state)

    return lambda value: (read(value), records.other_attributes(value)), load


_FILLED_LATER = frozenset({list, dict, set, bytearray})


def _pydantic(cls: Any) -> tuple[Dump, Load]:
    names = frozenset(records.field_names(cls) or ())

    def dump(value: Any) -> tuple[Any, dict[str, Any]]:
        state = value.__getstate__()
        return {key: part for key, part in state.items() if key != "__dict__"}, state["__dict__"]

    def load(content: Any, attributes: dict[str, Any]) -> Any:
        if not names <= attributes.keys():
            raise TypeError("the class has changed")
        value = cls.__new__(cls)
        value.__setstate__({**content, "__dict__": attributes})  # what pydantic does for copy and pickle
        return value

    return dump, load


def _struct(cls: Any) -> tuple[Dump, Load]:
    names = records.field_names(cls) or ()

    def load(others: Any, attributes: dict[str, Any]) -> Any:
        _check_names(names, attributes)
        return _set_all(cls(**attributes), others)

    return lambda value: (records.other_attributes(value, names), records.read_fields(value, names)), load


def _fields(cls: Any) -> tuple[Dump, Load]:
    names = records.field_names(cls) or ()

    def dump(value: Any) -> tuple[Any, dict[str, Any]]:
        return records.other_attributes(value, (*names, _CACHED_HASH)), records.read_fields(value, names)

    def load(others: Any, attributes: dict[str, Any]) -> Any:
        _check_names(names, attributes)
        value = _set_all(_set_all(object.__new__(cls), attributes), others)
        if getattr(cls, "__attrs_attrs__", None) is not None:
            _forget_hash(value)
        return value

    return dump, load


_CACHED_HASH = "_attrs_cached_hash"  # attrs keeps it with cache_hash=True; it is of no use to another process


def _forget_hash(value: Any) -> None:
    try:
        object.__setattr__(value, _CACHED_HASH, None)
    except AttributeError:  # slots without one
        return


def _check_names(names: tuple[str, ...], attributes: dict[str, Any]) -> None:
    if frozenset(names) != attributes.keys():
        raise TypeError(f"the class has changed: it has the fields {sorted(names)}, the record {sorted(attributes)}")


def _set_all(value: Any, attributes: dict[str, Any]) -> Any:
    for name, part in attributes.items():
        object.__setattr__(value, name, part)  # frozen classes and their own __setattr__ have no say
    return value


def _has_builtin_content(cls: type) -> bool:
    return records.builtin_base(cls, records.CONTENT.__contains__) is not None


def _is_object(cls: type) -> bool:
    return cls is object


def _has_fields_only(cls: type) -> bool:
    """Fields and no state in C: what ``object.__new__`` can make."""
    return records.field_names(cls) is not None and records.builtin_base(cls, _is_object) is object


_RULES: tuple[tuple[Callable[[type], bool], Callable[[Any], tuple[Dump, Load]]], ...] = (
    (lambda cls: issubclass(cls, Enum), _enum),
    (lambda cls: issubclass(cls, BaseException), _exception),
    (_has_builtin_content, _builtin_subclass),
    (records.is_pydantic, _pydantic),
    (records.is_struct, _struct),
    (_has_fields_only, _fields),
)
