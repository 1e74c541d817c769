"""A small `twostage-kd run` in forked processes, which need not import torch again: what kill_test.py and damage_test.py do things to.

Only the probe of this machine's speed, the drawing of report.html and most of the test images are left out.
"""
import encodings.cp437  # noqa: F401  (of zip archives; a process without rights cannot import it)
import hashlib
import multiprocessing.synchronize  # noqa: F401
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import scipy.optimize  # noqa: F401  (all that a run imports, once and before the forks)
import torch

from twostage_kd import data, phase1, phase2, statistics, teacher  # noqa: F401
from twostage_kd.app import cli, released, report  # noqa: F401

SIZE = "--pair resnet8/resnet8 --per-class 10 --views 2 --teacher-epochs 2 --epochs 3 --finetune-epochs 2"
FULL = os.environ.get("TWOSTAGE_KD_FULL", "") not in ("", "0")  # the counts of an acceptance, not of CI


def words(out: Path, *more: str) -> list[str]:
    """The run's command, with its directory."""
    return ["run", *SIZE.split(), *more, "--out", str(out)]


class Child:
    """A forked process that performs a command of `twostage-kd`, or a function before it."""
    def __init__(self, command: list[str], before: Callable = lambda: None):
        self.said = [tempfile.TemporaryFile("w+") for _ in range(2)]
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            for stream, file in enumerate(self.said, 1):
                os.dup2(file.fileno(), stream)
            os._exit(perform(command, before))

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, unless it has ended."""
        if not self.ended():
            os.kill(self.pid, number)

    def ended(self) -> bool:
        """Whether it has ended."""
        if self.pid and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        return True

    def wait(self) -> tuple[int, str, str]:
        """Its exit code (below 0: a signal's number), standard output and standard error."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        texts = []
        for file in self.said:
            file.seek(0)
            texts.append(file.read())
            file.close()
        return code, *texts


def perform(command: list[str], before: Callable) -> int:
    """In the child: the command's exit code."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would a child
    cli.measure = lambda *given: cli.Speeds(0.01, 0.01, 0.01, 0.01)
    report.report_page = lambda results: "<p>no drawing</p>"
    data.DRAWN["shapes"] = data.shapes, 500, 5   # images a class to test on
    code = 1
    try:
        before()
        cli.main(command)
        code = 0
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def ran(command: list[str], before: Callable = lambda: None) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command that is left alone."""
    return Child(command, before).wait()


def weights(out: Path) -> dict[str, str]:
    """SHA-256 of every file of weights."""
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.rglob("*.safetensors"))}


def check(good: bool, what: str) -> None:
    """Stop unless it is so."""
    if not good:
        sys.exit(f"FAILED: {what}")


def sentence(err: str) -> str:
    """The last line of standard error, which must be no traceback."""
    check("Traceback" not in err, err)
    return err.strip().splitlines()[-1] if err.strip() else ""


def say(text: str) -> None:
    """A line with the seconds since the start."""
    print(f"{time.perf_counter() - START:4.0f} s: {text}", flush=True)


START = time.perf_counter()
