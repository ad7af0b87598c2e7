#!/usr/bin/env python3
# labels: slow
"""kinema compare without a GPU: every hand-written kernel and the CPU's code against the reference in f64, what a
program reads of it, a user's own kernel, and its refusals."""
import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ["KINEMA_PROGRAM"]
FIELDS = {"operation", "pass", "dtype", "shape", "name", "backend", "error", "bound", "reason", "ok", "seconds", "low",
          "high", "flop", "bytes", "floor", "share", "ratio", "note", "plan"}


def run(*arguments, code=0):
    done = subprocess.run([PROGRAM, "compare", *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done


def rows(*arguments, code=0):
    return json.loads(run(*arguments, "--json", code=code).stdout)


def key(row):
    return row["operation"], row["pass"], row["dtype"], row["shape"]


class Rows(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.all = rows("--backends", "emulated,cpu,reference", "--dtype", "f32,tf32,bf16,f16")

    def test_all_are_right(self):
        wrong = [r for r in self.all if r["ok"] is not True]
        self.assertEqual(wrong, [])
        self.assertGreater(len(self.all), 3000)

    def test_every_operation_is_there_on_every_backend(self):
        operations = {p.parent.name for p in (ROOT / "kernels").glob("*/*_cases.h")}
        for backend in "emulated", "cpu", "reference":
            self.assertEqual({r["operation"] for r in self.all if r["backend"] == backend}, operations)

    def test_errors_are_those_of_the_type(self):
        # Results of narrow types are rounded, so that some row of each operation that computes comes within a
        # factor of 8 of half a unit in the last place: the comparison looks at numbers, not at nothing.
        unit = {"f32": 2 ** -23, "bf16": 2 ** -7, "f16": 2 ** -10}
        for operation in {r["operation"] for r in self.all} - {"copy", "step_control"}:
            for dtype, u in unit.items():
                mine = [r for r in self.all if r["operation"] == operation and r["dtype"] == dtype]
                if mine:
                    self.assertGreater(max(r["error"] for r in mine), u / 16, (operation, dtype))

    def test_bounds_are_no_wider_than_the_arithmetic(self):
        # A unit in the last place of narrow types (2^-9: of both factors of TF32), and sums in f32. Scaled frames may
        # come out a level of 255 apart, which changes of colours magnify; batch norm of two rows cancels.
        unit = {"f32": 0, "tf32": 2 ** -9, "bf16": 2 ** -7, "f16": 2 ** -10}
        wide = {("clip_transform", "forward"): 0.11, ("batch_norm", "train_grad"): 5e-4}
        for r in self.all:
            limit = unit[r["dtype"]] + wide.get((r["operation"], r["pass"]), 5e-5)
            self.assertLessEqual(r["bound"], limit, r)

    def test_schema(self):
        for r in self.all:
            self.assertEqual(set(r), FIELDS)
            for name in "error", "bound", "floor", "flop", "bytes":
                self.assertIsInstance(r[name], (int, float), (name, r))
            for name in "seconds", "low", "high", "share", "ratio":
                self.assertIsNone(r[name])
            self.assertGreaterEqual(r["bound"], r["error"])

    def test_a_row_s_shape_can_be_given_by_hand(self):
        for operation in {r["operation"] for r in self.all} - {"step_control"}:
            row = [r for r in self.all if r["operation"] == operation][-1]
            again = rows(operation, "--shapes", row["shape"], "--dtype", row["dtype"], "--pass", row["pass"],
                         "--backends", row["backend"])
            self.assertEqual([key(r) for r in again], [key(row)])
            self.assertEqual(again[0]["error"], row["error"])


class Suite(unittest.TestCase):
    def test_layers_of_real_networks(self):
        found = rows("conv3d", "--shapes", "suite", "--dtype", "bf16", "--backends", "emulated", "--pass",
                     "forward,grad_input,grad_weight")
        self.assertEqual(len(found), 3 * 169)
        self.assertEqual([r for r in found if not r["ok"]], [])

    def test_headline_is_twelve_layers(self):
        found = rows("conv3d", "--shapes", "headline", "--pass", "forward", "--dtype", "bf16", "--backends", "cpu")
        self.assertEqual(len(found), 12)


class Output(unittest.TestCase):
    def test_table(self):
        text = run("lerp", "--backends", "emulated,cpu", "--dtype", "f32").stdout
        self.assertIn("not measured", text)
        self.assertNotIn("TB/s", text)
        self.assertRegex(text.splitlines()[1], r"^lerp\.towards +f32 +emulated +ok +\S+ +\S+ +not measured +x=0$")
        self.assertRegex(text.splitlines()[-1], r"^12 rows: 12 ok, 0 wrong, 0 refused$")

    def test_csv_holds_what_json_does(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "rows.csv"
            told = rows("reduce", "--backends", "cpu", "--csv", str(file))
            with open(file) as text:
                read = list(csv.DictReader(text))
            self.assertEqual(set(read[0]), FIELDS)
            self.assertEqual([r["shape"] for r in read], [r["shape"] for r in told])
            self.assertEqual([float(r["error"]) for r in read], [r["error"] for r in told])
            self.assertEqual({r["seconds"] for r in read}, {""})

    def test_page(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "page.html"
            run("lerp", "--backends", "cpu", "--html", str(file))
            self.assertIn("lerp", file.read_text())

    def test_explain(self):
        layer = "x=1,4,8,8,64 w=64,3,3,3,64 pad=1,1,1"
        found = rows("conv3d", "--shapes", layer, "--pass", "forward", "--dtype", "bf16", "--explain", "--backends",
                     "emulated,cpu")
        self.assertRegex(found[0]["plan"], r"columns|tile")
        self.assertIn("oneDNN", found[1]["plan"])

    def test_parts_of_large_convolutions_are_checked(self):
        # 1.4 GFLOP a pass, more than the reference is given: boxes of the result are computed from the slices that
        # they depend on. Were these wrong slices, no backend would agree.
        for layer in ("x=1,4,56,56,64 w=128,3,3,3,64 pad=1,1,1 stride=1,2,2",
                      "x=2,9,57,55,64 w=96,3,3,3,32 pad=1,0,1 pad_back=0,1,2 stride=2,1,3 dilation=1,2,1 groups=2"):
            found = rows("conv3d", "--shapes", layer, "--dtype", "f32", "--backends", "cpu,emulated", "--pass",
                         "forward,grad_input,grad_weight")
            self.assertEqual([r["ok"] for r in found], 6 * [True], found)
            self.assertTrue(all(r["flop"] > 1e9 and r["error"] > 1e-8 for r in found))

    def test_full_size_times_the_cpu(self):
        layer = "x=1,2,14,14,64 w=64,3,3,3,64 pad=1,1,1"
        found = rows("conv3d", "--shapes", layer, "--size", "full", "--dtype", "f32", "--backends", "cpu,emulated,reference")
        self.assertEqual(len(found), 12)
        for r in found:
            self.assertTrue(r["ok"], r)
            self.assertIsNone(r["share"])  # of an H200's floor
            if r["backend"] != "cpu":  # their seconds say nothing
                self.assertIsNone(r["seconds"])
                continue
            self.assertGreater(r["low"], 0)
            self.assertLessEqual(r["low"], r["seconds"])
            self.assertLessEqual(r["seconds"], r["high"])

    def test_interrupt_ends_it_cleanly(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "rows.csv"
            job = subprocess.Popen([PROGRAM, "compare", "conv3d", "--shapes", "suite", "--csv", str(file)], cwd=ROOT,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(4):
                job.stdout.readline()
            job.send_signal(signal.SIGINT)
            out, _ = job.communicate(timeout=60)
            self.assertEqual(job.returncode, 130)
            self.assertIn(" wrong, 0 refused", out.splitlines()[-1])
            self.assertGreater(len(file.read_text().splitlines()), 3)


class OwnKernel(unittest.TestCase):
    EXAMPLE = ROOT / "docs" / "my_scale.cu"

    def compare(self, change, code):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "mine.cu"
            file.write_text(change(self.EXAMPLE.read_text()))
            return run("--kernel", str(file), "--backends", "emulated", "--pass", "scale", "--json", code=code)

    def test_the_example_is_right(self):
        found = json.loads(self.compare(lambda text: text, 0).stdout)
        mine = [r for r in found if r["backend"] == "mine.cu"]
        self.assertEqual({r["pass"] for r in mine}, {"scale"})
        self.assertEqual(len(mine), len(found) // 2)
        self.assertTrue(all(r["ok"] for r in mine))

    def test_a_fault_is_found_in_it_alone(self):
        found = json.loads(self.compare(lambda text: text.replace("factor * float", "factor + float"), 1).stdout)
        # A kernel of the program's own of the same name would be right.
        self.assertIn("y differs from the reference", {r["note"] for r in found if r["backend"] == "mine.cu"})
        self.assertTrue(all(r["ok"] for r in found if r["backend"] == "emulated"))

    def test_a_lane_that_is_left_is_found(self):
        found = json.loads(self.compare(lambda text: text.replace("channels + y.tail", "channels"), 1).stdout)
        self.assertIn("a zero lane of y holds something", {r["note"] for r in found})

    def test_an_input_that_changes_is_found(self):
        line = "y[rows_of_y(row) + c] = T(value);"
        self.assertIn(line, self.EXAMPLE.read_text())
        found = json.loads(self.compare(lambda text: text.replace(line, line + " const_cast<T*>(x)[0] = T(9);"), 1).stdout)
        self.assertIn("the input x has changed", {r["note"] for r in found if r["backend"] == "mine.cu"})

    def test_the_compiler_s_errors_are_shown(self):
        done = self.compare(lambda text: text.replace("factor * float", "no_such_factor * float"), 1)
        self.assertIn("no_such_factor", done.stderr)
        self.assertIn("does not compile; what is wrong stands above", done.stderr)

    def test_a_file_without_a_constant(self):
        done = self.compare(lambda text: text.replace("KERNELS_DEVICE", "KERNELS_NOTHING"), 1)
        self.assertIn("expected one constant in", done.stderr)


class Refusals(unittest.TestCase):
    def refused(self, code, sentence, *arguments):
        done = run(*arguments, code=code)
        self.assertIn(sentence, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)

    def test_usage(self):
        self.refused(2, "compare: unknown operation 'conv4d'; did you mean 'conv3d'?", "conv4d")
        self.refused(2, "compare: --backends: unknown 'gpu'", "--backends", "gpu")
        self.refused(2, "compare: --dtype: unknown 'f64'", "--dtype", "f64")
        self.refused(2, "compare: --pass: unknown 'backward'", "lerp", "--pass", "backward")
        self.refused(2, "are those of one operation", "--shapes", "x=1,2")
        self.refused(2, "linear: a shape by hand needs w=", "linear", "--shapes", "x=1,2")
        self.refused(2, "linear: x: expected 2 numbers, got '1,2,3'", "linear", "--shapes", "x=1,2,3 w=1,2")
        self.refused(2, "linear: a shape by hand takes no pad=", "linear", "--shapes", "x=1,2 w=1,2 pad=1")
        self.refused(2, "conv3d", "conv3d", "--shapes", "x=1,2,3,4,5 w=6,1,1,1,7")
        self.refused(2, "cannot read no.csv", "conv3d", "--shapes", "no.csv")

    def test_backends_that_are_not_here(self):
        for backend in "cuda", "cudnn":
            done = subprocess.run([PROGRAM, "compare", "lerp", "--backends", backend], capture_output=True, text=True)
            if done.returncode == 0:
                continue  # a GPU is here
            self.assertEqual(done.returncode, 1)
            self.assertIn("--backends emulated runs the same kernels on the CPU", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
