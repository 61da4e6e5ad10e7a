"""The authors' networks built with Keras' own layers, as an oracle; run as a process of its own.

``python -m tests.models.published.keras_models FOLDER`` writes for every model, in a folder of its name, weights.h5
(legacy layout), whole.h5 (the same below ``model_weights``, as ``model.save`` does) and values.npz (inputs and
outputs). Keras 3 on its torch backend. Layers and their order are those of github.com/junyongyou/triq and
github.com/junyongyou/aihiqnet.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np


def run(name, folder):
    """Files of the model ``name`` in ``folder``, which may be changed. Returns what is in values.npz."""
    shutil.copytree(Path(written().name) / name, folder, dirs_exist_ok=True)
    return dict(np.load(folder / "values.npz"))


@functools.cache
def written():
    """A folder with the files of all models, until this process ends.

    They are made by this file, run once, so that Keras and its settings stay out of the tests' process.
    """
    folder = tempfile.TemporaryDirectory()
    settings = {"KERAS_BACKEND": "torch", "KERAS_HOME": folder.name, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", __name__, folder.name]
    done = subprocess.run(
        command, env=os.environ | settings, cwd=Path(__file__).parents[3], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def resnet50(keras, inputs):
    """keras.applications' own ResNet-50, whose layer names the authors' copy keeps."""
    model = keras.applications.ResNet50(weights=None, include_top=False, input_tensor=inputs)
    return [model.get_layer(f"conv{stage}_block{last}_out").output for stage, last in ((2, 3), (3, 4), (4, 6), (5, 3))]


def triq(keras, inputs, outputs=5, width=32, heads=8, mlp=64, layers=2, positions=193):
    """Names of layers inside are Keras' own automatic ones, as in the authors' code."""
    ops, dense, normalise = keras.ops, keras.layers.Dense, keras.layers.LayerNormalization

    class Attention(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.wq, self.wk, self.wv, self.dense = (dense(width) for _ in range(4))

        def split(self, x):
            return ops.transpose(ops.reshape(x, (ops.shape(x)[0], -1, heads, width // heads)), (0, 2, 1, 3))

        def call(self, x):
            query, key, value = (self.split(part(x)) for part in (self.wq, self.wk, self.wv))
            logits = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / (width // heads) ** 0.5
            mixed = ops.transpose(ops.matmul(ops.softmax(logits, -1), value), (0, 2, 1, 3))
            return self.dense(ops.reshape(mixed, (ops.shape(x)[0], -1, width)))

    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.mha = Attention()
            self.ffn = keras.Sequential([dense(mlp, activation="relu"), dense(width)])
            self.norm1, self.norm2 = normalise(epsilon=1e-6), normalise(epsilon=1e-6)

        def call(self, x):
            x = self.norm1(x + self.mha(x))
            return self.norm2(x + self.ffn(x))

    class Transformer(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="tri_q_image_quality_transformer")
            self.pos_emb = self.add_weight(name="pos_emb", shape=(1, positions, width))
            self.quality_emb = self.add_weight(name="quality_emb", shape=(1, 1, width))
            self.conv = keras.layers.Conv2D(width, 1)
            self.pool = keras.layers.MaxPooling2D(2)
            self.blocks = [Block() for _ in range(layers)]
            gelu = keras.layers.Activation(lambda x: keras.activations.gelu(x, approximate=True))
            last = "softmax" if outputs > 1 else "linear"
            self.head = keras.Sequential([dense(mlp), gelu, dense(outputs, activation=last)])

        def call(self, x):
            x = self.conv(x)
            if x.shape[1] >= 16:
                x = self.pool(x)
            x = ops.reshape(x, (ops.shape(x)[0], -1, width))
            x = ops.concatenate([ops.repeat(self.quality_emb, ops.shape(x)[0], 0), x], 1)
            x = x + self.pos_emb[:, : x.shape[1]]
            for block in self.blocks:
                x = block(x)
            return self.head(x[:, 0])

    return [Transformer()(resnet50(keras, inputs)[-1])]


def aihiqnet(keras, inputs, outputs=5, width=256):
    """The functional graph of the authors' phiq_net; only the layers that they name have names here."""
    ops, layers = keras.ops, keras.layers
    maps = dict(zip("2345", resnet50(keras, inputs), strict=True))

    def convolution(x, kernel, name, strides=1):
        return layers.Conv2D(width, kernel, strides, padding="same", name=f"fpn_{name}")(x)

    def head(x, name):
        shared = layers.Dense(width, activation="sigmoid")
        pooled = [layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)]
        channel = layers.Average()([shared(layers.Reshape((1, width))(vector)) for vector in pooled])
        places = [layers.Lambda(lambda y, f=f: f(y, axis=3, keepdims=True))(x) for f in (ops.mean, ops.max)]
        spatial = layers.Conv2D(1, 7, padding="same", activation="sigmoid", use_bias=False)(
            layers.Concatenate(axis=3)(places)
        )
        attended = layers.Multiply()([layers.Multiply()([x, channel]), spatial])
        vector = layers.GlobalAveragePooling2D(name=f"{name}_avg_pool")(attended)
        activation = "softmax" if outputs > 1 else "linear"
        return layers.Dense(outputs, activation=activation, name=f"{name}_fc_prediction")(vector)

    merged, pyramid = None, {}
    for level in "5432":
        lateral = convolution(maps[level], 1, f"C{level}_reduced")
        merged = lateral if merged is None else layers.Add()([layers.UpSampling2D(2)(merged), lateral])
        pyramid[level] = convolution(merged, 3, f"P{level}")
    levels = [*(pyramid[level] for level in "2345"), convolution(maps["5"], 3, "P6", 2)]
    return [layers.Average(name="PF_average")([head(level, f"P{place}") for place, level in enumerate(levels)])]


# Height and width of the input, and the model: 512 rows are the fewest that TRIQ pools.
MODELS = {
    "resnet50": (75, 101, resnet50),
    "triq": (512, 320, triq),
    "aihiqnet": (64, 96, aihiqnet),  # C5 has 2 x 3 places: P6 is padded on one side of its rows, both of its columns
    "aihiqnet_score": (64, 64, lambda keras, inputs: aihiqnet(keras, inputs, outputs=1)),
    "triq_score": (64, 96, lambda keras, inputs: triq(keras, inputs, outputs=1, positions=7)),
}


def randomise(model, generator):
    """Every weight and every BatchNorm statistic drawn, so that none can hide behind its default.

    Gammas are below 1, so that sums over residual blocks stay small and no sigmoid or softmax behind them saturates.
    """
    values = []
    for weight in model.weights:
        if weight.name == "gamma":
            values.append(generator.uniform(0.2, 0.6, weight.shape))
        elif weight.name == "moving_variance":
            values.append(generator.uniform(0.5, 1.5, weight.shape))
        elif weight.name == "kernel":
            values.append(generator.normal(0, np.sqrt(2 / np.prod(weight.shape[:-1])), weight.shape))
        else:
            values.append(generator.normal(0, 0.2, weight.shape))
    model.set_weights(values)


def write(name, folder):
    import h5py
    import keras
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    keras.backend.clear_session()  # else the layers' own names go on counting from those of the model before
    generator = np.random.default_rng(7)
    height, width, build = MODELS[name]
    inputs = keras.Input((height, width, 3))
    model = keras.Model(inputs, build(keras, inputs))
    randomise(model, generator)
    with h5py.File(folder / "weights.h5", "w") as file:
        save_weights_to_hdf5_group(file, model)
    with h5py.File(folder / "whole.h5", "w") as file:
        save_weights_to_hdf5_group(file.create_group("model_weights"), model)
        file.create_group("optimizer_weights").create_dataset("iterations", data=np.int64(3))
    images = generator.uniform(-1, 1, (2, height, width, 3)).astype(np.float32)
    images[1] = images[1] * 0.2 + 0.7  # bright and flat: another photo, also for networks that average
    found = model(images, training=False)
    outputs = [keras.ops.convert_to_numpy(output) for output in (found if isinstance(found, list) else [found])]
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    rules = np.unique([(layer.epsilon, layer.momentum) for layer in norms], axis=0)
    np.savez(
        folder / "values.npz",
        norm_rules=rules,
        images_NHWC=images,
        **{f"output{place}": output for place, output in enumerate(outputs)},
    )


if __name__ == "__main__":
    for name in MODELS:
        (Path(sys.argv[1]) / name).mkdir()
        write(name, Path(sys.argv[1]) / name)
