"""A worker process: it reads block numbers on standard input and writes blocks to standard output.

When its parent ends, even killed, its input is closed and it exits.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from gpuhours.inputs.errors import EstimateError

Work = Callable[[Any], Any]
"""A function from block number to block."""
Answer = tuple[Any, Any]
"""A number and its block."""
AHEAD = 3
"""Blocks queued per worker beyond the current one: keeps workers busy with little memory."""


class Worker:
    """The parent's side of one worker process."""

    def __init__(self, work: Work) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from gpuhours.questions.sweeping.workers import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self._send(work)

    def __call__(self, number: Any) -> Any:
        """Compute one block; waits for it."""
        self._send(number)
        assert self.process.stdout is not None
        try:
            good, answer = pickle.load(self.process.stdout)
        except EOFError:
            raise EstimateError(
                f"A working process ended (exit code {self.process.wait()}).",
                "It may have run out of memory; continue with --resume.",
            ) from None
        if not good:
            raise answer
        return answer

    def stop(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _send(self, message: Any) -> None:
        assert self.process.stdin is not None
        try:
            pickle.dump(message, self.process.stdin)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the missing answer reports it


def serve() -> None:
    """The worker's side: receives the function first, then one block number after another until its input is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        work = pickle.load(sys.stdin.buffer)
    except (EOFError, pickle.UnpicklingError):
        return  # the parent ended before sending the work
    while True:
        try:
            number = pickle.load(sys.stdin.buffer)
        except (EOFError, pickle.UnpicklingError):
            return
        try:
            answer = True, work(number)
        except EstimateError as error:
            answer = False, error
        try:
            pickle.dump(answer, answers)
            answers.flush()
        except BrokenPipeError:
            os._exit(1)  # the parent is gone
