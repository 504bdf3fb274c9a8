"""Classes of the user's own: rebuilt when the return annotation names them or they are registered, else refused."""

from __future__ import annotations

import enum
import functools
from collections import OrderedDict
from dataclasses import InitVar, dataclass, field, make_dataclass
from decimal import Decimal
from typing import Annotated, Generic, Literal, NamedTuple, NewType, Optional, TypedDict, TypeVar, Union

import attrs
import msgspec
import pydantic
import pytest

from holdfast.errors import CorruptRecord, NotSerializable, PolicyError
from holdfast.values import registry
from holdfast.values.annotations import classes_in, return_annotation
from holdfast.values.codec import codec_for, register

T = TypeVar("T")


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """Each test registers into a registry of its own."""
    monkeypatch.setattr(registry, "_registry", registry._Registry())


class Sky(enum.Enum):
    CLEAR = "clear"
    RAIN = object()


class Level(enum.IntEnum):
    LOW = 1


class Mode(enum.Flag):
    R = 1
    W = 2


@dataclass
class Wind:
    speed: float
    gusts: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Forecast:
    city: str
    wind: Wind
    sky: Sky | None = None


@dataclass
class Checked:
    n: int
    seed: InitVar[int] = 0
    doubled: int = field(init=False)
    runs: list[int] = field(default_factory=list)

    def __post_init__(self, seed):
        self.doubled = self.n * 2
        self.runs.append(seed)

    @functools.cached_property
    def tripled(self):
        return self.n * 3


@dataclass
class Box(Generic[T]):
    item: T


class Point(NamedTuple):
    x: int
    y: int = 0


@attrs.define
class Attrs:
    name: str
    wind: Wind | None = None


@attrs.frozen(slots=False, cache_hash=True)
class Hashed:
    name: str


class Model(pydantic.BaseModel):
    name: str
    wind: Wind
    tags: set[str] = set()
    _note: str = pydantic.PrivateAttr("")


class Alias(pydantic.BaseModel, extra="allow", frozen=True):
    size: int = pydantic.Field(alias="Size", gt=0)


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    wind: Wind | None = None


class Oops(Exception):
    def __init__(self, code, detail):
        super().__init__(f"{code}: {detail}")
        self.code = code


class Tag(str):  # noqa: SLOT000 - most people's have none
    pass


class Stack(list):
    pass


class Client:
    def __init__(self, url):
        self.url = url

    def __eq__(self, other):
        return isinstance(other, Client) and self.url == other.url

    __hash__ = None


def noted():
    """A model with everything that pydantic keeps."""
    model = Model(name="a", wind=Wind(1.0), tags={"x"})
    model._note = "seen"
    return model


KEPT = {
    "enum": (Sky, Sky.RAIN),
    "int enum": (Level, Level.LOW),
    "flag": (Mode, Mode.R | Mode.W),
    "dataclass": (Wind, Wind(1.5, (1.0, 2.0))),
    "nested in fields": (Forecast, Forecast("Oslo", Wind(3.0), Sky.CLEAR)),
    "list": (list[Wind], [Wind(1.0), Wind(2.0)]),
    "optional": (Optional[Wind], Wind(1.0)),  # noqa: UP045 - older code says it so
    "union": (Union[int, "Wind", None], 5),
    "union pipe": (dict[str, list[Wind] | None], {"a": [Wind(1.0)], "b": None}),
    "tuple": (tuple[Wind, Sky], (Wind(1.0), Sky.RAIN)),
    "annotated": (Annotated[Wind, "m/s"], Wind(1.0)),
    "literal": (Literal[Sky.CLEAR], Sky.CLEAR),
    "newtype": (NewType("Breeze", Wind), Wind(1.0)),
    "generic": (Box[Wind], Box(Wind(1.0))),
    "namedtuple": (Point, Point(1, 2)),
    "attrs": (Attrs, Attrs("a", Wind(1.0))),
    "pydantic": (Model, noted()),
    "pydantic alias and extra": (Alias, Alias(Size=3, more=[1])),
    "struct": (Struct, Struct(name="a", wind=Wind(1.0))),
    "str subclass": (Tag, Tag("a")),
    "list subclass": (Stack, Stack([1, 2])),
    "dict values": (dict[Sky, Wind], {Sky.CLEAR: Wind(1.0)}),
}


@pytest.mark.parametrize("name", KEPT)
def test_named_classes_come_back(name):
    """A class named anywhere in the annotation comes back equal and of the same type."""
    annotation, value = KEPT[name]
    codec = codec_for(annotation)
    back = codec.decode(codec.encode(value))

    assert value == back
    assert type(value) is type(back)


@pytest.mark.parametrize("name", sorted(KEPT.keys() - {"union"}))
def test_classes_not_named_are_refused(name):
    """Without the annotation the same values are refused, and the text names both fixes."""
    with pytest.raises(NotSerializable, match=r"in the task's return annotation, or call holdfast\.register\("):
        codec_for(int).encode([KEPT[name][1]])


def test_named_classes_are_rebuilt_without_init():
    """Fields, later attributes and cached properties come back as they were; nothing is run again."""
    value = Checked(2, 7)
    value.n = 5
    value.extra = "later"
    assert 15 == value.tripled
    codec = codec_for(Checked)
    back = codec.decode(codec.encode(value))

    assert vars(value) == vars(back)
    assert (4, [7]) == (back.doubled, back.runs)


def test_private_state_of_models_comes_back():
    """Private attributes and the set of given fields are kept."""
    codec = codec_for(Model)
    back = codec.decode(codec.encode(noted()))

    assert "seen" == back._note
    assert {"name", "wind", "tags"} == back.model_fields_set


def test_cached_hashes_do_not_travel():
    """A hash kept by attrs depends on the process's hash seed."""
    value = Hashed("a")
    codec = codec_for(Hashed)
    hash(value)

    assert hash(value) == hash(codec.decode(codec.encode(value)))
    assert b"hash" not in codec.encode(value)


def test_exceptions_as_values():
    """An exception named in the annotation comes back with arguments and attributes, its ``__init__`` not run."""
    codec = codec_for(list[int | Oops])
    (back,) = codec.decode(codec.encode([Oops(404, "gone")]))

    assert (Oops, ("404: gone",), 404) == (type(back), back.args, back.code)


def test_paths_lead_through_attributes():
    """The refused part is found behind fields and items."""
    with pytest.raises(NotSerializable) as caught:
        codec_for(list[Forecast]).encode([Forecast("Oslo", Wind(1.0, ({"a": Client("u")},)))])

    assert "result[0].wind.gusts[0]['a']" == caught.value.where


def test_a_subclass_is_not_its_base():
    """Only the very class that is named comes back as itself."""

    @dataclass
    class Gale(Wind):
        force: int = 9

    with pytest.raises(NotSerializable, match="Gale"):
        codec_for(Wind).encode(Gale(1.0))


def test_register_admits_everywhere():
    """A registered class is rebuilt whatever the annotation, and so are the classes of its fields."""
    assert Forecast is register(Forecast)
    codec = codec_for()

    assert Forecast("Oslo", Wind(1.0), Sky.CLEAR) == codec.decode(codec.encode(Forecast("Oslo", Wind(1.0), Sky.CLEAR)))


def test_register_decorates():
    """It stands above a class as a decorator."""

    @register
    class Colour(enum.Enum):
        RED = 1

    assert Colour.RED is codec_for().decode(codec_for().encode(Colour.RED))


def test_register_with_dump_and_load():
    """Any class at all can be stored by two functions."""
    register(Client, dump=lambda client: {"url": client.url}, load=lambda data: Client(**data))
    codec = codec_for()

    assert {"c": Client("u")} == codec.decode(codec.encode({"c": Client("u")}))


def test_load_must_return_the_class():
    """A load function that returns something else is found out."""
    register(Client, dump=lambda client: client.url, load=lambda url: url)
    with pytest.raises(CorruptRecord, match="returned a str"):
        codec_for().decode(codec_for().encode(Client("u")))


def test_a_dump_that_never_ends_is_refused_as_too_deep():
    """It is the value that cannot be stored; the call goes on."""

    def dump(client):
        return dump(client)

    register(Client, dump=dump, load=Client)
    with pytest.raises(NotSerializable, match="is nested deeper than"):
        codec_for(Client).encode(Client("x"))


@pytest.mark.parametrize(
    ("args", "options", "text"),
    [
        ((Client,), {}, r"register\(Client, dump=\.\.\., load=\.\.\.\)"),
        ((Client,), {"dump": str}, "both"),
        ((Client("u"),), {}, "needs a class"),
        ((int,), {}, "int"),
    ],
)
def test_register_refuses_what_cannot_work(args, options, text):
    """At once, with the fix."""
    with pytest.raises(PolicyError, match=text):
        register(*args, **options)


def test_a_reloaded_class_replaces_the_old():
    """In a notebook a class is defined again and again; the newest counts."""
    old = register(make_dataclass("Cell", ["x"], namespace={"__module__": "notebook", "__qualname__": "Cell"}))
    new = register(make_dataclass("Cell", ["x"], namespace={"__module__": "notebook", "__qualname__": "Cell"}))
    codec = codec_for()

    assert new(1) == codec.decode(codec.encode(new(1)))
    with pytest.raises(NotSerializable):
        codec.encode(old(1))


def test_two_classes_of_one_name_are_refused():
    """The second would come back as the first."""
    first = make_dataclass("Twin", ["x"])
    second = make_dataclass("Twin", ["x"])
    codec = codec_for(first | second)

    assert first(1) == codec.decode(codec.encode(first(1)))
    with pytest.raises(NotSerializable, match="two classes of that name"):
        codec.encode(second(1))


def test_data_never_names_a_class_into_being():
    """A record of a class that the reader does not admit is corrupt for it."""
    record = codec_for(Wind).encode(Wind(1.0))
    with pytest.raises(CorruptRecord):
        codec_for().decode(record)


def test_a_class_that_has_changed_is_corrupt():
    """A record with other fields than the class has now is not guessed at."""
    then = make_dataclass("Report", ["a"], namespace={"__qualname__": "Report"})
    now = make_dataclass("Report", ["a", "b"], namespace={"__qualname__": "Report"})
    record = codec_for(then).encode(then(1))
    with pytest.raises(CorruptRecord, match=r"the class has changed.*\['a', 'b'\]"):
        codec_for(now).decode(record)


def made(kind, fields):
    """A class named Report, of one of the sorts that have fields, and an instance of it."""
    namespace = {"__module__": "m", "__qualname__": "Report"}
    match kind:
        case "struct":
            cls = msgspec.defstruct("Report", [(name, int, 0) for name in fields], namespace=namespace)
        case "pydantic":
            cls = pydantic.create_model("Report", __module__="m", **dict.fromkeys(fields, (int, 0)))
        case "attrs":
            cls = attrs.make_class("Report", {name: attrs.field(default=0) for name in fields}, class_body=namespace)
        case "namedtuple":
            cls = NamedTuple("Report", [(name, int) for name in fields])
            cls.__module__ = "m"
            return cls, cls(*[0] * len(fields))
    return cls, cls()


@pytest.mark.parametrize("kind", ["struct", "pydantic", "attrs", "namedtuple"])
@pytest.mark.parametrize(("before", "after"), [(["a"], ["a", "b"]), (["a", "b"], ["a"]), (["a"], ["b"])])
def test_a_record_of_other_fields_is_corrupt(kind, before, after):
    """Neither a default of today nor a field of then stands in; two tuples of one length, and extra fields of models, cannot be told."""
    then, value = made(kind, before)
    now, _ = made(kind, after)
    record = codec_for(then).encode(value)

    assert value == codec_for(then).decode(record)
    if (kind, len(before)) == ("namedtuple", len(after)) or (kind == "pydantic" and set(after) < set(before)):
        assert now is type(codec_for(now).decode(record))
    else:
        with pytest.raises(CorruptRecord, match="the class has changed"):
            codec_for(now).decode(record)


@pytest.mark.parametrize(("before", "after"), [(list, dict), (str, bytes), (list, tuple), (int, str)])
def test_a_record_of_another_builtin_is_corrupt(before, after):
    """A class that was a list is not filled as a dict."""
    then, now = (type("Holder", (base,), {"__module__": "m", "__qualname__": "Holder"}) for base in (before, after))
    record = codec_for(then).encode(then())
    with pytest.raises(CorruptRecord, match="the class has changed"):
        codec_for(now).decode(record)


def test_the_fields_of_a_model_are_stored_once():
    """pydantic's state names them in two places."""
    assert 1 == codec_for(Alias).encode(Alias(Size=3, more=["needle"])).count(b"needle")
    assert 1 == codec_for(Model).encode(Model(name="needle", wind=Wind(1.0))).count(b"needle")


def test_a_class_may_be_registered_after_others_were_used():
    """Each is known from then on."""
    for cls, value in ((Sky, Sky.RAIN), (Point, Point(1)), (Tag, Tag("a"))):
        register(cls)

        assert value == codec_for().decode(codec_for().encode(value))


def test_an_enum_member_that_is_gone_is_corrupt():
    """A member that was renamed is no other member."""
    then = enum.Enum("Hue", "RED", module="m")
    now = enum.Enum("Hue", "BLUE", module="m")
    with pytest.raises(CorruptRecord):
        codec_for(now).decode(codec_for(then).encode(then.RED))


def test_standard_subclasses_need_dump_and_load():
    """A subclass of Decimal may hide what it holds; it is not guessed at."""

    class Money(Decimal):
        pass

    with pytest.raises(PolicyError):
        register(Money)


class Movie(TypedDict):
    sky: Sky
    parts: list[Point]


class Tree:
    """Not a record: its fields are not looked at."""

    sky: Sky


@dataclass
class Node:
    value: Point
    next: Node | None = None
    unknown: Nowhere | None = None  # noqa: F821 - exists for type checkers only, as far as this test goes


def test_classes_in_an_annotation():
    """Every class is found once, through containers, typed dicts and recursive fields."""
    assert [list, Movie, Sky, Point, int] == classes_in([list[Movie]])
    assert [Node, Point, int, type(None)] == classes_in([Node])
    assert [Tree] == classes_in([Tree])


def test_an_unresolvable_field_spoils_no_other():
    """A name that exists for type checkers only leaves the other fields' classes known."""
    codec = codec_for(Node)

    assert Node(Point(1), Node(Point(2))) == codec.decode(codec.encode(Node(Point(1), Node(Point(2)))))


def test_return_annotation():
    """Text is evaluated where the function was defined, its closure included; parameters are not looked at."""
    local = make_dataclass("Local", ["x"])

    def plain(x: Nowhere) -> list[Wind]:  # noqa: F821
        return x

    def closed(x) -> local | None:
        return local(x)

    def broken(x) -> Nowhere:  # noqa: F821
        return x

    class Caller:
        def __call__(self) -> Wind:
            return Wind(1.0)

        def method(self) -> Sky:
            return Sky.CLEAR

    @functools.wraps(plain)
    def wrapper(*args):
        return plain(*args)

    from typing import Any

    assert list[Wind] == return_annotation(plain)
    assert local | None == return_annotation(closed)
    assert Any is return_annotation(broken)
    assert Any is return_annotation(lambda: 1)
    assert Any is return_annotation(len)
    assert Wind is return_annotation(Caller())
    assert Sky is return_annotation(Caller().method)
    assert list[Wind] == return_annotation(functools.partial(plain, 1))
    assert list[Wind] == return_annotation(wrapper)


def test_ordered_dict_of_classes():
    """Named classes come back inside standard containers too."""
    codec = codec_for(OrderedDict[str, Wind])
    value = OrderedDict(b=Wind(1.0), a=Wind(2.0))

    assert list(value.items()) == list(codec.decode(codec.encode(value)).items())
