"""Every built-in space, small enough to be built and trained, and what its networks take in."""

from parsl_tl.spaces import Head

CLASSES = Head(
    shape=(3,), activation="softmax", name="kind", loss="sparse_categorical_crossentropy"
)
NUMBER = Head(shape=(1,), name="age", hidden=((8, "relu"),))
MASK = Head(shape=(12, 12, 1), activation="sigmoid", name="mask", loss="binary_crossentropy")

# Name, arguments, shapes of inputs, and the heads that there may be.
BUILT_IN = {
    "feed-forward": ("feed-forward", {}, (10,), [CLASSES, NUMBER]),
    "one-layer": ("one-layer", {}, (10,), [CLASSES, NUMBER]),
    "dense-skip": ("dense-skip", {}, (10,), [CLASSES, NUMBER]),
    "attn-small": ("dense-skip", {"subnetworks": True, "size": "small"}, (10,), [CLASSES]),
    "combo-small": (
        "dense-skip",
        {"subnetworks": True, "num_inputs": 3, "size": "small"},
        [(9,), (12,), (12,)],
        [CLASSES, NUMBER],
    ),
    "combo": (
        "dense-skip",
        {"subnetworks": True, "num_inputs": 3, "units": (4, 16, 4)},
        [(9,), (12,), (12,)],
        [CLASSES, NUMBER],
    ),
    "nt3-small": ("nt3", {}, (64, 1), [CLASSES, NUMBER]),
    "nt3-small-few-genes": ("nt3", {}, (7, 1), [CLASSES]),
    "nt3-large": ("nt3", {"size": "large"}, (64, 1), [CLASSES]),
    "uno": ("uno", {}, [(1,), (12,), (30,), (20,)], [NUMBER]),
    "lenet": ("lenet", {}, (16, 16, 1), [CLASSES, NUMBER]),
    "lenet-tiny-images": ("lenet", {}, (6, 6, 1), [CLASSES]),
    "conv-cells": ("conv-cells", {}, (12, 12, 3), [CLASSES, NUMBER]),
    "conv-cells-mask": (
        "conv-cells",
        {"pools": False, "num_cells": 2},
        (12, 12, 3),
        [MASK, CLASSES],
    ),
    "nasbench201": ("nasbench201", {"num_cells": 1, "channels": 4}, (12, 12, 3), [CLASSES]),
}
