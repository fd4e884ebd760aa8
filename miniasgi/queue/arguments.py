"""Arguments and results as JSON, and back by annotation. Never pickle.

What JSON knows goes as it is (a tuple arrives as a list). Dataclasses, pydantic models, datetime,
date, UUID and Decimal go too, where the parameter's annotation says how to bring them back: also
inside ``list[...]``, ``dict[str, ...]`` and ``... | None``. Anything else is a TypeError that names
the argument, at the moment of the call and not in the worker.
"""

import dataclasses
import inspect
import json
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

_NATIVE = frozenset({str, int, bool, type(None)})
_FROM_TEXT: dict[type, Callable[[str], Any]] = {
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    UUID: UUID,
    Decimal: Decimal,
}
_dumps = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make one at each call


class Signature:
    """What a task's function takes, looked at once."""

    def __init__(self, func: Callable[..., Any], *, bound: bool) -> None:
        signature = inspect.signature(func)
        parameters = list(signature.parameters.values())[bound:]
        self._func = func
        self._signature = signature.replace(parameters=parameters)
        self._names = [p.name for p in parameters if p.kind <= p.POSITIONAL_OR_KEYWORD]
        self._required = sum(p.default is p.empty for p in parameters)

    @cached_property  # on use: an annotation may name what its module defines further down
    def _kinds(self) -> dict[str, Any]:
        return _hints(self._func)

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """JSON of both. Raises TypeError: they do not fit the function, or are not JSON."""
        if kwargs or not self._required <= len(args) <= len(self._names):
            self._bind(args, kwargs)
        plain = [
            value if type(value) in _NATIVE else self._plain(value, self._name(i))
            for i, value in enumerate(args)
        ]
        return _dumps((plain, {name: self._plain(value, name) for name, value in kwargs.items()}))

    def decode(self, text: str) -> tuple[list[Any], dict[str, Any]]:
        """The arguments, brought back. Raises TypeError if another version's do not fit here."""
        args, kwargs = json.loads(text)
        self._bind(args, kwargs)
        back = [restore(v, self._kinds.get(self._name(i))) for i, v in enumerate(args)]
        return back, {k: restore(v, self._kinds.get(k)) for k, v in kwargs.items()}

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise TypeError(f"{self._func.__name__}{self._signature}: {exc}") from None

    def _name(self, position: int) -> str:
        return self._names[position] if position < len(self._names) else f"*args[{position}]"

    def _plain(self, value: Any, name: str) -> Any:
        try:
            return plain(value, self._kinds.get(name))
        except TypeError as exc:
            raise TypeError(f"argument {name!r} of {self._func.__name__}: {exc}") from None


def encode_result(value: Any) -> str:
    """JSON of what a task returned; models and moments become their JSON form."""
    return "null" if value is None else _dumps(plain(value, ...))


def plain(value: Any, kind: Any) -> Any:
    """``value`` in JSON's types, if ``kind`` (an annotation; ``...`` for any) can bring it back."""
    cls = type(value)
    if cls in _NATIVE or (cls is float and math.isfinite(value)):
        return value
    if cls in (list, tuple):
        return [plain(item, _inner(kind, cls)) for item in value]
    if cls is dict:
        for key in value:
            if type(key) is not str:
                raise TypeError(f"JSON's keys are strings, not {key!r}")
        return {key: plain(item, _inner(kind, dict)) for key, item in value.items()}
    known = cls in _FROM_TEXT or dataclasses.is_dataclass(cls) or hasattr(cls, "model_validate")
    if not known or not (kind is ... or cls in _choices(kind)):
        hint = f"; annotate the parameter with {cls.__name__}" if known else ""
        raise TypeError(f"{value if cls is float else cls.__name__} is not JSON{hint}")
    if cls in _FROM_TEXT:
        return value.isoformat() if isinstance(value, date) else str(value)
    if hasattr(cls, "model_validate"):
        return value.model_dump(mode="json")
    kinds = _hints(cls)
    return {
        f.name: plain(getattr(value, f.name), kinds.get(f.name)) for f in dataclasses.fields(value)
    }


def restore(value: Any, kind: Any) -> Any:
    """What `plain` made of a value, back again."""
    cls = type(value)
    for choice in _choices(kind) if kind and cls in (str, dict, list) else ():
        origin = typing.get_origin(choice) or choice
        if cls is str and choice in _FROM_TEXT:
            return _FROM_TEXT[choice](value)
        if cls is list and origin in (list, tuple):
            return origin(restore(item, _inner(choice, origin)) for item in value)
        if cls is dict and origin is dict:
            return {key: restore(item, _inner(choice, dict)) for key, item in value.items()}
        if cls is dict and hasattr(choice, "model_validate"):
            return choice.model_validate(value)
        if cls is dict and dataclasses.is_dataclass(choice):
            return origin(**{k: restore(v, _hints(choice).get(k)) for k, v in value.items()})
    return value


def _choices(kind: Any) -> tuple[Any, ...]:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return typing.get_args(kind)
    return _choices(typing.get_args(kind)[0]) if origin is typing.Annotated else (kind,)


def _inner(kind: Any, cls: type) -> Any:
    """What ``list[X]``, ``tuple[X, ...]`` or ``dict[str, X]`` says of its items."""
    fitting = [choice for choice in _choices(kind) if typing.get_origin(choice) is cls]
    return typing.get_args(fitting[0])[cls is dict] if fitting else kind if kind is ... else None


def _hints(obj: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(obj, include_extras=True)
    except (NameError, TypeError):  # names that exist only for type checkers
        return {}
