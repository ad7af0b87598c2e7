#!/usr/bin/env python3
"""The demonstration: generates moving shapes as .mp4 files, trains the five fusion networks on them and prints what each
has learned of clips it never saw. No single frame tells the class, so what is above chance was learned from time."""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import time

CLASSES = 12
# Model, what it sees of time, and epochs: what fits into some minutes. single_frame and the two late fusions cannot begin
# to learn here, early_fusion would go on to (98 % after 40), slow_fusion is done.
NETWORKS = [
    ("single_frame", "one frame at a time, scores averaged", 6),
    ("late_fusion_pool", "frames apart, features averaged", 4),
    ("late_fusion_fc", "frames apart, features joined at the end", 6),
    ("early_fusion", "all frames in the first layer", 30),
    ("slow_fusion", "3D convolutions, from frame to frame", 24),
]

def run(*command, capture=False):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE if capture else None, text=True)
    if done.returncode:
        sys.exit(f"demo: this command failed: {' '.join(map(str, command))}")
    return done.stdout


def generate(kinema, folder, clips, seed):
    run(kinema, "generate", "motion", "--out", folder, "--clips", clips, "--seed", seed)


def train(kinema, home, name, epochs):
    """Seconds of training, and what `kinema eval` and `kinema summary` say."""
    folder = home / "runs" / name
    shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    run(kinema, "train", "--model", name, "--data", home / "train", "--val", home / "test", "--run", folder, "--epochs",
        epochs, "--lr", 0.05, "--batch", 8, "--eval-every", epochs, "--cache-mb", 1024)
    seconds = time.monotonic() - began
    result = json.loads(run(kinema, "eval", "--run", folder, "--data", home / "test", "--json", capture=True))
    size = json.loads(run(kinema, "summary", name, "--classes", CLASSES, "--json", capture=True))
    return seconds, result, size


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinema", type=pathlib.Path, help="the program, build/release/kinema")
    parser.add_argument("--home", type=pathlib.Path, default=pathlib.Path("build/demo"), help="folder to work in")
    parser.add_argument("--train-clips", type=int, default=200, help="of each of the 12 classes")
    parser.add_argument("--test-clips", type=int, default=40)
    parser.add_argument("--epochs", type=float, default=1, help="factor on the length of training")
    parser.add_argument("--models", default="", help="some of the five, by commas")
    a = parser.parse_args()
    a.home.mkdir(parents=True, exist_ok=True)
    print(f"== {CLASSES * a.train_clips} training and {CLASSES * a.test_clips} test clips of 12 motions", flush=True)
    generate(a.kinema, a.home / "train", a.train_clips, 1)
    generate(a.kinema, a.home / "test", a.test_clips, 2)
    rows, total = [], 0
    for name, sees, epochs in NETWORKS:
        if a.models and name not in a.models.split(","):
            continue
        print(f"\n== {name}: {sees}", flush=True)
        seconds, result, size = train(a.kinema, a.home, name, max(1, round(epochs * a.epochs)))
        rows.append((name, sees, size["parameters"], size["macs"], seconds, 100 * result["top1"], result["videos"]))
        total += seconds
    print(f"\n{'model':18}{'what it sees of time':44}{'parameters':>11}{'MMAC':>8}{'training s':>12}{'top-1 %':>9}")
    for name, sees, parameters, macs, seconds, top1, _ in rows:
        print(f"{name:18}{sees:44}{parameters:11,}{macs / 1e6:8.1f}{seconds:12.0f}{top1:9.1f}")
    print(f"\n{rows[0][-1]} test clips of {CLASSES} classes (chance {100 / CLASSES:.1f} %), 3x20x64x64; "
          f"training took {total:.0f} s in all")


if __name__ == "__main__":
    main()
