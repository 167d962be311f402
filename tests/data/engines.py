"""The event engine writes the files that the reference engine writes, byte for byte: spike times of
every layer and logits of every network of the shared data, with every instruction set of this
processor, on one thread and two. TAP.

Usage: engines.py TDSNN
"""

import hashlib
import os
import subprocess
import sys
import tempfile

from tool import DATA, end, ok, tdsnn
from zoo import CIFAR10, IMAGES, MNIST, ZOO, model

MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "models")
LEVELS = ["scalar", "avx2", "avx512", "neon"]
SAMPLES = {MNIST: 50, CIFAR10: 20, IMAGES: 2}  # of other data 20
STEPS = {"lenet-mnist": "7"}  # of other networks 31

if not os.path.isdir(os.path.join(DATA, "models")):
    print(f"1..0 # SKIP no networks at {DATA}/models")
    sys.exit(0)


def levels(folder):
    """The instruction sets that this build and processor have: verify says which one it used."""
    found = []
    out = os.path.join(folder, "glyphs.onnx")
    tdsnn("convert", os.path.join(MODELS, "lenet-glyphs.onnx"), "-o", out, "--steps", "3",
          "--calibrate", "glyphs")
    for level in LEVELS:
        os.environ["TDSNN_CPU"] = level
        _, proof = tdsnn("verify", out, "--data", "glyphs", "--limit", "1")
        if proof["isa"] == level:
            found.append(level)
        else:
            print(f"# {level}: not here")
    del os.environ["TDSNN_CPU"]
    return found


def written(folder, network, engine, level, threads, samples):
    """What eval writes, as one number, and how much that is."""
    files = [os.path.join(folder, name) for name in ("logits.npy", "spikes.npz")]
    arguments = ["eval", os.path.join(folder, "out.onnx"), "--data", network.data, "--limit", str(samples),
                 "--engine", engine, "--threads", threads, "--logits", files[0], "--spikes", files[1],
                 "--force", "--quiet", *network.given]
    subprocess.run([sys.argv[1], *arguments], env={**os.environ, "TDSNN_CPU": level},
                   stdout=subprocess.DEVNULL, check=True)
    digest, size = hashlib.sha256(), 0
    for file in files:
        with open(file, "rb") as stream:
            content = stream.read()
        digest.update(content)
        size += len(content)
    return digest.hexdigest(), size


def compare(folder, network, found):
    samples = SAMPLES.get(network.data, 20)
    code, _ = tdsnn("convert", model(network), "-o", os.path.join(folder, "out.onnx"), "--force",
                    "--calibrate", network.data, "--steps", STEPS.get(network.name, "31"),
                    *network.kept, *network.given)
    if code != 0:
        ok(False, f"{network.name} does not convert: exit {code}")
        return
    want, size = written(folder, network, "reference", found[0], "1", samples)
    for level in found:
        runs = [("event", "1"), ("event", "2"), ("reference", "2")]
        differ = [f"{engine} on {threads}" for engine, threads in runs
                  if written(folder, network, engine, level, threads, samples)[0] != want]
        ok(not differ, f"{network.name}, {level}: {samples} samples, {size} bytes of logits and spike times"
           f" as the reference engine writes them{': not ' + ', '.join(differ) if differ else ''}")


with tempfile.TemporaryDirectory() as folder:
    found = levels(folder)
    for network in ZOO:
        compare(folder, network, found)
end()
