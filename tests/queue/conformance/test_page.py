"""The page says what the suite says."""

import importlib.util

from tests.queue.processes import ROOT


def test_the_table_of_what_differs_is_made_from_the_suites_marks() -> None:
    spec = importlib.util.spec_from_file_location("engines", ROOT / "docs" / "engines.py")
    assert spec is not None and spec.loader is not None
    engines = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(engines)

    assert engines.PAGE.read_text() == engines.page(), "run: python docs/engines.py"
