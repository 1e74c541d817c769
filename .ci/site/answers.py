"""The answers of all stored networks to the test images, as a script that the site's explorer reads.

No image is in it: an answer is the number of a class, one byte an image, 10,000 bytes a network.
"""
import base64
import json
from pathlib import Path

import numpy as np

# CIFAR-100's classes by their numbers, as the data set names them.
CLASSES = """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox
girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road
rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm""".split()


def write_answers(path: Path) -> int:
    """Write the script; the number of networks in it."""
    from twostage_kd.engine.records import CIFAR100_LABELS, read_records
    from twostage_kd.statistics import named
    assert np.array_equal(CIFAR100_LABELS, np.arange(10_000) // 100) and len(CLASSES) == 100  # explorer.js counts on it
    networks = []
    for name, record in named(read_records()).items():
        packed = base64.b64encode(record.prediction.astype(np.uint8).tobytes()).decode()
        networks.append(dict(id=record.id, name=name, answers=packed))
    text = json.dumps(dict(classes=[word.replace("_", " ") for word in CLASSES], records=networks))
    path.write_text(f"const ANSWERS = {text};\n", encoding="utf-8")
    return len(networks)
