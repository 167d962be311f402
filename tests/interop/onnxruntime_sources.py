"""ONNX Runtime runs the source networks as `tdsnn eval` does: the same logits. TAP.

    onnxruntime_sources.py TDSNN
"""

import os
import subprocess
import sys
import tempfile

DATA = os.environ.get("TDSNN_SHARED_DATA", "../shared/data")
SAMPLES = 16
BOUND = 1e-4  # of the range of the logits

if not os.path.isdir(os.path.join(DATA, "models")):
    print(f"1..0 # SKIP no networks at {DATA}/models")
    sys.exit(0)
try:
    import numpy as np
    import onnx
    import onnxruntime
except ImportError as missing:
    print(f"1..0 # SKIP {missing}: script/test interop installs it where PyPI is")
    sys.exit(0)

# network, then the mean and standard deviation of what it is given
NETWORKS = [
    ("lenet-mnist", 0.5, 0.3),
    ("mnist-8", 128, 75),
    ("lenet_caffe", 0.5, 0.3),
    ("netkit_mnist_cnn_dw", 0.5, 0.3),
    ("netkit_mnist_mlp", 0.5, 0.3),
    ("resnet20", 0, 1),
    ("resnet56", 0, 1),
    ("kws_dscnn", 0, 30),
    ("vww_mobilenet_v1_0.25_96", 0.5, 0.3),
    ("ad01_fc_autoencoder", 0, 1),
    ("squeezenet1.1/squeezenet1.1", 0, 1),
    ("mobilenet_v1_0.75_224", 0, 0.5),
]


def without_softmax(path):
    """The model, its output that of the node before a closing Softmax, as eval's logits are."""
    model = onnx.load(path)
    producers = {name: node for node in model.graph.node for name in node.output}
    output = model.graph.output[0]
    last = producers[output.name]
    if last.op_type in ("Softmax", "LogSoftmax"):
        output.name = last.input[0]
        output.type.tensor_type.ClearField("shape")
    return model.SerializeToString()


def runtime_logits(path, samples):
    """One sample at a time: some of the files hold a batch of 1."""
    session = onnxruntime.InferenceSession(without_softmax(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    outputs = [session.run(None, {name: sample[None]})[0].reshape(-1) for sample in samples]
    return np.stack(outputs)


def our_logits(tdsnn, path, samples, folder):
    data, out = os.path.join(folder, "x.npy"), os.path.join(folder, "logits.npy")
    np.save(data, samples)
    subprocess.run([tdsnn, "eval", path, "--data", f"npy:{data}", "--scale", "1", "--logits", out,
                    "--force", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return np.load(out)


def compare(number, folder, network, mean, deviation):
    path = os.path.join(DATA, "models", network + ".onnx")
    dims = onnx.load(path).graph.input[0].type.tensor_type.shape.dim[1:]
    random = np.random.default_rng(number)
    samples = random.normal(mean, deviation, (SAMPLES, *(d.dim_value for d in dims))).astype("f4")
    expected = runtime_logits(path, samples)
    span = float(expected.max() - expected.min())
    error = float(np.abs(our_logits(sys.argv[1], path, samples, folder) - expected).max()) / span
    print(f"{'ok' if error <= BOUND else 'not ok'} {number} - {network}: logits differ by {error:.2g} "
          f"of their range, {span:.4g}, on {SAMPLES} samples", flush=True)


with tempfile.TemporaryDirectory() as folder:
    for number, row in enumerate(NETWORKS, 1):
        compare(number, folder, *row)
print(f"1..{len(NETWORKS)}")
