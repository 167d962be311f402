"""Small networks as PyTorch's two exporters write them; for exporters.py."""

import contextlib
import io
import logging
import warnings

import onnxscript  # noqa: F401, which torch's newer exporter needs
import torch
from torch import nn
from torch.nn import functional as F

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

class Residual(nn.Module):
    def __init__(self, width, out, stride):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(width, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out))
        self.second = nn.Sequential(nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out))
        self.short = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out)) \
            if stride > 1 else nn.Identity()

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))) + self.short(x))


class Inverted(nn.Module):
    """MobileNet v2's block: its end is linear."""

    def __init__(self, width):
        super().__init__()
        wide = 3 * width
        self.body = nn.Sequential(
            nn.Conv2d(width, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, 1, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        return x + self.body(x)


class ResidualD(nn.Module):
    """ResNet-D's unit: the shortcut averages, then mixes channels."""

    def __init__(self, width, out):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
            nn.Conv2d(out, out, 3, 2, 1, bias=False), nn.BatchNorm2d(out))
        self.short = nn.Sequential(
            nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False),
            nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        return F.relu(self.body(x) + self.short(x))


class Fire(nn.Module):
    def __init__(self, width, narrow, out):
        super().__init__()
        self.narrow, self.one = nn.Conv2d(width, narrow, 1), nn.Conv2d(narrow, out, 1)
        self.three = nn.Conv2d(narrow, out, 3, padding=1)

    def forward(self, x):
        x = F.relu(self.narrow(x))
        return torch.cat([F.relu(self.one(x)), F.relu(self.three(x))], 1)


class Dense(nn.Module):
    """DenseNet's layer: batch-norm and ReLU in front of the convolution."""

    def __init__(self, width, growth):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(width), nn.Conv2d(width, growth, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv(F.relu(self.norm(x)))], 1)


class Inception(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.one, self.pooled = nn.Conv2d(width, 4, 1), nn.Conv2d(width, 4, 1)
        self.wide, self.tall = nn.Conv2d(width, 4, (1, 3), padding=(0, 1)), nn.Conv2d(4, 4, (3, 1), padding=(1, 0))

    def forward(self, x):
        pooled = self.pooled(F.avg_pool2d(x, 3, 1, 1))
        return F.relu(torch.cat([self.one(x), self.tall(F.relu(self.wide(x))), pooled], 1))


class Shuffle(nn.Module):
    """ShuffleNet v2's unit: half of the channels pass, then the halves are mixed."""

    def __init__(self, width):
        super().__init__()
        half = width // 2
        self.body = nn.Sequential(nn.Conv2d(half, half, 1), nn.ReLU(),
                                  nn.Conv2d(half, half, 3, 1, 1, groups=half),
                                  nn.Conv2d(half, half, 1), nn.ReLU())

    def forward(self, x):
        left, right = x.chunk(2, 1)
        x = torch.cat([left, self.body(right)], 1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class Apply(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def split_and_join(x):
    _, middle, last = torch.split(x, [2, 3, 4], 1)
    return torch.cat([middle, last + x[:, 1:5]], 1)


def slopes(width):
    layer = nn.PReLU(width)
    layer.weight.data = torch.linspace(-0.1, 0.6, width)
    return layer


def stem(width=8):
    return nn.Conv2d(3, width, 3, padding=1), nn.ReLU()


def head(width, outputs=5):
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, outputs)


def normalised(width):
    return nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()


IMAGE, SIGNAL, FLAT = (3, 16, 16), (3, 32), (24,)

TORCH = {
    "plain_cnn": (IMAGE, lambda: nn.Sequential(
        *normalised(6), nn.MaxPool2d(2), nn.Conv2d(6, 8, 5, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(72, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 5), nn.LogSoftmax(1))),
    "resnet": (IMAGE, lambda: nn.Sequential(
        *normalised(8), Residual(8, 8, 1), Residual(8, 12, 2), *head(12))),
    "resnet_d": (IMAGE, lambda: nn.Sequential(
        nn.Conv2d(3, 8, 4), nn.ReLU(), ResidualD(8, 12), ResidualD(12, 12), *head(12))),
    "mobilenet_v2": (IMAGE, lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(), Inverted(8), Inverted(8),
        nn.Conv2d(8, 16, 1), nn.ReLU6(), *head(16))),
    "squeezenet": (IMAGE, lambda: nn.Sequential(
        *stem(), nn.MaxPool2d(3, 2, ceil_mode=True), Fire(8, 4, 6), Fire(12, 4, 6),
        nn.Conv2d(12, 5, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(1))),
    "densenet": (IMAGE, lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False), Dense(6, 4), Dense(10, 4), nn.BatchNorm2d(14), nn.ReLU(),
        nn.Conv2d(14, 7, 1, bias=False), nn.AvgPool2d(2), nn.BatchNorm2d(7), nn.ReLU(), *head(7))),
    "inception": (IMAGE, lambda: nn.Sequential(*stem(), Inception(8), nn.MaxPool2d(3, 2, 1),
                                               Inception(12), *head(12))),
    "vgg": (IMAGE, lambda: nn.Sequential(
        *stem(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 2),
        nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2, 2),
        nn.AdaptiveAvgPool2d((2, 2)), nn.Flatten(), nn.Linear(48, 16), nn.ReLU(True), nn.Dropout(),
        nn.Linear(16, 5), nn.Softmax(-1))),
    "signal_cnn": (SIGNAL, lambda: nn.Sequential(
        nn.Conv1d(3, 8, 5, 2, 2), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(8, 8, 3, padding=2, dilation=2, groups=4), nn.ReLU(), nn.AvgPool1d(2),
        nn.Flatten(), nn.Linear(32, 5))),
    "signal_mean": (SIGNAL, lambda: nn.Sequential(
        nn.Conv1d(3, 8, 3), nn.ReLU(), Apply(lambda x: x.mean(-1)), nn.Linear(8, 5))),
    "mlp": (FLAT, lambda: nn.Sequential(
        nn.Linear(24, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16, bias=False), nn.ReLU(),
        nn.Linear(16, 3))),
    "shuffle": (IMAGE, lambda: nn.Sequential(*stem(), Shuffle(8), Shuffle(8), *head(8))),
    "split": (IMAGE, lambda: nn.Sequential(*stem(9), Apply(split_and_join), nn.Conv2d(7, 6, 3),
                                           nn.ReLU(), *head(6))),
    "grouped": (IMAGE, lambda: nn.Sequential(
        *stem(), nn.Conv2d(8, 12, 3, groups=4, padding=1), nn.ReLU(),
        nn.Conv2d(12, 12, 3, 2, groups=12), nn.ReLU(), nn.Conv2d(12, 8, 1), nn.ReLU(), *head(8))),
    "prelu": (IMAGE, lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.PReLU(), nn.Conv2d(8, 8, 3), nn.PReLU(), *head(8))),
    "prelu_slopes": (IMAGE, lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3), slopes(8), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), slopes(8),
        *head(8))),
    "leaky": (IMAGE, lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.LeakyReLU(0.1), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.LeakyReLU(),
        *head(8))),
    "mean_of_space": (IMAGE, lambda: nn.Sequential(
        *stem(), Apply(lambda x: x.mean([2, 3])), nn.Linear(8, 5))),
    "mean_kept": (IMAGE, lambda: nn.Sequential(
        *stem(), Apply(lambda x: x.mean((2, 3), keepdim=True)), nn.Conv2d(8, 5, 1), nn.Flatten())),
    "flatten_view": (IMAGE, lambda: nn.Sequential(
        *stem(4), nn.MaxPool2d(4), Apply(lambda x: x.view(x.size(0), -1)), nn.Linear(64, 5))),
    "flatten_reshape": (IMAGE, lambda: nn.Sequential(
        *stem(4), nn.AvgPool2d(4), Apply(lambda x: torch.flatten(x, 1).reshape(-1, 64)), nn.Linear(64, 5))),
    "padded": (IMAGE, lambda: nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 8, 3, 2), nn.ReLU(),
        Apply(lambda x: F.pad(x, (1, 2, 0, 1))), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3, padding="same"),
        nn.ReLU(), *head(6))),
    "scaled_input": (IMAGE, lambda: nn.Sequential(
        Apply(lambda x: (x * 255 - torch.tensor([120.0, 110.0, 100.0]).view(1, 3, 1, 1)) / 58.0),
        *stem(), *head(8))),
    "difference": (IMAGE, lambda: nn.Sequential(
        *stem(), Apply(lambda x: x[:, :4] - x[:, 4:]), nn.ReLU(), *head(4))),
    "hardtanh": (IMAGE, lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Hardtanh(-0.5, 0.5), nn.Conv2d(8, 8, 3), nn.Hardtanh(), *head(8))),
    "hardtanh_uneven": (IMAGE, lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Hardtanh(-0.5, 1.0), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3),
        nn.Hardtanh(-2.0, 0.3), *head(8))),
    "bgr": (IMAGE, lambda: nn.Sequential(Apply(lambda x: x.index_select(1, torch.tensor([2, 1, 0])) - 0.5), *stem(), *head(8))),
    "flipped": (IMAGE, lambda: nn.Sequential(
        Apply(lambda x: x.flip(1)), *stem(), Apply(lambda x: x[:, 1::2]), *head(4))),
    "global_max": (IMAGE, lambda: nn.Sequential(
        *stem(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 5))),
    "ceil_average": (IMAGE, lambda: nn.Sequential(
        *stem(), nn.AvgPool2d(3, 2, ceil_mode=True, count_include_pad=False), nn.Conv2d(8, 5, 1),
        nn.Flatten(2), Apply(lambda x: x.mean(2)))),
    "ceil_counted": (IMAGE, lambda: nn.Sequential(
        *stem(), nn.AvgPool2d(3, 2, ceil_mode=True), nn.Conv2d(8, 5, 1), nn.ReLU(), *head(5))),
    "to_columns": (FLAT, lambda: nn.Sequential(
        nn.Linear(24, 8), nn.ReLU(), Apply(lambda x: x.view(-1, 8, 1, 1)), nn.Conv2d(8, 6, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(6, 3))),
    "unsqueezed_twice": (FLAT, lambda: nn.Sequential(
        nn.Linear(24, 8), nn.ReLU(), Apply(lambda x: x.unsqueeze(-1).unsqueeze(-1)), nn.Conv2d(8, 6, 1),
        nn.ReLU(), Apply(lambda x: x.squeeze(-1).squeeze(-1)), nn.Linear(6, 3))),
    "tokens": (FLAT, lambda: nn.Sequential(
        Apply(lambda x: x.unsqueeze(1)), nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(),
        nn.Flatten(), nn.Linear(6, 3))),
    "linear_on_top": (IMAGE, lambda: nn.Sequential(
        *stem(4), nn.MaxPool2d(4), Apply(lambda x: x.permute(0, 2, 3, 1)), nn.Linear(4, 6),
        nn.ReLU(), Apply(lambda x: x.mean((1, 2))), nn.Linear(6, 3))),
}

EXPORTS = {"torchscript": dict(dynamo=False), "dynamo": dict(dynamo=True, verbose=False)}
OPSETS = {"torchscript": (9, 11, 13, 17), "dynamo": (18, 20)}


def randomise(model):
    """Statistics of batch-norms as training leaves them, slopes of their own for every channel."""
    for part in model.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(part.weight, 0.6, 1.4)
            nn.init.normal_(part.bias, 0, 0.2)
    return model.eval()


def export(name, exporter, opset, path):
    shape, make = TORCH[name]
    torch.manual_seed(sum(map(ord, name)))
    model = randomise(make())
    options = dict(EXPORTS[exporter], input_names=["x"], output_names=["y"], opset_version=opset)
    if exporter == "dynamo":
        options["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
    else:
        options["dynamic_axes"] = {"x": {0: "batch"}, "y": {0: "batch"}}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        torch.onnx.export(model, (torch.rand(2, *shape),), path, **options)
    return shape
