"""Two workers of a Ray cluster on this machine take six small trials of the queue; one is killed in the middle of its trial.

Another worker must go on with it from its checkpoint. Needs the extra `ray`; a minute on two quiet cores, three on busy ones.

Ray gives the agent beside its scheduler 15 seconds to write down which ports it found, and no setting changes that
(ray-project/ray, issue 65983). So the cluster is started by `ray start` with ports that are chosen here, for then it does
not wait; the other limits that a busy machine exceeds are raised by SLOW.
"""
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np

from twostage_kd.app import queue
from twostage_kd.engine.records import form_key, save_training

STEPS = 8  # of a trial
START_SECONDS = 300  # that the cluster may take to start
SLOW = dict(  # Ray's limits; its own are 60 s, 30 s, 5 failures and 30 s
    RAY_worker_register_timeout_seconds="600", RAY_agent_register_timeout_ms="600000",
    RAY_health_check_failure_threshold="100", RAY_gcs_server_port_wait_time_s="300")
OURS = dict(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32), RAY_USAGE_STATS_ENABLED="0")  # nobody else may join


def small(trial, root: Path, results: Path) -> bool:
    """Stands in for `take`: steps with a checkpoint after each; notes who takes them."""
    place = root / "study" / f"{trial.name}.step"
    for step in range(int(place.read_text()) if place.exists() else 0, STEPS):
        time.sleep(0.1)
        place.write_text(f"{step + 1}")
        with open(root / "study" / "steps.log", "a") as log:
            log.write(json.dumps([trial.name, step, os.getpid()]) + "\n")
    facts = dict(purpose=trial.purpose, pair=trial.pair, method=trial.method, epochs=trial.epochs, seed=trial.seed,
                 data="cifar100", cue=None, rho=None, teacher_rho=None, settings=dict(trial.settings), history=[])
    students = [dict(form=form, finetune_epochs=0, validation=0.5) for form in trial.forms]
    answers = {f"{form_key(form)}/validation/class": np.zeros((3, 1), np.uint8) for form in trial.forms}
    save_training(results / trial.folder, trial.name, facts, students, answers)
    return True


def steps_of(log: Path) -> list[list]:
    """[name, step, worker] of all steps so far."""
    return [json.loads(line) for line in log.read_text().splitlines(True) if line.endswith("\n")] if log.exists() else []


def kill_one(log: Path) -> None:
    """Kill the worker that first has done three steps of a trial."""
    while not (begun := [worker for _, step, worker in steps_of(log) if step == 2]):
        time.sleep(0.02)
    os.kill(begun[0], signal.SIGKILL)
    print(f"killed worker {begun[0]}", flush=True)


def free_ports(n: int) -> list[int]:
    """Ports that nobody listens to."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def cluster(folder: Path):
    """The address of a Ray cluster with two workers, which ends with the block."""
    names = ("port", "dashboard-agent-grpc-port", "dashboard-agent-listen-port", "metrics-export-port", "runtime-env-agent-port")
    ports = dict(zip(names, free_ports(len(names))))
    words = ["--head", "--block", "--num-cpus", "2", "--include-dashboard", "false", "--disable-usage-stats",
             "--temp-dir", str(folder / "ray"), *(word for name, port in ports.items() for word in (f"--{name}", str(port)))]
    os.environ.update(SLOW | OURS)
    with open(folder / "ray.log", "w") as log:
        process = subprocess.Popen([sys.executable, "-m", "ray.scripts.scripts", "start", *words], stdout=log, stderr=log)
        try:
            address, end = f"127.0.0.1:{ports['port']}", time.monotonic() + START_SECONDS
            while not joined(address):
                if process.poll() is not None or time.monotonic() > end:
                    sys.exit(f"FAILED: the cluster did not start:\n{(folder / 'ray.log').read_text()}")
                time.sleep(1)
            yield address
        finally:
            process.terminate()
            process.wait(60)


def joined(address: str) -> bool:
    """Whether this process could join the cluster."""
    with contextlib.suppress(OSError), socket.create_connection(tuple(address.split(":")), 5):
        with contextlib.suppress(ValueError):
            queue.join_cluster(address)
            return True
    return False


def main() -> None:
    """All of it, in a temporary directory."""
    with tempfile.TemporaryDirectory() as folder, cluster(Path(folder)) as address:
        root, log = Path(folder), Path(folder) / "study/steps.log"
        six = [row for row in queue.rows({}) if row.trial.purpose == "check"][:6]
        for row in six:
            queue.teacher_folder(row.trial, root).mkdir(parents=True, exist_ok=True)
            (queue.teacher_folder(row.trial, root) / "teacher.safetensors").touch()
        print(f"the cluster at {address} has started after {time.perf_counter() - START:.0f} s", flush=True)
        threading.Thread(target=kill_one, args=(log,), daemon=True).start()
        with patch.object(queue, "rows", lambda done: six):
            queue.hand_out(root, root / "results", address, small, wait=1)
            assert queue.left(root / "results") == []
        steps = steps_of(log)
        workers = {name: {worker for n, _, worker in steps if n == name} for name, _, _ in steps}
        moved = [name for name, by in workers.items() if len(by) == 2]
        if len(workers) != 6 or len(moved) != 1 or len(steps) > 6 * STEPS + 1:
            sys.exit(f"FAILED: {len(steps)} steps by {workers}")
        print(f"{len(steps)} steps of 6 trials by {len({w for _, _, w in steps})} workers; {moved[0]} was begun by one "
              "and ended by another from its checkpoint")


START = time.perf_counter()
if __name__ == "__main__":
    main()
