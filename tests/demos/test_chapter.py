"""The tutorial's samples do as they say, on miniasgi and, with other import lines, on FastAPI."""

import ast
import inspect
from pathlib import Path
from types import ModuleType

import pytest

from demos.__main__ import chosen, main
from demos.card import source
from demos.chapter import celery_jobs, jobs
from demos.chapter.ledger import claims
from demos.chapter.tutorial_machine import TutorialMachine
from demos.redis_server import RedisServer, why_not
from demos.runner import Result, run_all
from demos.scenario import all_names, chapter_names, load
from demos.servers import DemoError, Settings

BETTER = {"c24_a_job_and_its_state", "c3_one_application"}
FRAMEWORKS = ("miniasgi", "fastapi")

samples = pytest.mark.parametrize("name", chapter_names())


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    scenarios = [load(name) for name in chapter_names()]
    return {result.scenario.name: result for result in run_all(scenarios, Settings())}


@pytest.mark.servers
@pytest.mark.parametrize("framework", FRAMEWORKS)
@samples
def test_what_is_seen_is_what_is_expected(
    results: dict[str, Result], name: str, framework: str
) -> None:
    run = next(run for run in results[name].runs if run.framework == framework)
    if load(name).is_absent(framework):
        pytest.skip(run.outcome)

    assert run.outcome == load(name).expected(framework), run.recording.moments


@pytest.mark.servers
@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_the_second_part_runs_on_a_file_and_on_a_redis_alike(results: dict[str, Result]) -> None:
    outcomes = {run.framework: run.outcome for run in results["c24_a_job_and_its_state"].runs}

    assert outcomes["miniasgi_redis"] == outcomes["miniasgi"]


@pytest.mark.servers
@samples
def test_miniasgi_is_better_where_fastapi_fails_on_the_sample(
    results: dict[str, Result], name: str
) -> None:
    verdict = results[name].runs[0].than_starlette

    has_fastapi = not load(name).is_absent("fastapi")
    assert verdict == ("?" if not has_fastapi else "better" if name in BETTER else "same")


@pytest.mark.servers
def test_the_last_sample_as_it_is_printed_can_be_imported_nowhere(
    results: dict[str, Result],
) -> None:
    sample = results["c43_a_task_on_record"]

    for run in sample.runs:
        said = sample.scenario.details(run.recording)
        assert said == [] if run.is_absent else "no attribute 'Coroutine'" in said[0]


def lines_that_are_no_imports(text: str) -> list[str]:
    body = ast.parse(text).body
    statements = body[0].body if isinstance(body[0], ast.FunctionDef) else body[1:]
    return [ast.unparse(one) for one in statements if not isinstance(one, ast.ImportFrom)]


@samples
def test_between_the_frameworks_only_import_lines_differ(name: str) -> None:
    texts = []
    for framework in FRAMEWORKS:
        found = source(f"{load(name).module.__name__}:{framework}_app")
        assert found is not None
        texts.append("\n".join(found.lines))
    ours, theirs = map(lines_that_are_no_imports, texts)

    assert ours == theirs
    assert texts[0] != texts[1]


def test_between_the_queues_only_the_import_and_the_line_of_the_broker_differ() -> None:
    def text(module: ModuleType) -> list[str]:
        return lines_that_are_no_imports(inspect.getsource(module))

    changed = [pair for pair in zip(text(jobs), text(celery_jobs), strict=True) if len({*pair}) > 1]

    assert [(ours[:22], theirs[:23]) for ours, theirs in changed] == [
        ("queue = Queue('tasks',", "queue = Celery('tasks',")
    ]


@samples
def test_one_answer_of_the_card_is_right_and_the_deciding_code_is_installed(name: str) -> None:
    scenario = load(name)
    card = scenario.card

    assert card.part in {claim.place for claim in claims()}
    for outcome in scenario.module.outcomes:
        assert sum(answer.is_right(outcome) for answer in card.answers) == 1
    for framework in FRAMEWORKS:
        assert any(one.lit for one in scenario.sources(framework)), framework
        assert len(scenario.decisive(framework)) > 0, framework
    for names in card.decisive.values():
        assert all(source(one) for one in names)


def test_the_samples_are_listed_apart_and_run_by_the_word_chapter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert chosen(["chapter"]) == chapter_names()
    assert chosen(["c24"]) == ["c24_a_job_and_its_state"]
    assert chosen([]) == all_names()

    assert main(["--list"]) == 0

    scenarios, _, ours = capsys.readouterr().out.partition("The tutorial's samples")
    assert "s01" in scenarios and "c24" not in scenarios
    assert "c24" in ours


# Redis


def test_without_redis_the_reason_is_one_sentence_and_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "")

    assert why_not() == "redis-server is not installed; on Debian: apt-get install redis-server"
    with pytest.raises(OSError, match="is not installed"):
        RedisServer(tmp_path)
    with pytest.raises(DemoError, match="is not installed"):
        TutorialMachine("demos.chapter.c24_a_job_and_its_state:fastapi_app", "fastapi", Settings())


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_a_redis_that_was_killed_comes_back_at_its_port_and_ends_with_the_block(
    tmp_path: Path,
) -> None:
    with RedisServer(tmp_path) as redis:
        port = redis.port
        redis.kill()
        redis.start()
        assert redis.ask("PING") == b"+PONG\r\n"
        assert redis.port == port

    with pytest.raises(OSError):
        redis.ask("PING")
