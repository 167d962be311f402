"""The speed of `tdsnn train resnet20` against PyTorch's on the same cores: forward, backward and step, by
turns.

    train_speed.py TDSNN DATA [--batch N] [--threads N] [--rounds N] [--steps N]

DATA is CIFAR-10 as `tdsnn train --data` takes it. Prints images a second of either side, medians over the
rounds, and the ratio; exits with 1 where ours is slower. PyTorch has the network in every form below and
the fastest one counts; its samples lie ready in memory, while ours are read, mirrored, moved and normalised
as they are trained on.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from torch import nn
from torch.nn import functional as F

HELD_OUT = 100  # samples that tdsnn measures accuracy on, which is not in its images a second
FORMS = {"plain": (torch.contiguous_format, False), "channels last": (torch.channels_last, False),
         "compiled": (torch.contiguous_format, True), "compiled, channels last": (torch.channels_last, True)}


class Block(nn.Module):
    def __init__(self, width, out, stride):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(width, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out))
        self.second = nn.Sequential(nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out))
        self.short = nn.Identity() if stride == 1 else nn.Sequential(
            nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        inside = F.relu(self.first(x), inplace=True)
        return F.relu(self.second(inside) + self.short(x), inplace=True)


def resnet20():
    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    for width, out in ((16, 16), (16, 32), (32, 64)):
        layers += [Block(width, out, out // width), Block(out, out, 1), Block(out, out, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


PARAMETERS = sum(weights.numel() for weights in resnet20().parameters())


class Torch:
    """Steps of training in one form."""

    def __init__(self, form, batch):
        self.layout, compiled = FORMS[form]
        torch.manual_seed(0)
        self.batch, self.taken = batch, 0
        model = resnet20().train().to(memory_format=self.layout)
        self.run = torch.compile(model) if compiled else model
        self.optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, foreach=True)
        self.samples = [torch.randn(batch, 3, 32, 32).contiguous(memory_format=self.layout) for _ in range(8)]
        self.labels = [torch.randint(0, 10, (batch,)) for _ in range(8)]
        self.images_per_second(3)

    def images_per_second(self, steps):
        start = time.perf_counter()
        for _ in range(steps):
            self.taken = (self.taken + 1) % 8
            self.optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(self.run(self.samples[self.taken]), self.labels[self.taken]).backward()
            self.optimiser.step()
        return steps * self.batch / (time.perf_counter() - start)


def peers(batch):
    """The forms that run here: compiling wants a C++ compiler."""
    made = {}
    for form in FORMS:
        try:
            made[form] = Torch(form, batch)
        except Exception as error:  # whatever a compiler may say
            print(f"PyTorch, {form}: does not run here: {str(error).splitlines()[0]}", flush=True)
    return made


def ours(options, folder):
    """Images a second of one epoch."""
    done = subprocess.run(
        [options.tdsnn, "train", "resnet20", "-o", os.path.join(folder, "out.onnx"), "--force", "--data", options.data,
         "--epochs", "1", "--batch", str(options.batch), "--threads", str(options.threads), "--holdout", str(HELD_OUT),
         "--limit", str(options.steps * options.batch + HELD_OUT), "--norm", "live", "--flip", "--shift", "4",
         "--seed", "1", "--json", "--quiet"], stdout=subprocess.PIPE, check=True)
    document = json.loads(done.stdout)
    assert document["parameters"] == PARAMETERS, "the two networks differ"
    return document["epochs"][0]["images_per_second"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tdsnn")
    parser.add_argument("data")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="of tdsnn a round; PyTorch takes half as many")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    theirs = peers(options.batch)
    speeds = {form: [] for form in theirs}
    mine = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            mine.append(ours(options, folder))
            for form, peer in theirs.items():
                speeds[form].append(peer.images_per_second((options.steps + 1) // 2))
    print(f"ResNet-20, batch {options.batch}, {options.threads} thread(s), medians of {options.rounds} rounds")
    for form, values in speeds.items():
        print(f"{f'PyTorch {torch.__version__}, {form}':45} {statistics.median(values):8.1f} images/s")
    print(f"{'tdsnn train':45} {statistics.median(mine):8.1f} images/s")
    best = max(speeds, key=lambda form: statistics.median(speeds[form]))
    ratio = statistics.median(m / t for m, t in zip(mine, speeds[best]))
    print(f"tdsnn is {ratio:.2f} times as fast as PyTorch, {best}")
    sys.exit(ratio < 1)


main()
