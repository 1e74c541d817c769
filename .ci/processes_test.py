"""Several processes against one: the same losses and gradients, one writer, a killed one, and another number of them.

With batch norm frozen, two processes with half a batch each must have one process' losses and gradients to 1e-5 over 20
steps of every training that `run` and the study know. Their students have a smooth function in ReLU's place: rounding
flips a ReLU now and then, after which one process differs from itself by 1e-4 if a weight was changed by 1e-7.
With batch norm by each part the difference is printed. Then `torchrun ... twostage-kd run` is killed in phase 1, must end
within a minute, and one process goes on from its checkpoint. About three minutes on two cores.
"""
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAININGS = """
import sys
from pathlib import Path
import torch
from twostage_kd.baselines import BaselineConfig, one_stage
from twostage_kd.data import shapes
from twostage_kd.engine import training
from twostage_kd.engine.processes import average, join_processes, processes
from twostage_kd.phase1 import Phase1Config, align
from twostage_kd.phase2 import Phase2Config, adam_classifier, finetune, last_features
from twostage_kd.data import Batches
from twostage_kd.resnet import resnet8
from twostage_kd.teacher import TeacherCache

join_processes()
folder, steps = Path(sys.argv[1]), []
taken = training.training_step

def noted(model, *rest):
    "A step whose loss and gradients, of the whole batch, are kept."
    loss = taken(model, *rest)
    mean = loss.clone()
    average([mean])
    steps.append((mean, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])))
    return loss

training.training_step = noted
train, validation = shapes(16), shapes(2, seed=1)      # 20 batches of 16
widths, g = (12, 10, 20), torch.Generator().manual_seed(0)

def answers(views, n):
    return TeacherCache(torch.randn(views, n, sum(widths), generator=g).half(), widths)

cache = answers(2, len(train))
cache.validation = answers(1, len(validation))
data, banks = (train, validation), dict(negatives=64)

def student(frozen):
    "A student, always the same; its batch norm frozen or not."
    torch.manual_seed(0)
    model = resnet8(20)
    for m in list(model.modules()):
        if frozen and isinstance(m, torch.nn.BatchNorm2d):
            m.training, m.train = False, lambda mode=True, m=m: m
        for name, child in m.named_children():
            if isinstance(child, torch.nn.ReLU):
                setattr(m, name, torch.nn.Softplus(4))
    return model

def tune(model, run):
    return finetune(model, cache, data, Phase2Config(1, batch_size=16, finetune_lr=1e-3), run)

def adam(model, run):
    features = last_features(model, Batches(train, views=2), 2)
    held_out = last_features(model, Batches(validation), 1)[0]
    return adam_classifier(model, features, held_out, cache, data, Phase2Config(1, 1, 16), run)

def phase1(**more):
    return lambda model, run: align(model, cache, data, Phase1Config(1, 16, **more), run)

KINDS = {
    "phase 1, momentum banks": phase1(**banks),
    "phase 1, NCE": phase1(objective="nce", **banks),
    "phase 1, negatives of the batch": phase1(negatives="batch"),
    "phase 1, table": phase1(bank="table", **banks),
    "phase 1, regression": phase1(objective="regression"),
    "one stage, CRD + KD": lambda model, run: one_stage(
        model, cache, data, BaselineConfig(1, 16, crd_weight=0.8, views=2), run, Phase1Config(**banks)),
    "phase 2, Adam": adam,
    "phase 2, fine-tuning": tune,
}
BY_PART = ("phase 1, momentum banks", "one stage, CRD + KD", "phase 2, fine-tuning")   # batch norm
out = {}
for frozen in (True, False):
    for name, train_it in KINDS.items():
        if not frozen and name not in BY_PART:
            continue
        steps.clear()
        train_it(student(frozen), training.Run(folder / f"{name}-{frozen}", {}))
        out[name, frozen] = list(steps)
if processes()[0] == 0:
    torch.save(out, folder / "steps.pt")
"""
COMMAND = "from twostage_kd.app.cli import main\nmain()\n"
WORDS = "run --per-class 40 --views 1 --teacher-epochs 1 --epochs 12 --finetune-epochs 1 --out".split()


def torchrun(size: int, script: Path, *words) -> list[str]:
    """The command for so many processes; for one, without torchrun."""
    many = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(size)]
    return [sys.executable, *(many if size > 1 else []), str(script), *map(str, words)]


def say(text: str) -> None:
    """A line with the seconds."""
    print(f"{time.perf_counter() - START:4.0f} s: {text}", flush=True)


def compare(folder: Path) -> None:
    """All trainings in one process and in two."""
    import torch
    script = folder / "trainings.py"
    script.write_text(TRAININGS)
    found = {}
    for size in (1, 2):
        (folder / f"{size}").mkdir()
        subprocess.run(torchrun(size, script, folder / f"{size}"), check=True, stdout=subprocess.DEVNULL,
                       env=os.environ | dict(TWOSTAGE_KD_PRECISION="float32", TWOSTAGE_KD_DEVICE="cpu", OMP_NUM_THREADS="1"))
        found[size] = torch.load(folder / f"{size}/steps.pt")
        histories = [p.read_text().splitlines() for p in (folder / f"{size}").rglob("history.jsonl")]
        assert histories and all(len(lines) == 1 for lines in histories), "an epoch was written twice"
    wrong = []
    for (name, frozen), ones in found[1].items():
        twos = found[2][name, frozen]
        assert len(ones) == len(twos) == 20, (name, len(ones), len(twos))
        losses = max(abs(float(a - b)) for (a, _), (b, _) in zip(ones, twos))
        gradients = max(float((a - b).abs().max()) for (_, a), (_, b) in zip(ones, twos))
        largest = max(float(a.abs().max()) for _, a in ones)
        if not frozen:
            means = [sum(float(loss) for loss, _ in steps) / 20 for steps in (ones, twos)]
            first = float((ones[0][1] - twos[0][1]).norm() / ones[0][1].norm())
            say(f"{name}, batch norm by part: mean loss of 20 steps {means[0]:.3f} with one, {means[1]:.3f} with two; "
                f"the first gradient differs by {first:.1%} of its norm")
            continue
        say(f"{name}: over 20 steps losses differ by up to {losses:.1e}, gradients by up to {gradients:.1e} of {largest:.1e}")
        if losses > 1e-5 or gradients > 1e-5 * max(1, largest):
            wrong.append(name)
    if wrong:
        sys.exit(f"FAILED: two processes differ from one in {', '.join(wrong)}.")


def kill_one(folder: Path) -> None:
    """A run of two processes, one of them killed in phase 1; then one process goes on."""
    import psutil
    script, out = folder / "run.py", folder / "run"
    script.write_text(COMMAND)
    process = subprocess.Popen(torchrun(2, script, *WORDS, out), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while process.poll() is None and not (out / "phase1.checkpoint").exists():
        time.sleep(0.05)
    workers = [p for p in psutil.Process(process.pid).children() if str(script) in p.cmdline()]
    if process.poll() is not None or len(workers) != 2:
        sys.exit(f"FAILED: the run ended before it could be killed, or has {len(workers)} workers:\n{process.communicate()[0]}")
    start = time.perf_counter()
    workers[1].send_signal(signal.SIGKILL)
    said = process.communicate(timeout=60)[0]
    seconds = time.perf_counter() - start
    say(f"one of two workers killed in phase 1: torchrun ended after {seconds:.1f} s with exit code {process.returncode}")
    print("".join(f"    {line}\n" for line in said.splitlines() if line.startswith("twostage-kd:") or "SIGKILL" in line), end="")
    if process.returncode == 0 or any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in workers):
        sys.exit("FAILED: a worker was killed, but the run did not end.")
    done = subprocess.run(torchrun(1, script, *WORDS, out), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode or not (out / "report.html").exists():
        sys.exit(f"FAILED: one process did not go on:\n{done.stdout}")
    lines = (out / "history.jsonl").read_text()
    for epoch in range(12):
        assert lines.count(f'"stage": "phase1", "epoch": {epoch},') == 1, f"epoch {epoch} of phase 1"
    left = [p.name for p in out.rglob("*") if ".part" in p.name or ".checkpoint" in p.name]
    if left:
        sys.exit(f"FAILED: {', '.join(left)} left behind.")
    say("one process went on from their checkpoint to the report; every epoch is in the history once")


def main() -> None:
    """Both, in a temporary directory."""
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder))
        kill_one(Path(folder))


START = time.perf_counter()
if __name__ == "__main__":
    main()
