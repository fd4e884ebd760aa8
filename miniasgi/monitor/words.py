"""Numbers, moments and durations in words, for the templates."""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

NOTHING = "\N{EN DASH}"


def number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def rate(value: float) -> str:
    """Jobs a second, or a minute where they are few."""
    if value == 0 or value >= 10:
        return f"{value:,.0f}/s"
    return f"{value:.1f}/s" if value >= 1 else f"{value * 60:.2g}/min"


def percent(share: float | None) -> str:
    if share is None:
        return NOTHING
    return f"{share * 100:.0f} %" if share in (0, 1) or share >= 0.1 else f"{share * 100:.1f} %"


def duration(seconds: float | None) -> str:
    """In three digits at most: ``1.2 ms``, ``34 s``, ``5 min 2 s``, ``3 h 10 min``, ``2 d 4 h``."""
    if seconds is None:
        return NOTHING
    if seconds < 0.0005:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 100:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    large, size, small, part = next(scale for scale in _SCALES if whole >= scale[1])
    rest = whole % size // part
    return f"{whole // size} {large}" + (f" {rest} {small}" if rest else "")


_SCALES = (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1))


def ago(at: float | None) -> str:
    if at is None:
        return NOTHING
    seconds = time.time() - at
    if abs(seconds) < 1:
        return "now"
    return f"in {duration(round(-seconds))}" if seconds < 0 else f"{duration(round(seconds))} ago"


def moment(at: float | None) -> str:
    """In UTC, to the millisecond."""
    if at is None:
        return NOTHING
    text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
    return f"{text}.{int(at % 1 * 1000):03} UTC"


def clock(at: float | None) -> str:
    return NOTHING if at is None else time.strftime("%H:%M:%S UTC", time.gmtime(at))


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def short(value: Any, length: int = 80) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def call(arguments: Any) -> str:
    """``[args, kwargs]`` as they would be written in a call."""
    args, kwargs = arguments
    words = [json.dumps(value, ensure_ascii=False) for value in args]
    words += [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in kwargs.items()]
    return ", ".join(words)


def segment(text: str) -> str:
    return quote(text, safe="")


_ALL = (number, rate, percent, duration, ago, moment, clock, pretty, short, call, segment)
FILTERS: dict[str, Callable[..., str]] = {function.__name__: function for function in _ALL}
