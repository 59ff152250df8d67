"""Running programs. A failure names the command and shows what it printed."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PATIENCE = float(os.environ.get("TCNAT_TEST_PATIENCE", "1"))
"""What every time-out here is multiplied by; slow machines (an emulator) set it."""


class CommandFailed(Exception):
    """A program ended with a status that is not 0, or did not end in time."""


def run(args: Sequence[str | Path], *, text: str | None = None, check: bool = True, timeout: float = 60) -> str:
    """Run a program to its end and return its standard output. With ``check``, a status other than 0 raises
    CommandFailed."""
    words = [str(arg) for arg in args]
    try:
        done = subprocess.run(
            words, input=text, capture_output=True, text=True, errors="replace", timeout=timeout * PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{shlex.join(words)}: not done after {timeout * PATIENCE:g} s") from error
    if check and done.returncode != 0:
        raise CommandFailed(f"{shlex.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def wait_until(condition: Callable[[], object], what: str, timeout: float = 10, every: float = 0.01) -> None:
    """Ask ``condition`` again and again until it is true; TimeoutError naming ``what`` when it stays false."""
    end = time.monotonic() + timeout * PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout * PATIENCE:g} s in vain for {what}")
        time.sleep(every)


class Program:
    """A program that runs in the background, in a session of its own, so that Ctrl-C reaches only the one who
    started it.

    What it prints goes to the file ``log``.
    """

    def __init__(self, args: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.args = [str(arg) for arg in args]
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.args,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=None if environment is None else {**os.environ, **environment},
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def output(self) -> str:
        """All that it printed so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, condition: Callable[[], object], what: str, timeout: float = 10, every: float = 0.01) -> None:
        """Wait until the condition is true; CommandFailed with what the program printed when it ends before that."""

        def met() -> bool:
            if condition():
                return True
            if not self.running:
                raise CommandFailed(
                    f"{shlex.join(self.args)}: status {self._process.returncode}\n{self.output()}".rstrip()
                )
            return False

        wait_until(met, f"{what}; so far {shlex.join(self.args)} said:\n{self.output()}", timeout, every)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.running:
            self._process.send_signal(number)

    def wait(self, timeout: float = 10) -> int:
        """Wait for its end; its exit status."""
        return self._process.wait(timeout * PATIENCE)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 5) -> int:
        """Ask it to end, and kill it when it does not; its exit status."""
        self.send(number)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
