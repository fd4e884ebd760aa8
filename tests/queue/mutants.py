"""Edits of the queue that break a promise, each with the tests that must notice."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """In ``file``, ``old`` becomes ``new``; each of ``tests`` must then fail."""

    name: str
    file: str
    old: str
    new: str
    tests: list[str]


STORE = "miniasgi/queue/store.py"
WRITER = "miniasgi/queue/writer.py"
OWNERS = "miniasgi/queue/owners.py"
PROMISES = "miniasgi/queue/promises.py"
WORKER = "miniasgi/queue/worker.py"
CELERY = "miniasgi/queue/celery.py"
CELERY_APPLICATION = "miniasgi/queue/celery_application.py"
CELERY_TASKS = "miniasgi/queue/celery_tasks.py"
MARKS = "miniasgi/queue/marks.py"
MOVE = "miniasgi/queue/move.py"
OUTBOX = "miniasgi/queue/outbox.py"

_GIVEN_BACK = "test_a_worker_whose_grace_is_over_gives_back_what_it_runs_and_that_is_no_crash"

MUTANTS = [
    Mutant(
        "claim without owner check",
        STORE,
        "select seq from miniasgi_job where queue = ? and state = 'ready'\n",
        "select seq from miniasgi_job where queue = ? and state in ('ready', 'running')\n",
        ["test_worker.py::test_two_workers_never_claim_one_job"],
    ),
    Mutant(
        "settle without a fence",
        STORE,
        "    where id = ? and owner = ? and attempt = ?\n",
        "    where id = ? and ? > 0 and ? >= 0\n",
        ["test_worker.py::test_settling_is_fenced_by_owner_and_attempt"],
    ),
    Mutant(
        "settle before run",
        PROMISES,
        "            outcome = await self._function.run(self._job)\n",
        "            await self._settle(Outcome('success', 'null'))\n"
        "            outcome = await self._function.run(self._job)\n",
        [
            "test_promises.py::"
            "test_accept_commits_before_the_start_and_the_task_runs_after_the_body[asyncio]"
        ],
    ),
    Mutant(
        "recover a living owner",
        OWNERS,
        "        except BlockingIOError:\n            return file.read()\n",
        "        except BlockingIOError:\n            return None\n",
        [
            "test_owners.py::test_a_stopped_worker_is_not_taken_for_dead",
            "test_promises.py::test_no_worker_takes_a_promised_job_before_the_last_byte",
        ],
    ),
    Mutant(
        "lose the group's neighbours on one failure",
        WRITER,
        "            if begun and len(batch) > 1:\n",
        "            if begun and len(batch) > 1_000_000:\n",
        ["test_writer.py::test_one_that_fails_does_not_fail_its_neighbours"],
    ),
    Mutant(
        "acknowledge what is not synced",
        STORE,
        "'full' if durability == 'power' else 'normal'",
        "'normal'",
        ["test_writer.py::test_power_is_the_default_durability_and_process_is_a_choice"],
    ),
    Mutant(
        "promise what anybody may start",
        PROMISES,
        'promise._job.attempt = "held", 1',
        'promise._job.attempt = "ready", 1',
        ["test_promises.py::test_no_worker_takes_a_promised_job_before_the_last_byte"],
    ),
    Mutant(
        "drop the promise of a response that failed",
        PROMISES,
        "        self.__del__()\n",
        "        self.take()\n",
        ["test_promises.py::test_a_response_that_failed_releases_its_promise_to_any_worker"],
    ),
    Mutant(
        "let a promise be run twice",
        PROMISES,
        "return self._fate.acquire(blocking=False)",
        "return True",
        ["test_promises.py::test_a_promise_is_released_after_hold_seconds_at_the_latest"],
    ),
    Mutant(
        "do later what was refused",
        WRITER,
        "        if operation.take():\n            operation.error = self.file.busy()\n",
        "        if True:\n            operation.error = self.file.busy()\n",
        [
            "test_writer.py::"
            "test_a_stopped_holder_of_the_lock_freezes_nobody_and_the_operation_is_withdrawn"
        ],
    ),
    Mutant(
        "keep a parent's lock in its child",
        OWNERS,
        "os.register_at_fork(after_in_child=_close_in_child)\n",
        "",
        ["test_owners.py::test_a_forked_child_does_not_keep_its_dead_parent_alive"],
    ),
    Mutant(
        "leave the file open while the process forks",
        "miniasgi/queue/files.py",
        "            before=self._before_fork,\n",
        "",
        [
            "test_owners.py::test_what_a_forked_child_acknowledges_is_there_though_its_parent_is_gone"
        ],
    ),
    Mutant(
        "run what was revoked before the last byte",
        PROMISES,
        "elif job.id in self._writer.read(store.revoking, str(job.owner)):",
        "elif False:",
        ["test_promises.py::test_a_promise_that_is_revoked_before_the_last_byte_does_not_run"],
    ),
    Mutant(
        "count no crashes",
        STORE,
        "owner = null, crashes = crashes + 1,",
        "owner = null,",
        ["test_owners.py::test_crashes_are_spread_out_from_the_second_on"],
    ),
    Mutant(
        "start what has expired",
        STORE,
        "    for job in late:\n        settle(db, job, EXPIRED, now)\n",
        "    late = []\n",
        ["test_worker.py::test_an_expired_job_is_revoked_and_never_starts"],
    ),
    Mutant(
        "claim more than the free slots",
        WORKER,
        "self.writer.arun(self._claim, reserved, here",
        "self.writer.arun(self._claim, reserved + 2, here",
        ["test_worker.py::test_a_worker_never_claims_more_than_its_free_slots"],
    ),
    Mutant(
        "ignore the priority",
        STORE,
        "order by priority desc, seq limit ?",
        "order by seq limit ?",
        ["test_worker.py::test_higher_priority_first_and_first_in_first_out_within_one"],
    ),
    Mutant(
        "acknowledge before the work",
        CELERY_APPLICATION,
        "        task_acks_late=True,\n",
        "        task_acks_late=False,\n",
        ["test_celery.py::test_a_worker_killed_in_mid_work_and_all_its_children_loses_no_job"],
    ),
    Mutant(
        "take a worker's stop for the task's end",
        CELERY_TASKS,
        "raise SystemExit(_STOPPED)",
        "pass",
        [f"test_celery.py::{_GIVEN_BACK}[stay]"],
    ),
    Mutant(
        "take a worker's stop for a crash",
        CELERY_TASKS,
        "self._marks.give_back(job.id)",
        "pass",
        [f"test_celery.py::{_GIVEN_BACK}[linger]"],
    ),
    Mutant(
        "say done before it is handed over",
        OUTBOX,
        "        self._broker.publish(replace(job, due_at=None, attempt=0, retries=0))\n",
        # Later than the test waits: what is said to be done may then be lost with the process.
        "        late = [replace(job, due_at=None, attempt=0, retries=0)]\n"
        "        timer = threading.Timer(3600.0, self._broker.publish, late)\n"
        "        timer.daemon = True\n"
        "        timer.start()\n",
        ["test_outbox.py::test_a_promise_needs_no_broker_and_is_handed_over_when_it_is_back"],
    ),
    Mutant(
        "hand over under another id",
        OUTBOX,
        "replace(job, due_at=None, attempt=0, retries=0)",
        "replace(job, id=job.id + 'x', due_at=None, attempt=0, retries=0)",
        ["test_outbox.py::test_nobody_has_a_promised_job_before_the_last_byte"],
    ),
    Mutant(
        "leave the outbox before the last byte",
        OUTBOX,
        "        promise.result = self.result(job.id)\n",
        "        promise.result = self.result(job.id)\n        self._file.put(job)\n",
        ["test_outbox.py::test_nobody_has_a_promised_job_before_the_last_byte"],
    ),
    Mutant(
        "run what another copy runs",
        MARKS,
        "        if first != (message, str(request.retries)):\n",
        "        if False:\n",
        ["test_celery.py::test_a_second_copy_of_a_message_is_skipped"],
    ),
    Mutant(
        "run another copy between two attempts",
        MARKS,
        "        if first != (message, str(request.retries)):\n",
        "        if first[1] != str(request.retries):\n",
        [
            "test_celery.py::"
            "test_a_job_that_was_published_twice_has_its_retries_once_and_crashed_nobody"
        ],
    ),
    Mutant(
        "revoke what another response has promised",
        CELERY,
        "            if promise._engine.publish(promise._job):\n",
        "            if promise._engine.publish(promise._job) or True:\n",
        ["test_celery.py::test_a_response_that_fails_leaves_alone_what_another_has_promised"],
    ),
    Mutant(
        "run what has ended",
        MARKS,
        '        if raw and self._backend.decode_result(raw)["status"] in _ENDED:\n',
        "        if False:\n",
        ["test_celery.py::test_a_copy_of_what_has_ended_is_skipped"],
    ),
    Mutant(
        "publish what is published already",
        CELERY,
        "            if is_new := self.marks.announce(job):\n",
        "            if is_new := self.marks.announce(job) or True:\n",
        ["test_celery.py::test_what_was_published_is_not_published_again"],
    ),
    Mutant(
        "delete what is moved before it is published",
        MOVE,
        "            for job in jobs:\n",
        "            writer.run(store.delete_owned, owner.name)\n            for job in jobs:\n",
        ["test_move.py::test_a_mover_that_dies_before_it_publishes_has_lost_nothing"],
    ),
    Mutant(
        "move under another id",
        MOVE,
        "            for job in jobs:\n",
        "            for job in jobs:\n                job.id += 'x'\n",
        ["test_move.py::test_what_waits_is_moved_with_its_attempts_and_what_is_due_too_late_stays"],
    ),
    Mutant(
        "leave a dead mover's jobs with it",
        MOVE,
        "        for row in writer.read(store.counts):",
        "        for row in ():",
        ["test_move.py::test_what_waits_is_moved_with_its_attempts_and_what_is_due_too_late_stays"],
    ),
]
