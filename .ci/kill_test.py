"""Kill `twostage-kd run` in every stage, repeat it each time, and compare the weights with those of a run never killed.

Then cut a checkpoint in half: it must be named, and the one before it used. About three minutes on two cores.
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = [sys.executable, "-c", "from twostage_kd.app.cli import main; main()", "run",
           *"--per-class 100 --views 8 --teacher-epochs 2 --epochs 3 --finetune-epochs 2 --out".split()]


def asked(out: Path) -> bool:
    """Whether the teacher has answered some views, but not all."""
    try:
        return 0 < json.loads((out / "teacher/train-8views-seed0.cache.json").read_text())["done"] < 24
    except (OSError, ValueError):
        return False


MOMENTS = {  # stage: it has begun, and something of it is on the disk
    "the teacher's training": lambda out: (out / "teacher/teacher.checkpoint").exists(),
    "the caching": asked,
    "phase 1": lambda out: (out / "phase1.checkpoint").exists(),
    "phase 2": lambda out: (out / "phase2-finetuned.checkpoint").exists(),
}


def weights(out: Path) -> dict[str, str]:
    """SHA-256 of every file of weights."""
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.rglob("*.safetensors"))}


def finish(out: Path) -> str:
    """Run to the end; what it said on standard error."""
    done = subprocess.run([*COMMAND, out], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"FAILED: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stderr


def kill(out: Path, stage: str, moment) -> None:
    """Run until `moment`, then kill -9."""
    process = subprocess.Popen([*COMMAND, out], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not moment(out):
        time.sleep(0.01)
    if process.poll() is not None:
        sys.exit(f"FAILED: the run ended with {process.returncode} before it could be killed in {stage}.")
    process.kill()
    process.wait()
    left = sorted(p.name for p in out.rglob("*") if p.suffix in (".checkpoint", ".safetensors", ".cache"))
    print(f"{time.perf_counter() - START:4.0f} s: killed in {stage}; on the disk: {', '.join(left)}", flush=True)


def check(out: Path, expected: dict[str, str], what: str) -> None:
    """Stop unless the weights are the expected ones."""
    found = weights(out)
    wrong = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    if wrong:
        sys.exit(f"FAILED: after {what}, {', '.join(sorted(wrong))} differ from those of a run never killed.")
    print(f"{time.perf_counter() - START:4.0f} s: after {what}, {len(expected)} files of weights are the same, bit for bit", flush=True)


def main() -> None:
    """All of it, in a temporary directory."""
    with tempfile.TemporaryDirectory() as folder:
        whole, killed, cut = (Path(folder) / name for name in ("whole", "killed", "cut"))
        finish(whole)
        expected = weights(whole)
        if len(expected) != 6:
            sys.exit(f"FAILED: {sorted(expected)} are not the six files of weights of a run.")
        print(f"{time.perf_counter() - START:4.0f} s: a run never killed", flush=True)

        for stage, moment in MOMENTS.items():
            kill(killed, stage, moment)
        finish(killed)
        check(killed, expected, f"{len(MOMENTS)} kills")

        shutil.copytree(whole / "teacher", cut / "teacher")
        kill(cut, "phase 1, its second checkpoint written", lambda out: (out / "phase1.checkpoint.previous").exists() and (out / "phase1.checkpoint").exists())
        checkpoint = cut / "phase1.checkpoint"
        os.truncate(checkpoint, checkpoint.stat().st_size // 2)
        said = finish(cut)
        if "phase1.checkpoint is damaged" not in said:
            sys.exit(f"FAILED: the damaged checkpoint is not named:\n{said}")
        print("  " + next(line for line in said.splitlines() if "damaged" in line))
        check(cut, expected, "a truncated checkpoint")


START = time.perf_counter()
if __name__ == "__main__":
    main()
