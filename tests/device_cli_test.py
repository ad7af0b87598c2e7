#!/usr/bin/env python3
"""--device, --backend and --dtype: what they refuse, what the record of a run says, and that training by the GPU's kernels,
which the emulation runs, goes as on the CPU."""
import csv
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["KINEMA_PROGRAM"]
# Not the number: whoever runs the tests may have GPUs.
HIDDEN = dict(os.environ, CUDA_VISIBLE_DEVICES="")


def kinema(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, env=HIDDEN)
    return done.returncode, done.stdout, done.stderr


class Devices(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.scratch.name)
        code, _, error = kinema("generate", "motion", "--out", cls.root / "motion", "--frame-cache", cls.root / "frames",
                                "--clips", 2, "--size", 32, "--frames", 8)
        assert code == 0, error

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def train(self, run, *more):
        return kinema("train", "--model", "slow_fusion", "--data", self.root / "motion/list.csv", "--frame-cache",
                      self.root / "frames", "--index", "none", "--size", 32, "--frames", 8, "--batch", 8, "--epochs", 2,
                      "--lr", 0.05, "--warmup", 0, "--quiet", "--run", self.root / run, *more)

    def losses(self, run):
        with open(self.root / run / "steps.csv") as f:
            return [float(row["loss"]) for row in csv.DictReader(f)]

    def test_the_emulation_trains_and_evaluates_as_the_cpu_does(self):
        for run, more in (("cpu", ["--device", "cpu"]), ("emulated", ["--backend", "emulated"])):
            code, _, error = self.train(run, *more)
            self.assertEqual(code, 0, error)
        ours, theirs = self.losses("emulated"), self.losses("cpu")
        self.assertEqual(len(ours), 6)
        for a, b in zip(ours, theirs):
            self.assertAlmostEqual(a, b, delta=1e-3 * max(1, b))
        self.assertNotEqual(ours, theirs)  # sums are taken in other orders: it was not the CPU again
        device = [json.loads((self.root / run / "config.json").read_text())["device"] for run in ("cpu", "emulated")]
        self.assertEqual(device, ["cpu", "the emulation of a GPU, emulated"])
        said = []
        for more in (["--device", "cpu"], ["--backend", "emulated"]):
            code, out, error = kinema("eval", "--run", self.root / "emulated", "--data", self.root / "motion/list.csv",
                                      "--frame-cache", self.root / "frames", "--index", "none", "--json", *more)
            self.assertEqual(code, 0, error)
            said.append(json.loads(out))
        self.assertAlmostEqual(said[0]["loss"], said[1]["loss"], delta=1e-3)
        self.assertEqual(said[0]["confusion"], said[1]["confusion"])
        # It goes on elsewhere, with a warning.
        code, _, error = kinema("train", "--resume", self.root / "emulated", "--device", "cpu")
        self.assertEqual(code, 0, error)
        self.assertIn("device the emulation of a GPU, emulated until here, now cpu", error)

    def test_types_of_the_emulation(self):
        for dtype in ("tf32", "bf16", "f16"):
            code, _, error = self.train(dtype, "--backend", "emulated", "--dtype", dtype, "--epochs", 1)
            self.assertEqual(code, 0, error)
            self.assertTrue(all(0 < loss < 4 for loss in self.losses(dtype)), dtype)
        self.assertNotEqual(self.losses("tf32"), self.losses("bf16"))

    def test_plans_from_a_file(self):
        plans = self.root / "plans.txt"
        plans.write_text("forward 1,8,32,32,3 12,3,3,3,3 pad=1,1,1 : algorithm=none\n")
        code, _, error = self.train("planned", "--backend", "emulated", "--conv3d-plans", plans)
        self.assertEqual(code, 1)
        self.assertIn("plans.txt:1", error)
        plans.write_text("# nothing is overridden\n")
        code, _, error = self.train("planned", "--backend", "emulated", "--conv3d-plans", plans, "--epochs", 1)
        self.assertEqual(code, 0, error)
        config = json.loads((self.root / "planned/config.json").read_text())
        self.assertEqual(config["conv3d_plans"], "# nothing is overridden\n")
        code, _, error = self.train("unplanned", "--device", "cpu", "--conv3d-plans", plans)
        self.assertEqual((code, error), (2, "kinema: --conv3d-plans is for GPUs and their emulation\n"))

    def test_without_a_gpu(self):
        code, _, error = self.train("fallback")
        self.assertEqual(code, 0)
        self.assertEqual(len(error.splitlines()), 1)  # one line, which says why
        self.assertRegex(error, r"; on the CPU \(.+\)\n\Z")
        for run, more in (("a", ["--device", "cuda"]), ("b", ["--device", "cuda:1"]), ("c", ["--backend", "cudnn"]),
                          ("d", ["--backend", "conv3d=cuda"])):
            code, _, error = self.train(run, *more)
            self.assertEqual(code, 1)
            self.assertRegex(error, r"\Akinema: --device cuda: .+; leave --device and --backend out to compute on the CPU\n\Z")
            self.assertFalse((self.root / run).exists())

    def test_refusals(self):
        together = "--backend emulated runs the GPU's kernels on the CPU: leave out --device and other backends"
        gpu = ("--backend: cuda and cudnn run on a GPU, which neither --device cpu nor the backends cpu and reference do")
        rows = [
            (["--device", "gpu"], "--device: expected auto, cpu, cuda or cuda:N (the GPU's number), got 'gpu'"),
            (["--device", "cuda:"], "--device: expected auto, cpu, cuda or cuda:N (the GPU's number), got 'cuda:'"),
            (["--device", "cuda:-1"], "--device: expected auto, cpu, cuda or cuda:N (the GPU's number), got 'cuda:-1'"),
            (["--backend", "cudnnn"], "--backend: unknown backend 'cudnnn'; did you mean 'cudnn'?"),
            (["--backend", "conv=cuda"], "--backend: unknown operation 'conv'; did you mean 'conv3d'?"),
            (["--backend", "emulated", "--device", "cuda"], together),
            (["--backend", "emulated,conv3d=cpu"], together),
            (["--backend", "cuda", "--device", "cpu"], gpu),
            (["--backend", "cpu,conv3d=cudnn"], gpu),
            (["--backend", "cpu", "--device", "cuda"], "--backend: cpu and reference run on the CPU, which --device cuda does not"),
            (["--dtype", "tf32", "--device", "cpu"],
             "--dtype tf32 is for GPUs and their emulation; on the CPU take f32"),
        ]
        for more, sentence in rows:
            code, _, error = self.train("refused", *more)
            self.assertEqual((code, error), (2, f"kinema: {sentence}\n"))
        self.assertFalse((self.root / "refused").exists())


if __name__ == "__main__":
    unittest.main()
