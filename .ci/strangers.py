"""Measure the cosine of strangers in real trainings, for lesson 05: `python .ci/strangers.py [--paper EPOCHS]`.

Strangers are the student's embedding of one image and the teacher's of another. The study's finished phases 1 of
ResNet-18/8 are measured from their weights in the user's cache, at their end; with `--paper` the paper's phase 1 is
trained once more, for the first EPOCHS of its 30, and measured before and after each of them. All on the 15,000
validation images. The numbers go to twostage_kd/results/strangers.csv; what is in it already and is not measured again
stays. Half a minute a training on one core; with `--paper` half a minute more an epoch.
"""
import argparse
import csv
import json
import tempfile
from pathlib import Path

import platformdirs
import torch
from twostage_kd import resnet
from twostage_kd.alignment import retrieval_at_1
from twostage_kd.app.trials import Trial, answers_of, images_of, teacher_of
from twostage_kd.data import Batches
from twostage_kd.engine.records import METHODS, PACKAGED
from twostage_kd.engine.training import Run, autocast, load_weights
from twostage_kd.phase1 import Phase1Config, _load_heads, align, crd_losses

CACHE = platformdirs.user_cache_path("twostage_kd")
TABLE = PACKAGED / "strangers.csv"
COLUMNS = ("method", "seed", "negatives", "lr", "planned", "epoch", "level", "pairs", "strangers", "retrieval")
KEY = COLUMNS[:7]


@torch.no_grad()
def measured(student, heads, images, cache) -> list[dict]:
    """Mean cosine of pairs, mean cosine of strangers, and retrieval at 1, at both levels."""
    student.eval()
    with autocast(torch.device("cpu")):
        features = [student.features(x) for x, _ in Batches(images).plain()]
    rows = []
    for level, name in enumerate(("pen", "last")):
        f = torch.cat([pair[level].float() for pair in features])
        z_student = torch.nn.functional.normalize(heads[name].student(f), dim=1)            # (N, d)
        z_teacher = torch.nn.functional.normalize(heads[name].teacher(cache.validation.plain()[level]), dim=1)
        n = len(f)
        pairs = (z_student * z_teacher).sum(1).double()                                      # (N,)
        everyone = z_student.double().sum(0) @ z_teacher.double().sum(0)                     # all N x N cosines
        strangers = (everyone - pairs.sum()) / (n * (n - 1))
        rows.append(dict(level=name, pairs=round(pairs.mean().item(), 4), strangers=round(strangers.item(), 4),
                         retrieval=round(retrieval_at_1(z_student, z_teacher), 4)))
    return rows


def surroundings(seed: int):
    """Images, the teacher's answers, and a student as the study's trainings begin with it."""
    trial = Trial("paper", seed, 30)
    parts, where = images_of(trial), torch.device("cpu")
    teacher, run = teacher_of(trial, parts, CACHE, where)
    cache = answers_of(teacher, trial, parts, run.directory, where)
    torch.manual_seed(seed)
    return parts, cache, resnet.resnet8(parts.train.num_classes)


def finished(folder: Path) -> list[dict]:
    """The end of a finished phase 1 of the study."""
    trial = json.loads((folder / "config.json").read_text())["config"]["trial"]
    if trial["pair"] != "resnet18/resnet8" or trial["cue"]:
        return []
    parts, cache, student = surroundings(trial["seed"])
    made = METHODS[trial["method"]].first | dict(trial["settings"])
    if made.get("objective") == "regression":
        return []
    config = Phase1Config(**dict(epochs=trial["epochs"], seed=trial["seed"]) | made)
    heads = crd_losses(student, cache, parts.train, config)
    load_weights(folder / "phase1.safetensors", student)
    _load_heads(folder / "phase1-heads.safetensors", heads)
    who = dict(method=trial["method"], seed=trial["seed"], negatives=config.negatives, lr=config.lr,
               planned=config.epochs, epoch=config.epochs)
    return [who | row for row in measured(student, heads, parts.validation, cache)]


class Enough(Exception):
    """As many epochs as were asked for."""


def paper(epochs: int, seed: int = 1) -> None:
    """The first epochs of the paper's phase 1; each is stored as soon as it is measured."""
    parts, cache, student = surroundings(seed)
    config = Phase1Config(seed=seed)
    who = dict(method="paper", seed=seed, negatives=config.negatives, lr=config.lr, planned=config.epochs)

    def watch(epoch, student, heads):
        rows = measured(student, heads, parts.validation, cache)
        store([who | dict(epoch=epoch) | row for row in rows])
        if epoch == epochs:
            raise Enough

    with tempfile.TemporaryDirectory() as folder:
        try:
            align(student, cache, (parts.train, parts.validation), config, Run(folder, {}), watch=watch)
        except Enough:
            pass


def store(rows: list[dict]) -> None:
    """Add rows to the table; a row with the same key replaces the old one."""
    old = list(csv.DictReader(TABLE.open(newline=""))) if TABLE.exists() else []
    table = {tuple(str(row[name]) for name in KEY): row for row in old + rows}
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table[key] for key in sorted(table, key=lambda key: (*key[:5], int(key[5]), key[6])))
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paper", type=int, default=0, metavar="EPOCHS", help="of the paper's phase 1, at most 29")
    asked = parser.parse_args()
    for heads_file in sorted((CACHE / "study").glob("*/phase1-heads.safetensors")):
        if heads_file.with_name("phase1.safetensors").exists():
            store(finished(heads_file.parent))
    if asked.paper:
        paper(asked.paper)
