"""Arguments and results as JSON, and back by annotation. Never pickle.

What JSON knows goes as it is (a tuple arrives as a list). Dataclasses, pydantic models, datetime,
UUID, Decimal and whatever else pydantic knows go too, where the parameter's annotation says how to
bring them back; pydantic is imported for those only. Anything else is a TypeError that names the
argument, at the moment of the call and not in the worker.
"""

import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from types import SimpleNamespace
from typing import Any, get_args, get_origin, get_type_hints

_NATIVE = frozenset({str, int, bool, type(None)})
_PLAIN = _NATIVE | {float, list, dict, object, Any, inspect.Parameter.empty}
_IDENTITY: Any = object.__eq__
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
        if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
            self._required = len(parameters)  # more than can come by position

    @cached_property  # on use: an annotation may name what its module defines further down
    def _adapters(self) -> dict[str, Any]:
        """How to bring back what JSON does not know, by parameter, and by ``*`` and ``**``."""
        adapters: dict[str, Any] = {}
        for parameter in self._signature.parameters.values():
            rest = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}
            name = rest.get(parameter.kind.name, parameter.name)
            adapters[name] = None
            if _says_more_than_json(hint := self._hint(parameter)):
                from pydantic import PydanticUserError, TypeAdapter

                with suppress(PydanticUserError):  # a class it does not know
                    adapters[name] = TypeAdapter(hint)
        return adapters

    def _hint(self, parameter: inspect.Parameter) -> Any:
        # Each by itself: a name that exists only for type checkers spoils no other's.
        one = SimpleNamespace(__annotations__={"it": parameter.annotation})
        names = getattr(inspect.unwrap(self._func), "__globals__", {})
        with suppress(NameError, TypeError):
            return get_type_hints(one, names, include_extras=True)["it"]
        return Any

    def _adapter(self, name: str) -> Any:
        rest = "*" if name.startswith("*") else "**"
        return self._adapters.get(name if name in self._adapters else rest)

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """JSON of both. Raises TypeError: they do not fit the function, or are not JSON."""
        self._bind(args, kwargs)
        plain_args = [
            value if type(value) in _NATIVE else self._plain(value, self._name(i))
            for i, value in enumerate(args)
        ]
        return _dumps((plain_args, {k: self._plain(v, k) for k, v in kwargs.items()}))

    def decode(self, text: str) -> tuple[list[Any], dict[str, Any]]:
        """The arguments, brought back. Raises TypeError if another version's do not fit here."""
        args, kwargs = json.loads(text)
        self._bind(args, kwargs)
        back = [self._back(value, self._name(i)) for i, value in enumerate(args)]
        return back, {name: self._back(value, name) for name, value in kwargs.items()}

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if not kwargs and self._required <= len(args) <= len(self._names):
            return  # for `inspect` it would be 10 us
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise TypeError(f"{self._func.__name__}{self._signature}: {exc}") from None

    def _name(self, position: int) -> str:
        return self._names[position] if position < len(self._names) else f"*args[{position}]"

    def _plain(self, value: Any, name: str) -> Any:
        adapter = self._adapter(name)
        try:
            if adapter is None:
                return plain(value)
            value = adapter.validate_python(value)
            sent = adapter.dump_python(value, mode="json", by_alias=True)
            can_compare = type(value).__eq__ is not _IDENTITY
            back = adapter.validate_json(_dumps(sent))
            if can_compare and back != value and not _is_same_moment(back, value):
                raise TypeError(f"this {type(value).__name__} would not come back as it is")
            return sent
        except (TypeError, ValueError, RecursionError) as exc:
            hint = "" if adapter else _advice(type(value))
            raise TypeError(f"argument {name!r} of {self._func.__name__}: {exc}{hint}") from exc

    def _back(self, value: Any, name: str) -> Any:
        adapter = self._adapter(name)
        return value if adapter is None else adapter.validate_json(_dumps(value))


def _is_same_moment(one: Any, other: Any) -> bool:
    """In the hour that comes twice two zones' datetimes are never equal (PEP 495)."""
    both = isinstance(one, datetime) and isinstance(other, datetime)
    return both and one.timestamp() == other.timestamp()


def _advice(kind: type) -> str:
    """What to do about an argument of this class, which is not JSON."""
    if kind in _PLAIN:
        return ""
    with suppress(ImportError):
        from pydantic import PydanticUserError, TypeAdapter

        with suppress(PydanticUserError):
            TypeAdapter(kind)
            return f"; annotate the parameter with {kind.__name__}, imported at run time"
    return "; pass what it is made of, or make it a dataclass"


def _says_more_than_json(kind: Any) -> bool:
    if isinstance(kind, type):
        return kind not in _PLAIN
    is_no_list = get_origin(kind) in (tuple, set, frozenset)
    return is_no_list or any(map(_says_more_than_json, get_args(kind)))


def encode_result(value: Any) -> str:
    """JSON of what a task returned; what pydantic knows becomes its JSON form."""
    try:
        return _dumps(plain(value))
    except TypeError:
        with suppress(ImportError, ValueError):
            from pydantic_core import to_jsonable_python

            return _dumps(plain(to_jsonable_python(value)))
        raise


def plain(value: Any) -> Any:
    """``value``, if it is JSON. Raises TypeError."""
    kind = type(value)
    if kind in _NATIVE or (kind is float and math.isfinite(value)):
        return value
    if kind in (list, tuple):
        return [plain(item) for item in value]
    if kind is not dict:
        raise TypeError(f"{value if kind is float else kind.__name__} is not JSON")
    for key in value:
        if type(key) is not str:
            raise TypeError(f"JSON's keys are strings, not {key!r}")
    return {key: plain(item) for key, item in value.items()}
