"""Functions in the API of Keras Tuner, and others that ask hp for their choices."""

import keras
from keras import layers

from parsl_tl.errors import ImpossibleArchitectureError


def dense_model(hp):
    """An introductory model: no input of its own, choices in a loop, and a learning rate."""
    model = keras.Sequential()
    model.add(layers.Flatten())
    for i in range(hp.Int("num_layers", 1, 3)):
        model.add(
            layers.Dense(
                units=hp.Int(f"units_{i}", min_value=32, max_value=128, step=32),
                activation=hp.Choice("activation", ["relu", "tanh"]),
            )
        )
    if hp.Boolean("dropout"):
        model.add(layers.Dropout(rate=0.25))
    model.add(layers.Dense(10, activation="softmax"))
    rate = hp.Float("lr", min_value=1e-4, max_value=1e-2, sampling="log")
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=rate),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def conv_model(hp):
    """Model selection in conditional scopes, and pools that may be too large."""
    x = inputs = keras.Input(shape=(8, 8, 1))
    kind = hp.Choice("model_type", ["mlp", "cnn"])
    with hp.conditional_scope("model_type", ["cnn"]):
        if kind == "cnn":
            for i in range(hp.Int("conv_blocks", 1, 2)):
                filters = hp.Int(f"filters_{i}", 8, 24, step=8)
                x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
                if hp.Choice("pooling", ["max", "avg"]) == "max":
                    x = layers.MaxPooling2D(hp.Int("pool_size", 2, 6))(x)
                else:
                    x = layers.AveragePooling2D(2)(x)
            x = layers.GlobalAveragePooling2D()(x)
    with hp.conditional_scope("model_type", ["mlp"]):
        if kind == "mlp":
            x = layers.Flatten()(x)
            x = layers.Dense(hp.Int("dense", 16, 64, step=16), activation="relu")(x)
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(x))
    kind = hp.Choice("optimizer", ["adam", "sgd"])
    momentum = hp.Float(
        "momentum", 0.0, 0.9, step=0.3, parent_name="optimizer", parent_values=["sgd"]
    )
    sgd = keras.optimizers.SGD(0.1, momentum=momentum) if kind == "sgd" else None
    model.compile(optimizer=sgd or "adam", loss="categorical_crossentropy")
    return model


class HyperModel:
    """A hypermodel class, with arguments."""

    def __init__(self, classes=10):
        self.classes = classes

    def build(self, hp):
        x = inputs = keras.Input(shape=(64,))
        x = layers.Dense(hp.Choice("units", [16, 32]))(x)
        return keras.Model(inputs, layers.Dense(self.classes, activation="softmax")(x))


def build(hp, inputs, head, depth=2):
    """Dense layers, each of which may be normalized."""
    x = inputs
    for i in range(depth):
        x = layers.Dense(hp.Choice(f"units_{i}", [16, 32, 64]), activation="relu")(x)
        if hp.Boolean(f"norm_{i}"):
            x = layers.BatchNormalization()(x)
    return head(x)


def images(hp, inputs, head):
    """Needs an image."""
    return head(layers.Conv2D(hp.Int("filters", 4, 8), 3, padding="same")(inputs))


def two_inputs(hp, inputs, head):
    """Needs two inputs."""
    left, right = inputs
    return head(layers.Concatenate()([layers.Dense(hp.Int("units", 2, 4))(left), right]))


def two_ends(hp, inputs, head):
    """Gives each of two heads a tensor of its own."""
    x = layers.Dense(hp.Int("units", 2, 4))(inputs)
    return head([x, layers.Dense(hp.Int("more_units", 2, 4))(x)])


def volumes(hp, inputs, head):
    """Needs what is no usual shape."""
    return head(layers.Conv3D(hp.Int("filters", 4, 8), 3)(inputs))


def deep(hp, inputs, head):
    """Asks for something only where two others have certain values."""
    x = inputs
    if hp.Boolean("more") and hp.Boolean("even_more"):
        x = layers.Dense(hp.Int("units", 4, 8))(x)
    return head(x)


def restless(hp, inputs, head):
    """Asks for something else with every run."""
    restless.runs += 1
    return head(layers.Dense(hp.Int(f"units_{restless.runs}", 4, 8))(inputs))


restless.runs = 0


def nothing(hp, inputs, head):
    """Asks for nothing."""
    return head(inputs)


def fails(hp, inputs, head):
    """Fails at once."""
    raise KeyError(hp.Int("units", 4, 8))


def fails_later(hp, inputs, head):
    """Fails with one of its values."""
    x = layers.LayerNormalization(axis=hp.Choice("axis", [-1, 7]))(inputs)
    return head(layers.Dense(hp.Int("units", 4, 8))(x))


def lists(hp, inputs, head):
    """Returns what it should not."""
    return {"units": hp.Int("units", 4, 8)}


def refuses(hp, inputs, head):
    """Tells by itself what cannot exist."""
    left, right = hp.Int("left", 1, 3), hp.Int("right", 1, 3)
    if left > right:
        raise ImpossibleArchitectureError("left is above right")
    return head(layers.Dense(4 * left + right)(inputs))
