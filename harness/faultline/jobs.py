"""Running independent jobs in parallel, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from .lifeline import die_with

Job = TypeVar("Job")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Started(Generic[Job]):
    """A job has begun, or says what it does."""

    job: Job
    words: str = ""


@dataclass(frozen=True)
class Finished(Generic[Job]):
    """A job has ended: with a result, or with what went wrong."""

    job: Job
    result: Any
    problem: str = ""


def run_jobs(
    jobs: Sequence[Job],
    work: Callable[[Job, Say], Any],
    limit: int,
    then: Callable[[Finished[Job]], Sequence[Job]] = lambda finished: (),
) -> Iterator[Started[Job] | Finished[Job]]:
    """Run `work` on each job, at most `limit` at a time; yield what happens as it happens.

    `then` returns the jobs that follow from one that has ended; they are the next to run.
    Leaving the iteration early kills the workers that still run. A worker that crashes is
    that job's problem only.
    """
    context = multiprocessing.get_context("fork")
    waiting = deque(jobs)
    running: dict[Connection, tuple[Job, BaseProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < limit:
                job = waiting.popleft()
                ours, theirs = context.Pipe()
                process: BaseProcess = context.Process(
                    target=_worker, args=(job, work, theirs, os.getpid()), daemon=False
                )
                process.start()
                theirs.close()
                running[ours] = job, process
                yield Started(job)
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                job, worker = running[ready]
                event = _receive(ready, job, worker)
                if isinstance(event, Finished):
                    del running[ready]
                    ready.close()
                    worker.join()
                    waiting.extendleft(reversed(then(event)))
                yield event
    finally:
        for connection, (_, process) in running.items():
            process.kill()
            process.join()
            connection.close()


def _receive(
    connection: Connection, job: Job, process: BaseProcess
) -> Started[Job] | Finished[Job]:
    try:
        kind, value = connection.recv()
    except (EOFError, OSError, pickle.UnpicklingError):
        process.join()
        return Finished(job, None, f"its worker died (exit status {process.exitcode})")
    if kind == "say":
        return Started(job, value)
    return Finished(job, value) if kind == "result" else Finished(job, None, value)


def _worker(job: Job, work: Callable[[Job, Say], Any], out: Connection, parent: int) -> None:
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        out.send(("result", work(job, lambda words: out.send(("say", words)))))
    except Exception:
        out.send(("problem", traceback.format_exc()))


