"""Two workers of a local Ray cluster take six small trials of the queue; one worker is killed in the middle of its trial.

Another worker must go on with it from its checkpoint. Needs the extra `ray`; about a minute on two cores. Ray gives its
own processes 15 seconds to start, so a machine that is busy with other work can fail here.
"""
import json
import os
import signal
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


def main() -> None:
    """All of it, in a temporary directory."""
    with tempfile.TemporaryDirectory() as folder:
        root, log = Path(folder), Path(folder) / "study/steps.log"
        six = [row for row in queue.rows({}) if row.trial.purpose == "check"][:6]
        for row in six:
            queue.teacher_folder(row.trial, root).mkdir(parents=True, exist_ok=True)
            (queue.teacher_folder(row.trial, root) / "teacher.safetensors").touch()
        threading.Thread(target=kill_one, args=(log,), daemon=True).start()
        with patch.object(queue, "rows", lambda done: six):
            queue.hand_out(root, root / "results", "local", small, wait=1)
            assert queue.left(root / "results") == []
        steps = steps_of(log)
        workers = {name: {worker for n, _, worker in steps if n == name} for name, _, _ in steps}
        moved = [name for name, by in workers.items() if len(by) == 2]
        if len(workers) != 6 or len(moved) != 1 or len(steps) > 6 * STEPS + 1:
            sys.exit(f"FAILED: {len(steps)} steps by {workers}")
        print(f"{len(steps)} steps of 6 trials by {len({w for _, _, w in steps})} workers; {moved[0]} was begun by one "
              "and ended by another from its checkpoint")


if __name__ == "__main__":
    main()
