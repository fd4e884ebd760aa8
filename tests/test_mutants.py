"""Would the tests notice? Each named mistake is made in a copy of the source, and a test must fail.

A mutant that no test catches is a missing test, not a wrong mutant.
"""

from pathlib import Path

import pytest

from tests.mutants import MUTANTS, Mutant
from tests.mutated import FAILED, PASSED, Copy

ROOT = Path(__file__).parent.parent

each_mutant = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


@each_mutant
def test_the_line_to_be_broken_stands_once_in_the_source(mutant: Mutant) -> None:
    source = (ROOT / "miniasgi" / mutant.file).read_text()

    assert source.count(mutant.old) == 1


@each_mutant
def test_the_mistake_is_noticed(mutant: Mutant, mutated: Copy) -> None:
    file = f"miniasgi/{mutant.file}"

    code, output = mutated.run_broken(file, mutant.old, mutant.new, [f"tests/{mutant.caught_by}"])

    assert code == FAILED, output


def test_without_a_mistake_the_same_tests_pass(mutated: Copy) -> None:
    code, output = mutated.run(sorted({f"tests/{mutant.caught_by}" for mutant in MUTANTS}))

    assert code == PASSED, output
