"""One short round of the torture; `python -m tests.queue.torture` runs twenty long ones."""

from tests.queue.torture import FAULTS, torture


def test_a_storm_of_kills_loses_no_acknowledged_job_and_runs_none_twice_at_one_time() -> None:
    verdict = torture(jobs=400)

    assert {fault: verdict[fault] for fault in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert verdict["acknowledged"] >= 400 and verdict["kills"] > 5
