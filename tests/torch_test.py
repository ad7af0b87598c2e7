#!/usr/bin/env python3
# labels: ci, torch
"""Against PyTorch: a small 3D CNN with the same weights gives the same outputs, the same gradient of every parameter
and of the input, and stays together over ten steps of SGD and of AdamW.

Bound 1e-4 on max|difference| / max|reference|: sums of up to 32,000 products in f32 differ by about 1e-5 between two
orders of adding, and ten steps of momentum let that grow tenfold at most.
"""
import json
import os
import pathlib
import struct
import subprocess
import tempfile
import unittest

import numpy
import torch
from torch import nn
from torch.nn import functional

BUILD = pathlib.Path(os.environ["KINEMA_BUILD"])
BOUND = 1e-4


def write(path, tensors):
    header, at, blobs = {}, 0, []
    for name, array in tensors.items():
        array = numpy.ascontiguousarray(array)
        kind = {"float32": "F32", "int64": "I64"}[str(array.dtype)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
        blobs.append(array.tobytes())
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read(path):
    raw = path.read_bytes()
    size, = struct.unpack_from("<Q", raw)
    header, data = json.loads(raw[8:8 + size]), raw[8 + size:]
    header.pop("__metadata__", None)
    return {name: numpy.frombuffer(data[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"])
            for name, entry in header.items()}


def channels_last(array):
    """A copy (PyTorch trains in place) in our axis order."""
    array = array.detach().numpy().copy()
    return numpy.moveaxis(array, 1, -1) if array.ndim == 5 else array


class Net(nn.Module):
    """The network of tests/programs/torch_oracle.cpp."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv3d(3, 10, 3, stride=(1, 2, 2), padding=1, bias=False)
        self.norm1 = nn.BatchNorm3d(10)
        self.conv2 = nn.Conv3d(10, 14, (3, 1, 3), padding=(2, 0, 1), dilation=(2, 1, 1), groups=2)
        self.conv3 = nn.Conv3d(14, 14, 1)
        self.norm3 = nn.BatchNorm3d(14)
        self.norm4 = nn.LayerNorm(14)
        self.fc = nn.Linear(14, 5)

    def forward(self, x):
        h = functional.relu(self.norm1(self.conv1(x)))
        h = functional.max_pool3d(h, (1, 3, 3), (1, 2, 2), (0, 1, 1))
        h = functional.relu(self.conv2(h))
        h = functional.relu(self.norm3(self.conv3(h)) + h)
        h = functional.avg_pool3d(h, 2, ceil_mode=True)
        h = self.norm4(h.movedim(1, -1)).movedim(-1, 1)
        return self.fc(torch.sigmoid(h).mean((2, 3, 4)))


class AgainstPyTorch(unittest.TestCase):
    optimiser = "sgd"

    @staticmethod
    def make_optimiser(parameters):
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-3, nesterov=True)

    @classmethod
    def setUpClass(cls):
        torch.manual_seed(3)
        net, steps = Net(), 10
        x = torch.rand(4, 3, 6, 20, 22) * 2 - 1
        labels = torch.tensor([0, 3, 1, 4])
        weights = {name: channels_last(value) for name, value in net.named_parameters()}
        optimiser = cls.make_optimiser(net.parameters())
        cls.want = {}
        for step in range(steps):
            inputs = x.clone().requires_grad_(step == 0)
            optimiser.zero_grad()
            logits = net(inputs)
            loss = functional.cross_entropy(logits, labels, label_smoothing=0.1)
            loss.backward()
            cls.want[f"loss.{step}"] = loss.detach().numpy().reshape(1)
            if step == 0:
                cls.want["logits"] = logits.detach().numpy()
                cls.want["grad.x"] = channels_last(inputs.grad)
                for name, value in net.named_parameters():
                    cls.want[f"grad.{name}"] = channels_last(value.grad)
            optimiser.step()
        for name, value in net.named_parameters():
            cls.want[f"after.{name}"] = channels_last(value)
        for name in ("running_mean", "running_var"):
            cls.want[f"after.norm1.{name}"] = getattr(net.norm1, name).numpy().copy()
        with tempfile.TemporaryDirectory() as folder:
            into, out = pathlib.Path(folder) / "in.safetensors", pathlib.Path(folder) / "out.safetensors"
            write(into, {**weights, "x": channels_last(x), "labels": labels.numpy()})
            subprocess.run([BUILD / "tests" / "torch_oracle", into, out, str(steps), cls.optimiser],
                           check=True)
            cls.got = read(out)

    def compare(self, prefix):
        names = [name for name in self.want if name.startswith(prefix)]
        self.assertTrue(names)
        for name in names:
            want, got = self.want[name], self.got[name]
            self.assertEqual(want.shape, got.shape, name)
            # The gradient of a bias before a batch norm is 0 but for rounding: measured beside its neighbours.
            scale = max(abs(want).max(), 1e-3 if prefix == "grad." else 0)
            self.assertLessEqual(abs(want - got).max() / scale, BOUND, name)

    def test_outputs(self):
        self.compare("logits")

    def test_every_gradient(self):
        self.compare("grad.")

    def test_losses_of_ten_steps(self):
        self.compare("loss.")

    def test_weights_and_statistics_after_ten_steps(self):
        self.compare("after.")


class AdamWAgainstPyTorch(AgainstPyTorch):
    optimiser = "adamw"

    @staticmethod
    def make_optimiser(parameters):
        # The gradient of a bias before a batch norm is rounding alone, which a small eps would blow up to whole steps.
        return torch.optim.AdamW(parameters, lr=0.01, eps=1e-3, weight_decay=0.1)


if __name__ == "__main__":
    unittest.main()
