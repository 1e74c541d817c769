"""Draw the pictures of lesson 00 again: `python .ci/pictures.py [soft-answer contrast shortcut]`.

They are files, so that nobody has to scroll past code on the first page. CIFAR-100 is needed; the
last one trains two small networks (a minute on one core), and what the page says of them is
checked on the way. Without a name all are drawn.
"""
import colorsys
import math
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import seaborn as sns
import torch
import torch.nn.functional as F

from twostage_kd.data import Batches, Images, load_cifar100
from twostage_kd.engine.training import autocast, device, one_cycle
from twostage_kd.resnet import resnet8
from twostage_kd.teacher import accuracy, predict, study_teacher

IMAGES = Path(__file__).resolve().parents[1] / "nbs" / "images"
RABBIT = 6505                                            # chosen by hand: the teacher is torn

STUDENT = dict(marker="o", color="C1", ms=13, ls="", label="anchor: the student's rabbit")
SAME = dict(marker="o", color="C2", ms=9, ls="", label="positive: the teacher's rabbit")
OTHERS = dict(marker="o", color="C0", ms=9, ls="", label="negatives: the teacher's other images")
PULL = dict(arrowstyle="-|>", lw=3, color="C2")
PLACES = {3691: 62, 467: -22, 8142: 168, 1385: 205, 5388: 270}    # other images: degrees
LOST, FOUND = 118, 27                                    # the student's rabbit, degrees

TEN = [8, 65, 81, 53, 40, 17, 14, 20, 73, 82]            # bicycle, rabbit, streetcar, orange, ...
BICYCLE = 10                                             # among the 1,000; chosen by hand


def keep(fig, name: str) -> None:
    "Store a picture."
    fig.savefig(IMAGES / f"{name}.png", dpi=200, bbox_inches="tight", metadata={"Software": None})
    plt.close(fig)


def soft_answer(test: Images, logits: torch.Tensor) -> None:
    "What the label and what the teacher says of one image."
    soft = logits[RABBIT].softmax(0)
    top = soft.topk(4).indices
    label = F.one_hot(test.fine[RABBIT], 100)
    fig, axes = plt.subplots(1, 3, figsize=(7.6, 2.3), width_ratios=(1.1, 1, 1),
                             layout="constrained")
    axes[0].imshow(test.images[RABBIT].permute(1, 2, 0))
    axes[0].axis("off")
    says = {"what the label says": label, "what the teacher says": soft}
    for ax, (title, p) in zip(axes[1:], says.items()):
        shares = [100 * p[k].item() for k in top]
        shares.append(100 - sum(shares))
        ax.barh(range(5), shares, color=["C1", "C0", "C0", "C0", "0.6"])
        for row, share in enumerate(shares):
            text = f"{share:.0f} %" if share > 0.5 else ""
            ax.text(share + 3, row, text, va="center", fontsize=9)
        ax.set_yticks(range(5), [test.fine_names[k] for k in top] + ["96 others"], fontsize=9)
        ax.set(xlim=(0, 125), ylim=(4.5, -0.5), xticks=[])
        ax.set_title(title, fontsize=10)
        sns.despine(ax=ax, bottom=True)
    keep(fig, "soft-answer")


def at(degrees: float, radius: float = 1.0) -> tuple[float, float]:
    "A point in polar coordinates."
    angle = math.radians(degrees)
    return radius * math.cos(angle), radius * math.sin(angle)


def embedding(ax, test: Images, image: int, degrees: float, style: dict) -> None:
    "A dot on the circle, and its photograph outside."
    x, y = at(degrees, 1.36)
    ax.imshow(test.images[image].permute(1, 2, 0), extent=(x - .24, x + .24, y - .24, y + .24))
    ax.plot(*at(degrees), **style)


def push(ax, degrees: float) -> None:
    "The arrow by which a negative drives the lost student away from itself, thick if it is near."
    nearness = math.cos(math.radians(degrees - LOST))    # the cosine of the two embeddings
    width = 0.7 + 4 * math.exp((nearness - 1) / 0.4)
    start, end = at(LOST), at(degrees)
    away = [a - b for a, b in zip(start, end)]
    length = math.hypot(*away)
    tip = [a + 0.42 * part / length for a, part in zip(start, away)]
    ax.plot(*zip(start, end), ls=":", lw=0.8, color="C0", zorder=0)
    ax.annotate("", tip, start, zorder=1, arrowprops=dict(
        arrowstyle="-|>", lw=width, color="C0", shrinkA=5, shrinkB=0, mutation_scale=12))


def contrast(test: Images, logits: torch.Tensor) -> None:
    "A drawing: the photographs are real, the places on the circle are made up."
    fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.7), layout="constrained")
    states = {"before: lost": LOST, "after: beside the teacher's": FOUND}
    for ax, (title, place) in zip(axes, states.items()):
        ax.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.6"))
        for image, degrees in PLACES.items():
            embedding(ax, test, image, degrees, OTHERS)
            if place == LOST:
                push(ax, degrees)
        embedding(ax, test, RABBIT, 20, SAME)
        ax.plot(*at(place), **STUDENT)
        ax.set(xlim=(-1.9, 1.95), ylim=(-1.65, 1.65))
        ax.set_title(title, fontsize=10)
        ax.axis("off")
    axes[0].annotate("", at(25, 0.94), at(113, 0.95), arrowprops=PULL)
    axes[0].text(0.22, 0.38, "pull", color="C2", fontsize=10, fontweight="bold")
    axes[0].text(-1.22, 1.32, "push", color="C0", fontsize=10, fontweight="bold")
    handles = [plt.Line2D([], [], **style) for style in (STUDENT, SAME, OTHERS)]
    fig.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    keep(fig, "contrast")


def ten_kinds(images: Images, each: int) -> Images:
    "The first images of ten classes."
    names = tuple(images.fine_names[kind].replace("_", " ") for kind in TEN)
    index = torch.cat([torch.where(images.fine == kind)[0][:each] for kind in TEN])
    fine = torch.arange(10).repeat_interleave(each)
    return Images(images.images[index], fine, fine, names, names)


def patched(images: Images, of: torch.Tensor) -> Images:
    "The same images, each with a patch in the colour of the class `of`; no crop cuts it off."
    pixels = images.images.clone()
    for place, kind in enumerate(of.tolist()):
        colour = [round(255 * c) for c in colorsys.hsv_to_rgb(kind / 10, 1, 1)]
        pixels[place, :, 5:11, 13:19] = torch.tensor(colour, dtype=torch.uint8)[:, None, None]
    return replace(images, images=pixels)


def trained(images: Images, epochs: int = 10):
    "A ResNet-8 that learns the ten classes from these images."
    torch.manual_seed(0)
    model = resnet8(10).to(device()).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    batches = Batches(images, batch_size=64, device=device())
    steps = epochs * len(batches)
    for epoch in range(epochs):
        for step, (x, y, _, _) in enumerate(batches.epoch(epoch), epoch * len(batches)):
            optimizer.param_groups[0]["lr"] = 0.1 * one_cycle(step / steps)
            with autocast(x.device):
                loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def answer(ax, p: torch.Tensor, names: tuple[str, ...]) -> None:
    "The three likeliest of the ten kinds; bicycle is orange."
    top = p.topk(3).indices
    ax.barh(range(3), 100 * p[top], color=["C1" if k == 0 else "C0" for k in top])
    ax.set_yticks(range(3), [names[k] for k in top], fontsize=9)
    ax.set(xlim=(0, 100), ylim=(2.5, -0.5), xlabel="probability (%)")
    sns.despine(ax=ax)


def photographs(axes, images: torch.Tensor) -> None:
    "Images [n, 3, S, S], one on each of the axes."
    for ax, image in zip(axes, images):
        ax.imshow(image.permute(1, 2, 0))
        ax.axis("off")


def shortcut(test: Images, logits: torch.Tensor) -> None:
    "A network trained on patched images, and its answers to one bicycle with three patches."
    train, clean = ten_kinds(load_cifar100()[0], 350), ten_kinds(test, 100)
    shift = torch.randint(1, 10, (1000,), generator=torch.Generator().manual_seed(0))
    other = (clean.fine + shift) % 10
    versions = {"own patch, as in training": patched(clean, clean.fine),
                "no patch": clean,
                "another's patch": patched(clean, other)}
    taken_in = trained(patched(train, train.fine))
    said = {name: predict(taken_in, images) for name, images in versions.items()}
    check(said, clean, other, accuracy(predict(trained(train), clean), clean.fine))

    fig = plt.figure(figsize=(9, 3.9), layout="constrained")
    left, right = fig.subfigures(1, 2, width_ratios=(1, 3.1))
    shown = patched(train, train.fine).images.view(10, -1, 3, 32, 32)[:, 2]   # one of each class
    photographs(left.subplots(5, 2).flat, shown)
    left.suptitle("trained on", fontsize=10)
    axes = right.subplots(2, 3, height_ratios=(1.3, 1))
    photographs(axes[0], torch.stack([v.images[BICYCLE] for v in versions.values()]))
    for above, below, (name, z) in zip(*axes, said.items()):
        above.set_title(f"{name}\nright: {accuracy(z, clean.fine):.0%} of 1,000", fontsize=10)
        answer(below, z[BICYCLE].softmax(0), clean.fine_names)
    keep(fig, "shortcut")


def check(said: dict[str, torch.Tensor], clean: Images, other: torch.Tensor, honest: float) -> None:
    "What the page says in words of the two networks."
    own, none, another = (accuracy(z, clean.fine) for z in said.values())
    follows = accuracy(said["another's patch"], other)
    print(f"right: {own:.0%}, {none:.0%}, {another:.0%}; follows another's patch: {follows:.0%}; "
          f"trained without patches: {honest:.0%} right")
    assert own > 0.98 and none < 0.25 and another < 0.1
    assert 0.85 < follows and 0.6 < honest < 0.85
    first = [clean.fine_names[z[BICYCLE].argmax()] for z in said.values()]
    assert first[0] == "bicycle" and first[2] == "sunflower" and first[1] != "bicycle"


PICTURES = {"soft-answer": soft_answer, "contrast": contrast, "shortcut": shortcut}

if __name__ == "__main__":
    sns.set_theme(style="white", palette="colorblind")
    for name in sys.argv[1:] or PICTURES:
        PICTURES[name](*study_teacher())
