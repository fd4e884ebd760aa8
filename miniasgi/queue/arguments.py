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
from typing import Any
from uuid import UUID

_NATIVE = frozenset({str, int, bool, type(None)})
_FROM_TEXT: dict[type, Callable[[str], Any]] = {
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    UUID: UUID,
    Decimal: Decimal,
}


class Signature:
    """What a task's function takes, looked at once."""

    def __init__(self, func: Callable[..., Any], *, bound: bool) -> None:
        signature = inspect.signature(func)
        parameters = list(signature.parameters.values())[1 if bound else 0 :]
        self._name = func.__name__
        self._signature = signature.replace(parameters=parameters)
        self._names = [p.name for p in parameters if p.kind <= p.POSITIONAL_OR_KEYWORD]
        self._required = sum(p.default is p.empty for p in parameters)
        self._func = func

    @property
    def _kinds(self) -> Mapping[str, Any]:
        # On use: an annotation may name what the module defines further down.
        self.__dict__["_kinds_seen"] = seen = self.__dict__.get("_kinds_seen") or _hints(self._func)
        return seen

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """JSON of both. Raises TypeError: they do not fit the function, or are not JSON."""
        if kwargs or not self._required <= len(args) <= len(self._names):
            self._bind(args, kwargs)
        plain = [
            v if type(v) in _NATIVE else self._plain(v, self._name_of(i))
            for i, v in enumerate(args)
        ]
        named = {k: v if type(v) in _NATIVE else self._plain(v, k) for k, v in kwargs.items()}
        return json.dumps([plain, named], separators=(",", ":"))

    def decode(self, text: str) -> tuple[list[Any], dict[str, Any]]:
        """The arguments, brought back. Raises TypeError if another version's do not fit here."""
        args, kwargs = json.loads(text)
        self._bind(args, kwargs)
        back = [restore(v, self._kinds.get(self._name_of(i))) for i, v in enumerate(args)]
        return back, {k: restore(v, self._kinds.get(k)) for k, v in kwargs.items()}

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise TypeError(f"{self._name}{self._signature}: {exc}") from None

    def _name_of(self, position: int) -> str:
        return self._names[position] if position < len(self._names) else f"*args[{position}]"

    def _plain(self, value: Any, name: str) -> Any:
        try:
            return plain(value, self._kinds.get(name))
        except TypeError as exc:
            raise TypeError(f"argument {name!r} of {self._name}: {exc}") from None


def encode_result(value: Any) -> str:
    """JSON of what a task returned; models and moments become their JSON form."""
    return json.dumps(plain(value, ...), separators=(",", ":"))


def plain(value: Any, kind: Any) -> Any:
    """``value`` in JSON's types, if ``kind`` (an annotation; ``...`` for any) can bring it back."""
    cls = type(value)
    if cls in _NATIVE:
        return value
    if cls is float:
        if math.isfinite(value):
            return value
        raise TypeError(f"JSON has no {value}")
    inner = _inner(kind, cls)
    if cls in (list, tuple):
        return [plain(item, inner) for item in value]
    if cls is dict:
        for key in value:
            if type(key) is not str:
                raise TypeError(f"JSON's keys are strings, not {key!r}")
        return {key: plain(item, inner) for key, item in value.items()}
    if kind is ... or cls in _choices(kind):
        if cls in _FROM_TEXT:
            return value.isoformat() if isinstance(value, date) else str(value)
        if dataclasses.is_dataclass(cls):
            kinds = _hints(cls)
            fields = dataclasses.fields(cls)
            return {f.name: plain(getattr(value, f.name), kinds[f.name]) for f in fields}
        if hasattr(cls, "model_validate"):
            return value.model_dump(mode="json")
    known = cls in _FROM_TEXT or dataclasses.is_dataclass(cls) or hasattr(cls, "model_validate")
    hint = f"; annotate the parameter with {cls.__name__}" if known else ""
    raise TypeError(f"{cls.__name__} is not JSON{hint}")


def restore(value: Any, kind: Any) -> Any:
    """What `plain` made of a value, back again."""
    cls = type(value)
    for choice in _choices(kind) if cls in (str, dict, list) else ():
        origin = typing.get_origin(choice) or choice
        if cls is str and choice in _FROM_TEXT:
            return _FROM_TEXT[choice](value)
        if cls is list and origin in (list, tuple):
            return origin(restore(item, _inner(choice, origin)) for item in value)
        if cls is dict and origin is dict:
            return {key: restore(item, _inner(choice, dict)) for key, item in value.items()}
        if cls is dict and dataclasses.is_dataclass(choice):
            kinds = _hints(choice)
            return choice(**{k: restore(v, kinds.get(k)) for k, v in value.items()})  # type: ignore[operator]
        if cls is dict and hasattr(choice, "model_validate"):
            return choice.model_validate(value)
    return value


def _choices(kind: Any) -> tuple[Any, ...]:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return typing.get_args(kind)
    return _choices(typing.get_args(kind)[0]) if origin is typing.Annotated else (kind,)


def _inner(kind: Any, cls: type) -> Any:
    """What ``list[X]``, ``tuple[X, ...]`` or ``dict[str, X]`` says of its items."""
    if kind is ...:
        return kind
    for choice in _choices(kind):
        if typing.get_origin(choice) is cls:
            return typing.get_args(choice)[1 if cls is dict else 0]
    return None


def _hints(obj: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(obj, include_extras=True)
    except (NameError, TypeError):  # names that exist only for type checkers
        return {}
