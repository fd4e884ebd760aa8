"""Inputs: one value in a request, read and validated, or reported as missing or wrong.

pydantic validates; an error is ``{"type", "loc", "msg", "input"}``, and several are collected. Rule
of this file: shapes, order and words of errors are FastAPI's, and whatever a client sends, an error
about it can be written as JSON. Source: FastAPI, ``dependencies/utils.py``.
"""

# Left out: form fields and uploads as parameters (FastAPI: Form, File). Use `await request.form()`.
# Left out: one model for all query parameters, headers or cookies. Name them one by one.

import re
from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import is_dataclass
from json import JSONDecodeError
from types import UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from miniasgi.exceptions import HTTPException, RequestValidationError
from miniasgi.parameters import MANY, OBJECT, ONE, Body, Header, Parameter, Query
from miniasgi.requests import Request

try:
    from pydantic import Field, TypeAdapter, ValidationError
    from pydantic_core import from_json
    from pydantic_core import to_json as to_json
except ModuleNotFoundError as exc:
    raise ModuleNotFoundError("typed endpoints need: pip install 'miniasgi[typed]'") from exc

Errors: TypeAlias = list[dict[str, Any]]
_is_json = re.compile(rb"\s*application/([^/;]+\+)?json\s*(;|$)", re.IGNORECASE).match
_MISSING: Any = object()  # the request has no such value
_MISPLACED: Any = object()  # nor can it have one: the body is no object


class Input:
    """One value: its name as an argument, and its ``mark``, which says where it is."""

    def __init__(self, name: str, annotation: Any, mark: Parameter, default: Any) -> None:
        self.name, self.mark = name, mark
        self.place = type(mark).__name__.lower()
        self.alias = mark.alias or (name.replace("_", "-") if isinstance(mark, Header) else name)
        self.default = _MISSING if default is ... else default
        if shape(annotation) > mark.holds:
            raise TypeError(f"{annotation} does not fit into a {self.place}")
        self.is_many = shape(annotation) == MANY and mark.holds == MANY
        self.is_whole = False  # the whole body: its name is not in it
        if mark.constraints:
            annotation = Annotated[annotation, Field(**mark.constraints)]
        # The validator itself: the adapter's method around it takes half a microsecond.
        self.validate = TypeAdapter[Any](annotation).validator.validate_python

    def value(self, request: Request, body: Any, errors: Errors) -> Any:
        """The argument. What is wrong with it is added to the errors instead."""
        source = body if self.mark.holds == OBJECT else getattr(request, self.mark.source)
        if self.is_many:
            raw = source.getlist(self.alias) or _MISSING
        else:
            raw = source.get(self.alias, _MISSING)
        if raw is _MISSING and self.default is not _MISSING:
            return deepcopy(self.default)
        try:
            if raw is not _MISSING and raw is not _MISPLACED:
                return self.validate(raw, from_attributes=True)
            wrong: Any = [{"type": "missing", "loc": (), "msg": "Field required", "input": None}]
        except ValidationError as exc:
            wrong = exc.errors(include_url=False)
        place = [self.place] if self.is_whole else [self.place, self.alias]
        for one in wrong:
            plain = {key: _plain(value) for key, value in one.items()}
            errors.append({**plain, "loc": [*place, *plain["loc"]]})
        return None


def _plain(value: Any) -> Any:
    try:
        return from_json(to_json(value, inf_nan_mode="null", fallback=str))
    except ValueError:  # half a surrogate, bytes that are no text: what JSON cannot say
        return ascii(value)


def shape(annotation: Any) -> int:
    """Is a value of this type one text, several of them, or what JSON alone can hold?"""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return shape(arguments[0])
    if origin in (Union, UnionType):
        return max(map(shape, arguments))
    cls = origin or annotation
    if not isinstance(cls, type) or issubclass(cls, str | bytes):
        return ONE
    if is_dataclass(cls) or hasattr(cls, "__pydantic_core_schema__") or issubclass(cls, Mapping):
        return OBJECT
    if not issubclass(cls, Collection):
        return ONE
    return MANY if all(shape(one) == ONE for one in arguments) else OBJECT


def guessed(annotation: Any) -> Parameter:
    """A query parameter; the body, if JSON alone can hold a value of this type."""
    return Query() if shape(annotation) == ONE else Body()


async def read_body(request: Request, wanted: Collection[Input], is_whole: bool) -> dict[str, Any]:
    """The JSON by the names of those who want it, or its parts; bytes for another content-type.

    Raises RequestValidationError.
    """
    body: Any = await request.body()
    # Only what calls itself JSON: a form on a foreign site can send JSON as text/plain, unasked.
    kinds = [value for name, value in request.scope["headers"] if name == b"content-type"]
    is_json = bool(kinds) and _is_json(kinds[0])
    if not body or not (is_json or is_whole):
        return {}
    try:
        body = await request.json() if is_json else body
    except HTTPException as exc:
        cause = exc.__cause__
        if not isinstance(cause, JSONDecodeError):
            raise
        error = {"type": "json_invalid", "loc": ["body", cause.pos], "msg": "JSON decode error"}
        raise RequestValidationError([{**error, "input": {}, "ctx": {"error": cause.msg}}]) from exc
    if not is_whole and isinstance(body, dict):
        return body
    return {one.alias: body if is_whole else _MISPLACED for one in wanted}
