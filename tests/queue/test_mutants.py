"""Each mutant is made in a copy of the tree, and its tests are seen to fail there."""

import pytest

from tests.mutated import FAILED, Copy
from tests.queue.mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_noticed(mutant: Mutant, mutated: Copy) -> None:
    for test in mutant.tests:
        code, output = mutated.run_broken(
            mutant.file, mutant.old, mutant.new, [f"tests/queue/{test}"]
        )

        assert code == FAILED, output
