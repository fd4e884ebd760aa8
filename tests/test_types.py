"""The shapes hold: whatever has the two moments of a background is one, and nothing else is run."""

import ast
import inspect

import miniasgi
from miniasgi import BackgroundTask, BackgroundTasks, types
from miniasgi.types import Background


def test_tasks_have_every_moment_of_a_background_with_its_signature():
    moments = {name for name in vars(Background) if not name.startswith("_")} | {"__call__"}

    for kind in (BackgroundTask, BackgroundTasks):
        for moment in moments:
            asked = list(inspect.signature(getattr(Background, moment)).parameters)
            given = list(inspect.signature(getattr(kind, moment)).parameters)
            assert given[: len(asked)] == asked, f"{kind.__name__}.{moment}"


def test_the_file_of_shapes_has_no_behaviour():
    functions = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(types)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    # Nothing but a docstring in each.
    assert [f.name for f in functions if len(f.body) > 1 or ast.get_docstring(f) is None] == []


def test_the_package_names_what_it_exports():
    assert all(hasattr(miniasgi, name) for name in miniasgi.__all__)
    assert sorted(miniasgi.__all__) == miniasgi.__all__
