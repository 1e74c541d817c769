"""Kill `twostage-kd run` in many places, repeat it each time, and compare all weights with those of a run never killed.

Half of the kills come at a random moment, half of them right before a random one of the run's own file operations: a file
opened for writing, renamed or removed. Each goes on with what the last one left; a run that comes to its end is compared and
begun anew. Then both phase-1 checkpoints are damaged, one after the other: each is named, and the weights stay the same.
`python .ci/kill_test.py [--kills N]`: N is 8, or 100 if TWOSTAGE_KD_FULL is 1.
"""
import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from small_run import FULL, Child, check, ran, say, sentence, weights, words

KILLED = -signal.SIGKILL


def changes_a_file(event: str, given: tuple, folder: str) -> bool:
    """Whether an audit event of Python opens a file of this folder for writing, renames it or removes it."""
    if event not in ("open", "os.rename", "os.remove") or not str(given[0]).startswith(folder):
        return False
    return event != "open" or bool(given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def count_to(last: int, folder: Path, tally: int | None = None):
    """A function that makes its process kill itself before the last-th operation in a folder; tally: a file to which each adds a byte."""
    seen = []

    def hook(event: str, given: tuple) -> None:
        if changes_a_file(event, given, str(folder)):
            seen.append(event)
            if tally:
                os.write(tally, b".")
            if len(seen) == last:
                os.kill(os.getpid(), signal.SIGKILL)

    return lambda: sys.addaudithook(hook)


def whole_run(folder: Path) -> tuple[dict[str, str], float, int]:
    """A run never killed: its weights, seconds and file operations."""
    tally = os.open(folder / "tally", os.O_WRONLY | os.O_CREAT)
    start = time.perf_counter()
    code, _, err = ran(words(folder / "whole"), count_to(0, folder / "whole", tally))
    check(code == 0, err)
    seconds, operations = time.perf_counter() - start, os.fstat(tally).st_size
    found = weights(folder / "whole")
    check(len(found) == 6, f"{sorted(found)} are not the six files of weights of a run")
    say(f"a run never killed: {operations} file operations in {seconds:.1f} s")
    return found, seconds, operations


def same(out: Path, expected: dict[str, str], what: str) -> None:
    """Stop unless the weights are the expected ones and nothing is left half done."""
    found = weights(out)
    wrong = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    check(not wrong, f"after {what}, {', '.join(sorted(wrong))} differ from those of a run never killed")
    left = [p.name for p in out.rglob("*") if ".part" in p.name or ".checkpoint" in p.name]
    check(not left, f"after {what}, {', '.join(left)} are left behind")


def finish(out: Path, expected: dict[str, str], what: str) -> str:
    """Run to the end, compare and remove it; what the command said on standard error."""
    code, _, err = ran(words(out))
    check(code == 0, f"after {what}: {code} {err}")
    same(out, expected, what)
    shutil.rmtree(out)
    return err


def killed_once(out: Path, chance: random.Random, seconds: float, operations: int) -> tuple[int, str]:
    """One kill, within half of a whole run, if this one has not come to its end before."""
    if chance.random() < 0.5:
        return ran(words(out), count_to(chance.randint(1, operations // 2), out))[::2]
    child = Child(words(out))
    time.sleep(chance.random() * seconds / 2)
    child.kill()
    return child.wait()[::2]


def kills(folder: Path, times: int, whole: tuple) -> None:
    """So many kills, and the weights of each run that came to its end."""
    expected, seconds, operations = whole
    out, chance, done, runs, places = folder / "killed", random.Random(1), 0, 0, {}
    while done < times:
        code, err = killed_once(out, chance, seconds, operations)
        check(code in (0, KILLED), f"after {done} kills: {code} {err}")
        if code == 0:
            same(out, expected, f"{done} kills")
            shutil.rmtree(out)
            runs += 1
        else:
            done += 1
            place = stage(out)
            places[place] = places.get(place, 0) + 1
            if done % 20 == 0:
                say(f"{done} kills, {runs} runs to their end")
    finish(out, expected, f"{done} kills")
    where = ", ".join(f"{n} in {place}" for place, n in places.items())
    say(f"{done} of {done} kills survived ({where}): in all {runs + 1} runs the same weights, bit for bit")


def stage(out: Path) -> str:
    """What a killed run was at, by its files."""
    for name, file in (("phase 2", "phase1.safetensors"), ("phase 1", "teacher/validation.cache.json"),
                       ("the caching", "teacher/teacher.safetensors"), ("the teacher's training", "teacher/config.json")):
        if (out / file).exists():
            return "the results" if (out / "phase2-finetuned.safetensors").exists() else name
    return "the start"


def damaged(folder: Path, expected: dict[str, str]) -> None:
    """The newest checkpoint of phase 1, then the one before it as well, is cut or flipped."""
    out = folder / "cut"
    for names in (["phase1.checkpoint"], ["phase1.checkpoint", "phase1.checkpoint.previous"]):
        child = Child(words(out))
        while not child.ended() and not ((out / "phase1.checkpoint.previous").exists() and (out / "phase1.checkpoint").exists()):
            time.sleep(0.002)
        child.kill()
        check(child.wait()[0] == KILLED, "the run ended before it could be killed in phase 1")
        for name in names:
            data = bytearray((out / name).read_bytes())
            data[len(data) // 2] ^= 1
            (out / name).write_bytes(data if len(names) > 1 else data[:len(data) // 2])
        said = finish(out, expected, f"damage to {' and '.join(names)}")
        for name in names:
            check(f"{name} is damaged" in said, f"{name} is not named:\n{said}")
        say(f"{' and '.join(names)} damaged: named, the same weights. {sentence(said).replace(str(folder), 'OUT')}")


def main() -> None:
    """All of it, in a temporary directory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100 if FULL else 8)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = whole_run(folder)
        kills(folder, asked.kills, whole)
        damaged(folder, whole[0])


if __name__ == "__main__":
    main()
