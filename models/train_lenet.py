"""Trains a small LeNet and writes it as ONNX; also trains a linear classifier to compare with.

    python models/train_lenet.py --data glyphs -o lenet.onnx
    python models/train_lenet.py --data mnist DIR -o lenet.onnx

Choices (architecture, epochs, decay) are made with `--holdout N`, which trains without the last N
training samples and scores on those; the test split is then never read.
"""

import argparse
import ctypes
import gzip
import pathlib
import subprocess
import tempfile

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIDE = 28
CLASSES = 10
BATCH = 64
LINEAR_EPOCHS = 40
LINEAR_DECAY = 1e-4


def load_glyphs(split):
    """The built-in glyphs, seed 0: pixels uint8 [N,28,28] and classes int64 [N]."""
    with tempfile.TemporaryDirectory() as folder:
        shared = pathlib.Path(folder) / "glyphs.so"
        subprocess.run(
            ["cc", "-std=c11", "-O2", "-ffp-contract=off", "-fPIC", "-shared", f"-I{ROOT}/src",
             f"{ROOT}/src/data/glyphs.c", f"{ROOT}/src/base/random.c", "-lm", "-o", str(shared)],
            check=True)
        library = ctypes.CDLL(str(shared))
    library.td_glyph_count.restype = ctypes.c_size_t
    library.td_glyph_draw.argtypes = [
        ctypes.c_uint64, ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p]
    number = {"train": 0, "test": 1}[split]
    count = library.td_glyph_count(number)
    pixels = np.zeros((count, SIDE, SIDE), np.uint8)
    classes = [library.td_glyph_draw(0, number, i, pixels[i].ctypes.data) for i in range(count)]
    return pixels, np.array(classes, np.int64)


def load_mnist(folder, split):
    """MNIST from its four IDX files (.gz): pixels uint8 [N,28,28] and classes int64 [N]."""
    stem = {"train": "train", "test": "t10k"}[split]
    with gzip.open(pathlib.Path(folder) / f"{stem}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, SIDE, SIDE)
    with gzip.open(pathlib.Path(folder) / f"{stem}-labels-idx1-ubyte.gz") as file:
        classes = np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)
    return pixels, classes


def load(data, split):
    """Network input float32 [N,1,28,28] = pixel / 255, and classes int64 [N]."""
    pixels, classes = load_glyphs(split) if data[0] == "glyphs" else load_mnist(data[1], split)
    x = torch.from_numpy(pixels.astype(np.float32) / np.float32(255)).unsqueeze(1)
    return x, torch.from_numpy(classes)


def make_lenet(first=8, second=24, hidden=96):
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, first, 5), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(first, second, 5), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(second * 16, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, CLASSES))


def make_linear():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(SIDE * SIDE, CLASSES))


def shifted(x):
    """Each image of x [N,1,28,28] moved by -2..2 pixels both ways, zeros moving in."""
    padded = F.pad(x, (2, 2, 2, 2))
    rows = torch.randint(0, 5, (len(x), 1, 1)) + torch.arange(SIDE).reshape(1, SIDE, 1)
    columns = torch.randint(0, 5, (len(x), 1, 1)) + torch.arange(SIDE).reshape(1, 1, SIDE)
    return padded[torch.arange(len(x)).reshape(-1, 1, 1), 0, rows, columns].unsqueeze(1)


def train(model, x, y, epochs, rate, decay, shift):
    """AdamW with a rate that rises for a tenth of the steps and then falls to zero."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    steps = epochs * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=rate, total_steps=steps, pct_start=0.1)
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(x))[: len(x) // BATCH * BATCH]
        for batch in order.reshape(-1, BATCH):
            images = shifted(x[batch]) if shift else x[batch]
            loss = F.cross_entropy(model(images), y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * BATCH
        print(f"  epoch {epoch + 1:2d}/{epochs}  loss {total / len(order):.4f}", flush=True)


def accuracy(model, x, y):
    """Percent of x [N,1,28,28] that the model puts in class y [N]."""
    with torch.no_grad():
        hits = sum((model(part).argmax(1) == label).sum().item()
                   for part, label in zip(x.split(1000), y.split(1000)))
    return 100.0 * hits / len(x)


def export(model, path):
    """Writes a LeNet of make_lenet as ONNX, opset 13: x [N,1,28,28] -> logits [N,10].

    Written node by node and not by torch's exporter, so that the file holds the network and
    nothing else, and equal weights give equal bytes.
    """
    names = {0: "conv1", 3: "conv2", 7: "fc1", 9: "fc2"}
    weights = [
        onnx.numpy_helper.from_array(tensor.detach().numpy(), f"{names[i]}.{kind}")
        for i in names for kind, tensor in (("weight", model[i].weight), ("bias", model[i].bias))]
    node = onnx.helper.make_node

    def layer(op, name, source, **attributes):
        return node(op, [source, f"{name}.weight", f"{name}.bias"], [name], name, **attributes)

    nodes = [
        layer("Conv", "conv1", "x", kernel_shape=[5, 5]),
        node("Relu", ["conv1"], ["relu1"], "relu1"),
        node("MaxPool", ["relu1"], ["pool1"], "pool1", kernel_shape=[2, 2], strides=[2, 2]),
        layer("Conv", "conv2", "pool1", kernel_shape=[5, 5]),
        node("Relu", ["conv2"], ["relu2"], "relu2"),
        node("MaxPool", ["relu2"], ["pool2"], "pool2", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["pool2"], ["flat"], "flat", axis=1),
        layer("Gemm", "fc1", "flat", transB=1),
        node("Relu", ["fc1"], ["relu3"], "relu3"),
        node("Gemm", ["relu3", "fc2.weight", "fc2.bias"], ["logits"], "fc2", transB=1),
    ]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "lenet",
        [value("x", onnx.TensorProto.FLOAT, ["N", 1, SIDE, SIDE])],
        [value("logits", onnx.TensorProto.FLOAT, ["N", CLASSES])], weights)
    file = onnx.helper.make_model(
        graph, producer_name="tdsnn", ir_version=7,
        opset_imports=[onnx.helper.make_opsetid("", 13)])
    onnx.checker.check_model(file, full_check=True)
    path.write_bytes(file.SerializeToString(deterministic=True))


def check(model, path, x, y):
    """Percent correct of the written file, run by ONNX Runtime, and its distance from torch."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    logits = np.concatenate([session.run(["logits"], {"x": part.numpy()})[0]
                             for part in x.split(1000)])
    with torch.no_grad():
        expected = torch.cat([model(part) for part in x.split(1000)]).numpy()
    print(f"{path.name}: {path.stat().st_size} bytes, ONNX Runtime "
          f"{100.0 * np.mean(logits.argmax(1) == y.numpy()):.2f} %, "
          f"largest distance from torch {np.abs(logits - expected).max():.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["glyphs"], metavar=("NAME", "DIR"),
                        help="glyphs, or mnist and the folder of its .gz files")
    parser.add_argument("-o", "--output", type=pathlib.Path, help="ONNX file to write")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--decay", type=float, default=0.02)
    parser.add_argument("--no-shift", action="store_true", help="train without random shifts")
    parser.add_argument("--no-linear", action="store_true", help="skip the linear classifier")
    parser.add_argument("--holdout", type=int, default=0, metavar="N",
                        help="leave out the last N training samples and score on them, "
                             "not on the test split")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="part of what a result depends on")
    options = parser.parse_args()
    if options.data[0] not in ("glyphs", "mnist") or \
            len(options.data) != (1 if options.data[0] == "glyphs" else 2):
        parser.error("--data is `glyphs` or `mnist DIR`")
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)

    x, y = load(options.data, "train")
    if options.holdout:
        score_name, keep = "held-out", len(x) - options.holdout
        score_x, score_y, x, y = x[keep:], y[keep:], x[:keep], y[:keep]
    else:
        score_name, (score_x, score_y) = "test", load(options.data, "test")

    if not options.no_linear:
        torch.manual_seed(options.seed)
        linear = make_linear()
        train(linear, x, y, LINEAR_EPOCHS, 1e-3, LINEAR_DECAY, False)
        print(f"linear: train {accuracy(linear, x, y):.2f} %, "
              f"{score_name} {accuracy(linear, score_x, score_y):.2f} %")

    torch.manual_seed(options.seed)
    lenet = make_lenet()
    train(lenet, x, y, options.epochs, options.rate, options.decay, not options.no_shift)
    print(f"LeNet: train {accuracy(lenet, x, y):.2f} %, "
          f"{score_name} {accuracy(lenet, score_x, score_y):.2f} %")
    if options.output:
        export(lenet, options.output)
        check(lenet, options.output, score_x, score_y)


if __name__ == "__main__":
    main()
