#!/usr/bin/env python3
"""Training step beside PyTorch: [conv 3x3x3, batch norm, ReLU, max pool] x 5, global pool, linear 12.

  /usr/bin/python3 bench/train_step.py build/release/bench/train_step

Both run in the same minutes, by turns, each in a process of its own: Kinema, PyTorch with dense tensors, PyTorch with
channels_last_3d. Printed: median step, peak resident memory of the process (and how much of it came after start-up),
and the ratios to the better of PyTorch's two formats.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

WIDTHS, POOLS = [32, 64, 128, 128, 256], [(1, 2, 2)] + [(2, 2, 2)] * 4


def resident_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def torch_steps(layout, steps, threads, batch, frames, size):
    import torch
    from torch import nn
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    layers, channels = [], 3
    for width, pool in zip(WIDTHS, POOLS):
        layers += [nn.Conv3d(channels, width, 3, padding=1, bias=False), nn.BatchNorm3d(width), nn.ReLU(inplace=True),
                   nn.MaxPool3d(pool)]
        channels = width
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(channels, 12))
    x = torch.rand(batch, 3, frames, size, size) * 2 - 1
    if layout == "channels_last_3d":
        net, x = net.to(memory_format=torch.channels_last_3d), x.to(memory_format=torch.channels_last_3d)
    labels = torch.arange(batch) % 12
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    start, seconds = resident_mb(), []
    for _ in range(steps):
        began = time.perf_counter()
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(net(x), labels)
        loss.backward()
        optimiser.step()
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": seconds, "start_mb": start, "peak_mb": resident_mb(), "loss": loss.item(),
                      "version": torch.__version__}))


def run(command, threads):
    env = dict(os.environ, OMP_NUM_THREADS=str(threads))
    return json.loads(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="build/release/bench/train_step")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="a round; the first is warm-up")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--torch-layout", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.torch_layout:
        return torch_steps(a.torch_layout, a.steps, a.threads, a.batch, a.frames, a.size)
    shape = [str(v) for v in (a.steps, a.batch, a.frames, a.size)]
    own = [a.program, *shape]
    peers = {layout: [sys.executable, __file__, a.program, "--torch-layout", layout, "--steps", shape[0], "--threads",
                      str(a.threads), "--batch", shape[1], "--frames", shape[2], "--size", shape[3]]
             for layout in ("contiguous", "channels_last_3d")}
    names = {"kinema": own, **{f"torch {k}": v for k, v in peers.items()}}
    seconds, peak, start, info = {n: [] for n in names}, {n: 0 for n in names}, {n: 0 for n in names}, {}
    for _ in range(a.rounds):
        for name, command in names.items():
            got = run(command, a.threads)
            seconds[name] += got["seconds"][1:]
            peak[name], start[name] = max(peak[name], got["peak_mb"]), got["start_mb"]
            info[name] = got
    print(f"[conv 3x3x3, batch norm, ReLU, max pool] x 5, batch {a.batch}, 3x{a.frames}x{a.size}x{a.size}, f32, "
          f"{a.threads} threads, PyTorch {info['torch contiguous']['version']}")
    print(f"{'':24}{'median s':>10}{'min s':>10}{'peak MB':>10}{'of it at start':>16}{'last loss':>11}")
    for n in names:
        print(f"{n:24}{statistics.median(seconds[n]):10.3f}{min(seconds[n]):10.3f}{peak[n]:10.0f}{start[n]:16.0f}"
              f"{info[n]['loss']:11.4f}")
    best = min((n for n in names if n != "kinema"), key=lambda n: statistics.median(seconds[n]))
    lean = min((n for n in names if n != "kinema"), key=lambda n: peak[n])
    print(f"time   kinema / {best}: {statistics.median(seconds['kinema']) / statistics.median(seconds[best]):.2f}")
    print(f"memory kinema / {lean}: {peak['kinema'] / peak[lean]:.2f}")


if __name__ == "__main__":
    main()
