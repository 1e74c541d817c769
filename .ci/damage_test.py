"""Damage, doubles, stops, wrong teachers and images: what a run must survive, mend, or refuse in a sentence that names the file.

`python .ci/damage_test.py [--only PART ...]`. A small run is made once. Then its finished files are flipped, cut, emptied and
removed (damage); the command is started twice at once (doubles), stopped by SIGTERM and Ctrl-C (stops), tried where nothing
may be written (read_only) and on a disk of 2 MB (full_disk), where this process may make those; and given other images, a
teacher of other images, another precision (others). Images, archives, records and checkpoints are fuzzed with hypothesis,
which shrinks what fails to the smallest damage (fuzz). Counts are small; with TWOSTAGE_KD_FULL=1 they are an acceptance's.
"""
import argparse
import hashlib
import io
import os
import random
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings, strategies
from PIL import Image
from small_run import FULL, Child, check, ran, say, sentence, weights, words

from twostage_kd.data import DIGESTS, load_cifar100
from twostage_kd.engine import records
from twostage_kd.engine.folders import read_image
from twostage_kd.engine.records import Form, form_key, read_records, save_training
from twostage_kd.engine.training import device, load_checkpoint, precision, save_checkpoint

KINDS = (".safetensors", ".cache", ".json", ".jsonl", ".npz")
DAMAGES, STARTS, FUZZED, FUZZED_RECORDS = (0, 9, 200, 150) if FULL else (8, 1, 12, 12)   # damages 0: all of them
NOBODY = 65534


def changed(data: bytes, what: str, chance: random.Random) -> bytes:
    """A file's bytes after a kind of damage."""
    if what == "cut":
        return data[:len(data) // 2]
    if what == "empty":
        return b""
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1:]


def damage(whole: Path, folder: Path) -> None:
    """Finished files, damaged in every way; at small counts some of them."""
    expected, chance, ends = weights(whole), random.Random(0), Counter()
    files = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.suffix in KINDS)
    cases = [(file, what) for file in files for what in ("flip", "cut", "empty", "removed")]
    for file, what in chance.sample(cases, DAMAGES) if DAMAGES else cases:
        end = damaged_once(whole, folder / "damaged", file, what, chance, expected)
        ends[end] += 1
        ends[end, file.suffix] += 1
    by_kind = ", ".join(f"{sum(n for key, n in ends.items() if key[1:] == (kind,))} {kind}" for kind in KINDS)
    say(f"{sum(ends[end] for end in ('refused', 'mended', 'same'))} damaged files ({by_kind}): {ends['refused']} refused by name, "
        f"{ends['mended']} mended with a warning, {ends['same']} not needed or made again; the weights never others")


def damaged_once(whole: Path, out: Path, file: Path, what: str, chance: random.Random, expected: dict) -> str:
    """Damage one file of a copy and repeat the command: refused, mended or same."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(whole, out)
    if "report" not in file.name and file.suffix not in (".npz", ".jsonl"):
        (out / "report.json").unlink()            # so that the run is gone through again
    data = (out / file).read_bytes()
    if what == "removed":
        (out / file).unlink()
    else:
        (out / file).write_bytes(changed(data, what, chance))
    code, _, err = ran(words(out))
    last = sentence(err)
    if code:
        check(code == 2 and (file.name in last or out.name in last), f"{file}, {what}: {code} {last}")
        return "refused"
    check(weights(out) == expected, f"{file}, {what}: other weights")
    return "mended" if file.name in err else "same"


def reached(child: Child, file: Path) -> None:
    """Wait until a run has written a file."""
    while not child.ended() and not file.exists():
        time.sleep(0.002)
    check(not child.ended(), f"the run ended before {file} was there")


def doubles(expected: dict, folder: Path) -> None:
    """The same command twice at once: the second is refused while the first stands still, or wherever they meet."""
    refused = 0
    for n in range(STARTS + 1):
        out = folder / f"double{n}"
        first = Child(words(out))
        if n == 0:
            reached(first, out / "teacher/teacher.checkpoint")
            first.kill(signal.SIGSTOP)
            refusal(words(out), f"{out} is in use by another process")
            first.kill(signal.SIGCONT)
            refused += 1
            ends = [first.wait()]
        else:
            time.sleep(random.Random(n).random())
            second = Child(words(out))
            ends = [first.wait(), second.wait()]
        for code, _, err in ends:
            check(code == 0 or (code == 2 and "in use by another process" in sentence(err)), f"start {n}: {code} {err}")
        refused += sum(code == 2 for code, _, _ in ends)
        if all(code for code, _, _ in ends):
            check(ran(words(out))[0] == 0, "the third command does not go on")
        check(weights(out) == expected, f"start {n}: other weights")
        shutil.rmtree(out)
    say(f"{STARTS + 1} double starts: {refused} processes refused, the weights always the same")


def stops(folder: Path) -> None:
    """SIGTERM and Ctrl-C in the middle: one sentence, the right exit code, and the same command goes on."""
    out, ends = folder / "stopped", []
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        for file in ("config.json", "phase1.checkpoint") if FULL else ("phase1.checkpoint",):
            child = Child(words(out))
            reached(child, out / file)
            child.kill(number)
            got, _, err = child.wait()
            check(got == code and err.count("\n") == 1 and "the same command goes on from the last checkpoint" in err,
                  f"{number.name} at {file}: {got} {err}")
            ends.append(f"{number.name} {got}")
            if file == "phase1.checkpoint":
                code_again, printed, err = ran(words(out))
                check(code_again == 0 and "phase1: goes on at epoch" in printed, f"{code_again} {printed} {err}")
                shutil.rmtree(out)
    say(f"{len(ends)} stops, one sentence each: {', '.join(ends)}; the repeated command said where it goes on")


def become_nobody() -> None:
    """Give up the right to write everywhere."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def read_only(whole: Path, folder: Path) -> None:
    """A finished run, and a finished teacher with its answers, that nobody may write to."""
    locked, free = folder / "locked", folder / "free"
    shutil.copytree(whole, locked)
    free.mkdir()
    free.chmod(0o777)
    folder.chmod(0o755)
    for path in (locked, *locked.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222 | stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH | 0o111 * path.is_dir())
    for command in (words(locked), words(free / "student", "--teacher", str(locked / "teacher"))):
        code, _, err = ran(command, become_nobody)
        check(code == 0, f"read only: {code} {err}")
    for path in (locked, *locked.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
    say("read only: a finished run is shown, a teacher with its answers is used")


def full_disk(folder: Path) -> None:
    """A disk of 2 MB, where this process may mount one."""
    disk = folder / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True).returncode:
        return say("full disk: no file system could be mounted, not tried")
    try:
        code, _, err = ran(words(disk / "run"))
        check(code == 2 and "No space left" in sentence(err) and str(disk) in err, f"full disk: {code} {err}")
        say(f"full disk: {sentence(err).replace(str(folder), 'OUT')}")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def pictures(folder: Path, seed: int, side: int = 32) -> Path:
    """A folder of two classes with its own parts."""
    rng = np.random.default_rng(seed)
    for part in ("train", "val", "test"):
        for label in ("cat", "dog"):
            (folder / part / label).mkdir(parents=True, exist_ok=True)
            for n in range(40):
                Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(folder / part / label / f"{n}.png")
    return folder


def refusal(command: list[str], *said: str, before=lambda: None) -> str:
    """The sentence in which a command is refused; it must hold these words."""
    code, _, err = ran(command, before)
    check(code == 2 and all(word in sentence(err) for word in said) and err.count("\n") == 1, f"{command}: {code} {err}")
    return sentence(err)


def others(folder: Path) -> None:
    """Teachers of other images, images replaced in an unfinished run, another precision half-way, a lost config.json."""
    mine = pictures(folder / "mine", 0)
    place, data = folder / "pets", ["--recipe", "ours", "--data", str(mine)]
    child = Child(words(place, *data))
    reached(child, place / "phase1.checkpoint")
    child.kill()
    child.wait()
    check(not (place / "report.json").exists(), "the run ended before it could be killed")
    file, refused = mine / "test/cat/0.png", []
    student = ["--teacher", str(place / "teacher")]
    for part in ("train", "val", "test"):     # the same folder, one image of it replaced
        file = mine / part / "cat/0.png"
        held = file.read_bytes()
        Image.new("RGB", (32, 32)).save(file)
        name = dict(train="training", val="validation", test="test")[part]
        refused.append(refusal(words(place, *data), "images = ", "holds a run with"))
        refused.append(refusal(words(folder / "student", *data, *student), f"{name} images = ", "it may have learned from"))
        file.write_bytes(held)
    for part in ("train", "val", "test"):
        (mine / part / "owl").mkdir()
        for n in range(40):
            shutil.copy(mine / part / f"cat/{n}.png", mine / part / "owl")
    refused.append(refusal(words(folder / "student", *data, *student), "classes = 2, but here they are 3"))
    for part in ("train", "val", "test"):
        shutil.rmtree(mine / part / "owl")
    check(not (folder / "student").exists(), "a refused command left something behind")
    begun = precision(device())
    other = "float32" if begun == "bfloat16" else "bfloat16"
    refused.append(refusal(words(place, *data), f"was begun in {begun}", f"TWOSTAGE_KD_PRECISION={begun}",
                           before=lambda: os.environ.update(TWOSTAGE_KD_PRECISION=other)))
    config = (place / "config.json").read_bytes()
    (place / "config.json").unlink()
    for more in ([], ["--seed", "5"]):
        refused.append(refusal(words(place, *data, *more), "its config.json is missing"))
        check(not (place / "config.json").exists(), "other settings were written")
    (place / "config.json").write_bytes(config)
    code, printed, err = ran(words(place, *data))
    check(code == 0 and " left" in printed and "done" in printed, f"{code} {printed} {err}")
    [in_all] = [line for line in printed.splitlines() if line.strip().startswith("in all")]
    check("about 0 s" not in in_all, in_all)
    (place / "report.json").unlink()
    code, printed, _ = ran(words(place, *data))
    check(code == 0 and "only the report" in printed, printed)
    code, _, err = ran(words(folder / "student", *data, *student))
    check(code == 0, f"the teacher of the same images: {err}")
    for line in refused[:2] + refused[-4:-2]:
        print(f"  {line.replace(str(folder), '...')}")
    say(f"{len(refused)} wrong teachers, images, precisions and directories refused; the right ones are used, the plan counts what is done")


def spoil(data: bytes, at: int, how: str, put: bytes) -> bytes:
    """A file's bytes, damaged at a place."""
    at %= max(1, len(data))
    ends = dict(over=data[at + len(put):], cut=b"", into=data[at:], out=data[at + len(put):])
    return data[:at] + (b"" if how in ("cut", "out") else put) + ends[how]


SPOILT = strategies.tuples(strategies.integers(0, 10**6), strategies.sampled_from(["over", "cut", "into", "out"]),
                           strategies.binary(min_size=1, max_size=8))


def fuzzed(name: str, count: int, one) -> None:
    """Damage so many times; `one` takes (at, how, put) and says what came of it, or raises."""
    ends = Counter()

    @settings(max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(SPOILT)
    def tried(how):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ends[one(*how)] += 1
            except ValueError as error:
                assert name in str(error) and "\n" not in str(error), error
                ends["refused by name"] += 1

    tried()
    say(f"{sum(ends.values())} of {name} fuzzed: " + ", ".join(f"{n} {end}" for end, n in ends.items()))


def fuzz_images(folder: Path) -> None:
    """Every format of images."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8))
    for kind in ("png", "jpeg", "bmp", "tiff", "webp", "ppm"):
        buffer = io.BytesIO()
        picture.save(buffer, kind)
        file = folder / f"image.{kind}"

        def one(*how):
            file.write_bytes(spoil(buffer.getvalue(), *how))
            assert read_image(file).mode == "RGB"
            return "read as an image"

        fuzzed(file.name, FUZZED // 2, one)


def fuzz_archive(folder: Path) -> None:
    """CIFAR-100's archive, two images a part: never others than those whose digests are known."""
    arrays = dict(fine_names=[f"f{n}" for n in range(100)], coarse_names=[f"c{n}" for n in range(20)])
    for part in DIGESTS:
        arrays |= {f"{part}_images": np.zeros((2, 32, 32, 3), np.uint8), f"{part}_fine": np.zeros(2, np.uint8), f"{part}_coarse": np.zeros(2, np.uint8)}
    digest = hashlib.sha256(2 * hashlib.sha256(bytes(3 * 32 * 32)).hexdigest().encode()).hexdigest()
    file, buffer = folder / "cifar100.npz", io.BytesIO()
    np.savez(buffer, **arrays)

    def one(*how):
        file.write_bytes(spoil(buffer.getvalue(), *how))
        found = load_cifar100(folder)
        assert all(not part.images.any() and not part.fine.any() and part.fine_names == tuple(arrays["fine_names"]) for part in found)
        return "harmless: the same images and labels"

    with patch.dict(DIGESTS, dict.fromkeys(DIGESTS, digest)):
        fuzzed(file.name, FUZZED, one)


def fuzz_records(folder: Path) -> None:
    """Both files of a stored training."""
    facts = dict(purpose="confirm", pair="resnet18/resnet8", method="kd", epochs=1, seed=1, data="cifar100", cue=None, rho=None,
                 teacher_rho=None, settings={}, history=[], core_seconds=2.0)
    form, labels = Form("solved", "kl"), records.CIFAR100_LABELS
    students = [dict(form=form, finetune_epochs=0, validation=0.5, test=1.0)]
    arrays = {f"{form_key(form)}/test/class": labels[:, None].astype(np.uint8), f"{form_key(form)}/test/probability": np.ones((len(labels), 1), np.float16)}
    save_training(folder / "records", "kd-s1", facts, students, arrays)
    for kind in ("npz", "json"):
        file = folder / f"records/kd-s1.{kind}"
        data = file.read_bytes()

        def one(*how):
            file.write_bytes(spoil(data, *how))
            records._archive.cache_clear()
            [record] = read_records(folder / "records")
            assert record.test == record.right.mean() == 1
            return "harmless: the same answers"

        fuzzed(file.name, FUZZED_RECORDS, one)
        file.write_bytes(data)


def fuzz_checkpoint(folder: Path) -> None:
    """A checkpoint with one before it: never a state that was not written."""
    file = folder / "phase1.checkpoint"
    for epoch in (1, 2):
        save_checkpoint(file, dict(epoch=epoch, weights=torch.arange(1000) * epoch))
    data = file.read_bytes()

    def one(*how):
        file.write_bytes(spoil(data, *how))
        state = load_checkpoint(file)
        assert torch.equal(state["weights"], torch.arange(1000) * state["epoch"])
        if file.read_bytes() == data:
            return "unchanged"
        assert state["epoch"] == 1
        return "found, and the one before it used"

    fuzzed(file.name, FUZZED, one)


def fuzz(folder: Path) -> None:
    """All four."""
    for part in (fuzz_images, fuzz_archive, fuzz_records, fuzz_checkpoint):
        part(folder)


def main() -> None:
    """All of it, in a temporary directory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ["damage", "doubles", "stops", "read_only", "full_disk", "others", "fuzz"]
    parser.add_argument("--only", nargs="*", default=names, choices=names)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = folder / "whole"
        if set(asked.only) - {"others", "fuzz", "stops", "full_disk"}:
            code, _, err = ran(words(whole))
            check(code == 0, err)
        expected = weights(whole)
        parts = dict(damage=lambda: damage(whole, folder), doubles=lambda: doubles(expected, folder), stops=lambda: stops(folder),
                     read_only=lambda: read_only(whole, folder), full_disk=lambda: full_disk(folder),
                     others=lambda: others(folder), fuzz=lambda: fuzz(folder))
        for part in asked.only:
            parts[part]()


if __name__ == "__main__":
    main()
