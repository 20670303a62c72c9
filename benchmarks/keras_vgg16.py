"""The peer of benchmarks.vgg16: the published system's Keras network in its own process (needs tensorflow-cpu).

    python keras_vgg16.py WEIGHTS.npz IMAGES.npy

Then each line "BATCH SECONDS" on standard input is answered by the images encoded a second. "features" is answered by
the name of a .npy file with the features of all images.
"""

import sys
import tempfile
import time

import numpy as np
from keras.applications.vgg16 import VGG16, preprocess_input


def main(weights: str, inputs: str) -> None:
    """Serve until standard input ends."""
    network = VGG16(weights=None, include_top=False, pooling="max", input_shape=(224, 224, 3))
    with np.load(weights) as arrays:
        for layer in network.layers:
            if f"{layer.name}.kernel" in arrays:
                layer.set_weights([arrays[f"{layer.name}.kernel"].transpose(2, 3, 1, 0), arrays[f"{layer.name}.bias"]])
    images = np.load(inputs)

    def encode(batch: np.ndarray) -> np.ndarray:
        return network.predict_on_batch(preprocess_input(batch.astype(np.float32)))

    encode(images[:8])
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "features":
            with tempfile.NamedTemporaryFile(suffix=".npy", delete=False) as file:
                np.save(file, encode(images))
            print(file.name, flush=True)
            continue
        batch, seconds = int(line.split()[0]), float(line.split()[1])
        encode(images[:batch])
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            encode(images[:batch])
            done += batch
        print(done / (time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
