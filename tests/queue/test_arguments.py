"""JSON and nothing else: what goes in comes back, or the caller hears of it by name."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr

from miniasgi.queue import Queue
from miniasgi.queue.arguments import Signature, encode_result


@dataclass
class Address:
    street: str
    since: date


@dataclass
class Person:
    name: str
    homes: list[Address]


class Order(BaseModel):
    id: UUID
    total: Decimal


def everything(
    when: datetime,
    person: Person,
    orders: list[Order],
    price: Decimal | None,
    key: Annotated[UUID, "a key"],
    by_day: dict[str, date],
    pair: tuple[int, ...] = (),
) -> None: ...


def returned(func: Any, *args: Any, **kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    signature = Signature(func, bound=False)
    return signature.decode(signature.encode(args, kwargs))


class Base(BaseModel):
    a: int


class Derived(Base):
    b: int = 0


class Renamed(BaseModel):
    a: int = Field(serialization_alias="wasA")


class Left(BaseModel):
    a: int = Field(0, exclude=True)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (SecretStr, SecretStr("hunter2")),
        (Base, Derived(a=1, b=2)),
        (list[Base], [Derived(a=1, b=2)]),
        (Renamed, Renamed(a=1)),
        (Left, Left(a=1)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_would_come_back_changed_is_refused(kind: Any, value: Any) -> None:
    def give(one: kind) -> None: ...

    with pytest.raises(TypeError, match="argument 'one' of give"):
        Signature(give, bound=False).encode((value,), {})


def test_a_missing_keyword_is_found_at_the_call() -> None:
    def send(to: str, subject: str = "hi", *, template: str) -> None: ...

    with pytest.raises(TypeError, match=r"missing a required .*argument: 'template'"):
        Signature(send, bound=False).encode(("a", "b"), {})


def test_dataclasses_models_and_moments_come_back_by_annotation() -> None:
    order = Order(id=UUID(int=1), total=Decimal("1.10"))
    args = (
        datetime(2026, 1, 2, tzinfo=UTC),
        Person("ada", [Address("x", date(2020, 1, 1))]),
        [order],
        Decimal("0.1"),
        UUID(int=7),
        {"monday": date(2026, 11, 23)},
    )

    back = returned(everything, *args, pair=(1, 2))

    assert back == (list(args), {"pair": (1, 2)})


def test_what_the_rest_of_the_parameters_take_comes_back_too() -> None:
    def send(first: str, *ids: UUID, flag: bool = False, **due: date) -> None: ...

    one, two, day = UUID(int=1), UUID(int=2), date(2026, 1, 1)

    back = returned(send, "a", one, two, flag=True, ids=day, due=day)

    assert back == (["a", one, two], {"flag": True, "ids": day, "due": day})


def test_a_name_that_only_type_checkers_know_spoils_no_other_parameter() -> None:
    def send(key: "UUID", note: "OnlyForTypeCheckers") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert returned(send, UUID(int=1), "hi") == ([UUID(int=1), "hi"], {})
    with pytest.raises(TypeError, match="annotate the parameter with date, imported at run time"):
        returned(send, UUID(int=1), date(2026, 1, 1))


def test_none_in_an_optional_stays_none() -> None:
    def f(price: Decimal | None = None) -> None: ...

    assert returned(f, None) == ([None], {})


plain_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.lists(plain_json), st.dictionaries(st.text(), plain_json))
def test_whatever_json_knows_comes_back_as_it_was(args: list[Any], kwargs: dict[str, Any]) -> None:
    def f(*args: Any, **kwargs: Any) -> None: ...

    assert returned(f, *args, **kwargs) == (args, kwargs)


class Plain:
    """Of which pydantic knows nothing."""


def mixed(a: Any, b: int = 0) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs", "sentence"),
    [
        ((object(),), {}, "argument 'a' of mixed: object is not JSON$"),
        ((Plain(),), {}, "Plain is not JSON; pass what it is made of, or make it a dataclass$"),
        ((1,), {"b": {2: 3}}, "argument 'b' of mixed: JSON's keys are strings, not 2$"),
        ((float("nan"),), {}, "argument 'a' of mixed: nan is not JSON"),
        (([{1}],), {}, "argument 'a' of mixed: set is not JSON"),
        (
            (datetime(2026, 1, 1),),
            {},
            "datetime is not JSON; annotate the parameter with datetime, imported at run time",
        ),
        ((), {}, r"mixed\(a: Any, b: int = 0\) -> None: missing a required argument: 'a'"),
        ((1,), {"c": 2}, "got an unexpected keyword argument 'c'"),
    ],
)
def test_anything_else_is_a_type_error_that_names_the_argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], sentence: str, queue: Queue
) -> None:
    task = queue.task(mixed)

    with pytest.raises(TypeError, match=sentence):
        task.delay(*args, **kwargs)


def test_results_of_models_and_moments_become_their_json_form() -> None:
    value = {"who": Person("ada", []), "order": Order(id=UUID(int=1), total=Decimal(2))}

    found = json.loads(encode_result(value))

    assert found == {
        "who": {"name": "ada", "homes": []},
        "order": {"id": str(UUID(int=1)), "total": "2"},
    }


@pytest.mark.parametrize(("hour", "fold"), [(1, 0), (2, 0), (2, 1), (3, 0)])
def test_a_moment_of_the_hour_that_comes_twice_is_the_same_moment(hour: int, fold: int) -> None:
    def remind(at: datetime) -> None: ...

    at = datetime(2026, 10, 25, hour, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold)

    [back], _ = returned(remind, at)

    assert back.timestamp() == at.timestamp()


def test_sets_come_back_by_annotation() -> None:
    def send(numbers: set[int], words: frozenset[str]) -> None: ...

    assert returned(send, {1, 2}, frozenset({"a"})) == ([{1, 2}, frozenset({"a"})], {})
