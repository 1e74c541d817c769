"""Damage, doubles and stops: `python .ci/damage_test.py [--kills 3] [--starts 3] [--flips 2]`.

A small run is made once. Then every finished file of it is flipped, cut, emptied and removed, and the run's command must
name the file, mend it, or come to the same weights. The command is started twice at once: one run wins, the other is refused.
It is killed at random moments: the weights stay the same. SIGTERM and Ctrl-C get one sentence. A full disk and a folder that
can only be read are tried where this process is allowed to make them. A few minutes on a quiet core; CI uses small counts.
"""
import argparse
import contextlib
import hashlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

START = "from twostage_kd.app.start import main; main()"
SIZE = "--per-class 20 --views 2 --teacher-epochs 1 --epochs 1 --finetune-epochs 1".split()
KINDS = (".safetensors", ".cache", ".json", ".jsonl", ".npz")


def command(out: Path, *more) -> list[str]:
    """The run's command, with its directory."""
    return [sys.executable, "-c", START, "run", *SIZE, *more, "--out", str(out)]


def start(words: list[str]) -> subprocess.Popen:
    """Begin a command."""
    return subprocess.Popen(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"})


def said(process: subprocess.Popen) -> tuple[int, str, str]:
    """Its exit code, standard output and standard error."""
    out, err = process.communicate()
    return process.returncode, out, err


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


def changes(flips: int, chance: random.Random) -> dict:
    """What is done to a file's bytes; None removes it."""
    def flip(data: bytes) -> bytes:
        place = chance.randrange(len(data))
        return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1:]

    return {f"flip {n + 1}": flip for n in range(flips)} | {"cut": lambda data: data[:len(data) // 2], "empty": lambda data: b"", "removed": None}


def here(out: Path) -> tuple[int, str]:
    """The run's command in this process, without measuring speeds and drawing the report: its exit code and standard error."""
    from twostage_kd.app import cli, report
    cli.measure = lambda *given: cli.Speeds(1e-4, 1e-4, 1e-4, 1e-4)
    report.report_page = lambda results: ""
    err = io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
            cli.main(["run", *SIZE, "--out", str(out)])
    except SystemExit as stopped:
        return stopped.code, err.getvalue()
    return 0, err.getvalue()


def damage(whole: Path, folder: Path, flips: int) -> None:
    """Every finished file, damaged in every way."""
    expected, chance = weights(whole), random.Random(0)
    named = mended = same = 0
    for file in sorted(p.relative_to(whole) for p in whole.rglob("*") if p.suffix in KINDS):
        for what, change in changes(flips, chance).items():
            out = folder / "damaged"
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(whole, out)
            if "report" not in file.name and file.suffix not in (".npz", ".jsonl"):
                (out / "report.json").unlink()            # so that the run is gone through again
            data = (out / file).read_bytes()
            if change is None:
                (out / file).unlink()
            elif change(data) != data:
                (out / file).write_bytes(change(data))
            code, err = here(out)
            last = sentence(err)
            if code:
                check(code == 2 and (file.name in last or out.name in last), f"{file}, {what}: {code} {last}")
                named += 1
                print(f"  {file}, {what}: {last.replace(str(folder), 'OUT')[:150]}", flush=True)
            elif file.name in err:
                mended += 1
            else:
                same += 1
            check(code or weights(out) == expected, f"{file}, {what}: other weights")
    print(f"{named + mended + same} damaged files: {named} refused by name, {mended} mended with a warning, {same} made again; the weights never others", flush=True)


def doubles(expected: dict, folder: Path, times: int) -> None:
    """The same command twice at once."""
    refused = 0
    for n in range(times):
        out = folder / f"double{n}"
        pair = [start(command(out))]
        time.sleep(random.Random(n).random() * 3)
        pair.append(start(command(out)))
        ends = [said(process) for process in pair]
        for code, _, err in ends:
            check(code == 0 or (code == 2 and "in use by another process" in sentence(err)), f"start {n}: {code} {err}")
        refused += sum(code == 2 for code, _, _ in ends)
        if all(code for code, _, _ in ends):
            check(said(start(command(out)))[0] == 0, "the third command does not go on")
        check(weights(out) == expected, f"start {n}: other weights")
        shutil.rmtree(out)
    print(f"{times} double starts: {refused} processes refused, the weights always the same", flush=True)


def kills(expected: dict, folder: Path, times: int) -> None:
    """kill -9 at random moments, then to the end."""
    out, chance = folder / "killed", random.Random(1)
    for _ in range(times):
        process = start(command(out))
        time.sleep(1 + 12 * chance.random())
        process.kill()
        said(process)
        if (out / "report.json").exists():
            check(weights(out) == expected, "other weights after kills")
            shutil.rmtree(out)
    code, printed, err = said(start(command(out)))
    check(code == 0, err)
    check(weights(out) == expected, "other weights after kills")
    left = [p.name for p in out.rglob(".*.part*")]
    check(not left, f"part files are left: {left}")
    print(f"{times} kills: the weights the same, no part file left", flush=True)


def stops(folder: Path) -> None:
    """SIGTERM and Ctrl-C, early and late: one sentence and the right exit code."""
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        for wait in (0.5, 1, 8):
            process = start(command(folder / "stopped"))
            time.sleep(wait)
            process.send_signal(number)
            got, _, err = said(process)
            lines = err.strip().splitlines()
            check(got in (code, -number) and len(lines) <= 1, f"{number.name} after {wait} s: {got} {err}")
            print(f"  {number.name} after {wait} s: {got} {sentence(err)[:100]}", flush=True)
    shutil.rmtree(folder / "stopped", ignore_errors=True)


def read_only(whole: Path, folder: Path) -> None:
    """A finished run and a finished teacher that nobody may write to."""
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        return print("read only: not tried")
    locked = folder / "locked"
    shutil.copytree(whole, locked)
    subprocess.run(["chmod", "-R", "a-w,a+rX", str(locked)], check=True)
    folder.chmod(0o755)
    free = folder / "free"
    free.mkdir(mode=0o777)
    free.chmod(0o777)
    before = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] if os.geteuid() == 0 else []
    for words in (command(locked), command(free / "student", "--teacher", str(locked / "teacher"))):
        process = start([*before, *words])
        code, printed, err = said(process)
        check(code == 0, f"read only: {code} {err}")
    print("read only: a finished run is shown, a teacher with its answers is used", flush=True)


def full_disk(folder: Path) -> None:
    """A disk of 2 MB, where this process may mount one."""
    disk = folder / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True).returncode:
        return print("full disk: no file system could be mounted, not tried")
    try:
        code, _, err = said(start(command(disk / "run")))
        check(code == 2 and "No space left" in sentence(err) and str(disk) in err, f"full disk: {code} {err}")
        print(f"full disk: {sentence(err).replace(str(folder), 'OUT')}", flush=True)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def main() -> None:
    """All of it, in a temporary directory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("kills", 3), ("starts", 3), ("flips", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", nargs="*", default=["damage", "doubles", "kills", "stops", "read_only", "full_disk"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = folder / "whole"
        code, _, err = said(start(command(whole)))
        check(code == 0, err)
        expected = weights(whole)
        parts = dict(damage=lambda: damage(whole, folder, asked.flips), doubles=lambda: doubles(expected, folder, asked.starts),
                     kills=lambda: kills(expected, folder, asked.kills), stops=lambda: stops(folder),
                     read_only=lambda: read_only(whole, folder), full_disk=lambda: full_disk(folder))
        for part in asked.only:
            parts[part]()


if __name__ == "__main__":
    main()
