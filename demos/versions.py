"""What was measured with: the versions that are installed here."""

import platform
from importlib.metadata import PackageNotFoundError, version

MEASURED = ("miniasgi", "starlette", "fastapi", "uvicorn", "anyio", "uvloop", "httptools", "h11")


def versions() -> dict[str, str]:
    """Of everything that was measured and is installed."""
    found = {"Python": platform.python_version()}
    for name in MEASURED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            if name == "miniasgi":  # run from a checkout
                import miniasgi

                found[name] = miniasgi.__version__
    return found
