"""One lab for all tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.lab.served import Served, a_lab


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with a_lab(tmp_path_factory.mktemp("recordings")) as served:
        yield served
