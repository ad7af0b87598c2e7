#!/usr/bin/env python3
# labels: slow
"""The benchmarks are seen to run, at the sizes of the tests: names and counters of trial_bench, and bench/peers beside
PyTorch, whose results agree. No time is asserted."""
import csv
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import numpy
import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH = pathlib.Path(os.path.abspath(os.environ["KINEMA_BUILD"])) / "bench" / "trial_bench"
sys.path.insert(0, str(ROOT / "bench" / "peers"))
import layers  # noqa: E402
import peers  # noqa: E402

# What has trials, and what of that PyTorch is asked for.
OPERATIONS = {p.name[:-10] for p in (ROOT / "tools" / "compare").glob("*_trial.cpp")}
BESIDE = sorted(OPERATIONS & set(layers.LAYERS))


def run(*words):
    return subprocess.run([BENCH, *words], capture_output=True, text=True, timeout=120, cwd=ROOT)


@unittest.skipUnless(BENCH.exists(), "the benchmarks are not part of this build")
class Benchmarks(unittest.TestCase):
    def test_names_filter_well(self):
        done = run("--benchmark_list_tests")
        self.assertEqual(done.returncode, 0, done.stderr)
        names = done.stdout.split()
        shape = re.compile(r"(\w+)\.\w+/(f32|tf32|bf16|f16)/cpu/[^/]+/iterations:1/manual_time")
        self.assertEqual([n for n in names if not shape.fullmatch(n)], [])
        self.assertEqual({shape.fullmatch(n).group(1) for n in names}, OPERATIONS)

    def test_rows_have_their_rates(self):
        done = run("--benchmark_filter=^linear.forward/bf16/", "--benchmark_format=json")
        rows = json.loads(done.stdout)["benchmarks"]
        self.assertGreater(len(rows), 2)
        for row in rows:
            self.assertNotIn("error_occurred", row)
            self.assertLessEqual(row["low_us"], row["real_time"])
            self.assertGreaterEqual(row["high_us"], row["real_time"])
            self.assertIn("TB/s", row)
        self.assertIn("TFLOP/s", rows[-1])

    def test_a_shape_by_hand_and_what_is_refused(self):
        done = run("--shapes=x=5,64 w=32,64", "--benchmark_list_tests")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({n.split(".")[0] for n in done.stdout.split()}, {"linear"})
        done = run("--shapes=q=1", "--benchmark_list_tests")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--shapes: no operation takes q=1", done.stderr)
        done = run("--size=huge")
        self.assertEqual((done.returncode, done.stderr), (1, "--size: expected small or full, got huge\n"))

    def test_requests_that_make_no_sense_are_answered(self):
        asked = ["nonsense", '{"do":"dance"}', '{"do":"list","operation":"conv9d","precision":"f32"}',
                 '{"do":"time","operation":"linear","pass":"forward","precision":"f32","backend":"cuda","shape":"x=1,1 w=1,1"}',
                 '{"do":"about"}']
        done = subprocess.run([BENCH, "--serve"], input="\n".join(asked) + "\n", capture_output=True, text=True, cwd=ROOT)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(["error" in a for a in answers], [True, True, True, True, False])
        self.assertIn("conv9d", answers[2]["error"])
        self.assertEqual(answers[4], {"gpu": None, "backends": ["cpu"]})


@unittest.skipUnless(BENCH.exists(), "the benchmarks are not part of this build")
class BesidePyTorch(unittest.TestCase):
    def test_every_operation_agrees(self):
        with tempfile.TemporaryDirectory() as out:
            done = subprocess.run(["/usr/bin/python3", ROOT / "bench/peers/peers.py", BENCH, "--shapes", "cases", "--turns",
                                   "1", "--limit", "6", "--ops", ",".join(BESIDE), "--out", out], capture_output=True,
                                  text=True, cwd=ROOT, timeout=300)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            with open(os.path.join(out, "peers.csv"), newline="") as file:
                rows = list(csv.DictReader(file))
            text = pathlib.Path(out, "peers.txt").read_text()
        self.assertIn("torch: " + torch.__version__, text)
        self.assertIn("command: ", text)
        held = {(r["operation"], r["precision"]) for r in rows if r["contender"] == "cpu" and r["agrees"] == "True"}
        # Debian's PyTorch pools no bf16 on a CPU.
        self.assertLessEqual({(o, "f32") for o in BESIDE} | {("conv3d", "bf16"), ("linear", "bf16")}, held)
        both = [r for r in rows if r["speed/torch"]]
        self.assertGreater(len(both), 10 * len(BESIDE))
        self.assertEqual({r["contender"] for r in both}, {"cpu", "torch"})

    def test_a_wrong_result_is_seen(self):
        with tempfile.NamedTemporaryFile() as file:
            numpy.arange(6, dtype=numpy.float32).tofile(file.name)
            operands = [{"name": "y", "shape": [2, 3], "role": "output", "bound": 1e-6, "file": file.name}]
            right = torch.arange(6.0).reshape(2, 3)
            for wrong, agrees in ((0.0, True), (1e-3, False), (float("nan"), False)):
                theirs = right.clone()
                theirs[1, 1] += wrong
                gap, bound = peers.difference(operands, [theirs])
                self.assertEqual(gap <= bound, agrees, wrong)


if __name__ == "__main__":
    unittest.main()
