"""A process that works out blocks: it is told a number on its standard input and answers on its standard output.

When whoever started it is gone, even killed, its input ends and so does it.
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
"""What makes a block out of its number."""
Answer = tuple[Any, Any]
"""A number and its block."""
AHEAD = 3
"""Blocks handed out per worker beyond the one it works on: keeps them busy, keeps memory flat."""


class Worker:
    """The near end of one process."""

    def __init__(self, work: Work) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from gpuhours.questions.sweeping.workers import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self._say(work)

    def __call__(self, number: Any) -> Any:
        """Have one block worked out; blocks until it is."""
        self._say(number)
        assert self.process.stdout is not None
        try:
            good, answer = pickle.load(self.process.stdout)
        except EOFError:
            raise EstimateError(
                f"A working process ended (exit code {self.process.wait()}).",
                "Too little memory? Try again with --resume.",
            ) from None
        if not good:
            raise answer
        return answer

    def stop(self) -> None:
        """End it, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _say(self, message: Any) -> None:
        assert self.process.stdin is not None
        try:
            pickle.dump(message, self.process.stdin)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer that does not come says so


def serve() -> None:
    """The far end: the work first, then one number after another until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the near end's business
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        work = pickle.load(sys.stdin.buffer)
    except (EOFError, pickle.UnpicklingError):
        return  # the near end has gone before it said what to do
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
            os._exit(1)  # nobody listens any more
