#!/usr/bin/env python3
"""tools/gpu.py, which checks a machine with a GPU, run on programs that stand in for nvidia-smi and for ours: what it makes
of their answers, and that nothing which fails, dies or hangs is lost or taken for good."""
import json
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "tools/gpu.py"

SMI = """case "$*" in
*utilization*) while :; do echo 97; sleep 0.01; done ;;
*) echo "NVIDIA Test, 580.1, 1000 MiB, 1, 2, 3" ;;
esac"""
TESTS = """for i in 1 2 3; do echo "[       OK ] Copy.Case$i (0 ms)"; done
echo "[  PASSED  ] 3 tests." """
# Conformance alone: it takes a while until what hangs is ended by force.
HANGS = """[ "$1" = "--gtest_filter=*Conformance*" ] && { sleep 600 & sleep 600; }"""
KINEMA = """case "$1" in
doctor) echo "all is well" ;;
compare) echo '[{"ok": true, "backend": "cuda", "ratio": 0.5}, {"ok": true, "backend": "cudnn", "ratio": 1.0},
    {"ok": true, "backend": "cuda", "ratio": 2.0}, {"ok": true, "backend": "cuda", "ratio": null}]' ;;
generate) echo made ;;
train) while [ "$1" != --run ]; do shift; done; mkdir -p "$2"; printf '\\x02\\0\\0\\0\\0\\0\\0\\0{}weights' > "$2/last.safetensors"; sleep 0.3
  echo "24 epochs: top-1 98.0%, best 98.5% in epoch 24" ;;
esac"""


class GpuScript(unittest.TestCase):
    def setUp(self):
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.home = pathlib.Path(home.name)
        self.programs = {"nvidia-smi": SMI, "gpu_tests": TESTS, "kinema": KINEMA, "gpu_goldens": "echo '{}' > $1", "gpu_bench": "exit 1",
                         "compute-sanitizer": "echo '========= ERROR SUMMARY: 0 errors'"}

    def check(self, *options, **changed):
        """Exit code, standard output and report of a run, some programs being others (None: not there)."""
        (self.home / "bin").mkdir(exist_ok=True)
        for name, text in (self.programs | {k.replace("_smi", "-smi"): v for k, v in changed.items()}).items():
            if text is not None:
                path = self.home / "bin" / name
                path.write_text(f"#!/bin/bash\n{text}\n")
                path.chmod(path.stat().st_mode | stat.S_IXUSR)
        env = dict(os.environ, PATH=f"{self.home}/bin:/usr/bin:/bin")
        # -S -I: without packages, so that PyTorch is left out wherever this runs.
        done = subprocess.run([sys.executable, "-S", "-I", SCRIPT, self.home / "bin", "--out", self.home / "out", *options],
                              capture_output=True, text=True, env=env)
        report = json.loads((self.home / "out/report.json").read_text())
        return done, {s["step"]: s for s in report.get("steps", [])}, report

    def test_all_is_well(self):
        done, steps, report = self.check()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(report["gpu"]["name"], "NVIDIA Test")
        self.assertEqual(steps.pop("PyTorch")["said"], "this Python has no torch")
        self.assertEqual({s["verdict"] for s in steps.values()}, {"ok"})
        self.assertEqual(steps["compare"]["said"], "4 rows, 0 wrong; ratio to cuDNN: least 0.50, median 2.00")
        self.assertEqual(steps["train"]["top1"], 98.5)
        self.assertEqual(steps["train"]["idle"], 3)
        self.assertEqual(steps["graph replay"]["said"], "equals single launches bit for bit")
        # The table is the last that is said, and stands in the report too.
        table = done.stdout[done.stdout.index("step "):].strip()
        self.assertTrue((self.home / "out/report.txt").read_text().strip().endswith(table))
        self.assertEqual(len(table.splitlines()), 2 + len(steps))

    def test_without_a_gpu(self):
        done, steps, report = self.check(nvidia_smi="exit 9")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr, "gpu: expected an NVIDIA GPU and its driver, but nvidia-smi found none; nothing was "
                                      "checked\n")
        self.assertIsNone(report["gpu"])
        self.assertEqual(steps, {})

    def test_what_fails_is_named(self):
        bad = """echo "[       OK ] Copy.Forward (1 ms)"; echo "[  PASSED  ] 1 test."; echo "[  FAILED  ] 2 tests, listed below:"
            echo "[  FAILED  ] Conv3d.Forward, where x = 1"; echo "[  FAILED  ] Conv3d.A"; exit 1"""
        done, steps, _ = self.check(gpu_tests=bad, kinema=KINEMA.replace('true, "backend": "cudnn"', 'false, "backend": "cudnn"'))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(steps["kernels"]["verdict"], "FAILED")
        self.assertEqual(steps["kernels"]["failed"], ["Conv3d.Forward", "Conv3d.A"])
        self.assertEqual(steps["compare"]["verdict"], "FAILED")
        self.assertIn("4 rows, 1 wrong", steps["compare"]["said"])
        self.assertEqual(steps["train"]["verdict"], "ok")  # the rest is still run

    def test_what_dies_or_passes_nothing_is_no_success(self):
        _, steps, _ = self.check(gpu_tests="kill -SEGV $$", kinema="exit 3", gpu_goldens="exit 4")
        self.assertEqual({name: s["verdict"] for name, s in steps.items()
                          if name not in ("compute-sanitizer", "PyTorch")},
                         dict.fromkeys(["doctor", "conformance", "goldens", "kernels", "large tensors", "compare",
                                        "generate motion", "train, graph", "train, eager", "train"], "FAILED"))
        self.assertIn("died (-11)", steps["kernels"]["said"])
        _, steps, _ = self.check(gpu_tests="true")
        self.assertEqual(steps["kernels"]["verdict"], "FAILED")

    def test_what_hangs_is_ended(self):
        done, steps, _ = self.check("--minutes", "0.03", "--grace", "1", gpu_tests=HANGS)
        self.assertEqual(steps["conformance"]["verdict"], "FAILED")  # nothing has passed
        self.assertIn("out of time", steps["conformance"]["said"])
        self.assertEqual(done.returncode, 1)

    def test_a_comparison_out_of_time_gives_what_it_has(self):
        rows = '[{"ok": true, "backend": "cuda", "ratio": 2.0}, {"ok": null, "backend": "cudnn", "ratio": null}]'
        slow = f"""ROWS='{rows}'\n""" + KINEMA.replace("compare)", """compare) trap "echo '$ROWS'; exit 130" INT
  sleep 600 >/dev/null & wait ;;
never)""")
        _, steps, _ = self.check("--minutes", "0.05", "--grace", "2", kinema=slow)
        self.assertEqual(steps["compare"]["verdict"], "no time")
        self.assertIn("2 rows, 0 wrong", steps["compare"]["said"])

    def test_weights_that_differ_and_learning_that_fails_are_seen(self):
        other = KINEMA.replace("{}weights'", "{}'\"$2\"").replace("best 98.5%", "best 60.0%")
        done, steps, _ = self.check(kinema=other)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(steps["graph replay"]["verdict"], "FAILED")
        self.assertEqual(steps["train"]["verdict"], "FAILED")

    def test_a_machine_that_forbids_the_sanitizer(self):
        self.programs["compute-sanitizer"] = "echo '========= Error: Device not supported'; exit 1"
        done, steps, _ = self.check()
        self.assertEqual(done.returncode, 0)
        self.assertEqual(steps["compute-sanitizer"]["verdict"], "left out")


if __name__ == "__main__":
    unittest.main()
