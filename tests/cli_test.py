#!/usr/bin/env python3
"""The program as its users meet it: what it trains and answers; refusals_test has what it refuses."""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

PROGRAM = os.environ["KINEMA_PROGRAM"]
CLIPS = pathlib.Path(__file__).resolve().parent.parent.parent / "shared/clips/labelled"


def kinema(*arguments, timeout=300):
    """Exit code, standard output, standard error."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=timeout)
    return done.returncode, done.stdout, done.stderr


def entries(folder):
    return sorted(p.relative_to(folder).as_posix() for p in pathlib.Path(folder).rglob("*"))


class Program(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.scratch.name)
        cls.data = cls.root / "motion"
        code, _, error = kinema("generate", "motion", "--out", cls.data, "--clips", 2, "--frames", 6, "--size", 32)
        assert code == 0, error
        # Two classes are enough for most of what follows.
        cls.two = cls.root / "two"
        for name in ("left", "right"):
            (cls.two / name).mkdir(parents=True)
            for video in sorted((cls.data / name).glob("*.mp4")):
                (cls.two / name / video.name).write_bytes(video.read_bytes())
        cls.small = ["--frames", 6, "--size", 32, "--widths", "4,6", "--epochs", 2, "--batch", 4]
        cls.run_folder = cls.root / "run"
        code, cls.said, error = kinema("train", "--data", cls.two, "--model", "slow_fusion", "--run", cls.run_folder,
                                       *cls.small)
        assert code == 0, error
        cls.progress = error

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def test_a_run_folder_is_whole(self):
        found = entries(self.run_folder)
        self.assertEqual(sum(name.startswith("events.out.tfevents.") for name in found), 1)
        self.assertEqual([name for name in found if not name.startswith("events.")],
                         [".lock", "best.safetensors", "config.json", "evaluation.csv", "last.safetensors",
                          "metrics.csv", "report.html", "status.json", "step-00000001.safetensors",
                          "step-00000002.safetensors", "steps.csv"])
        config = json.loads((self.run_folder / "config.json").read_text())
        self.assertEqual((config["model"], config["classes"]), ("slow_fusion", ["left", "right"]))
        self.assertEqual(config["options"]["widths"], [4, 6])
        self.assertEqual(config["recipe"]["frames"], 6)
        lines = (self.run_folder / "metrics.csv").read_text().splitlines()
        self.assertEqual(lines[0], "epoch,step,learning_rate,train_loss,train_top1,val_loss,val_top1,val_top5,"
                                   "seconds,data_wait")
        self.assertEqual([line.split(",")[:2] for line in lines[1:]], [["1", "1"], ["2", "2"]])
        self.assertIn("of 4 training videos (no held-out set", self.said)
        for word in ("epoch 2/2", "step 1/1", "loss", "top-1", "clips/s", "ETA", "data wait", "memory"):
            self.assertIn(word, self.progress)

    def test_the_same_seed_gives_the_same_weights(self):
        again = self.root / "again"
        code, _, error = kinema("train", "--data", self.two, "--model", "slow_fusion", "--run", again, *self.small,
                                "--quiet")
        self.assertEqual(code, 0, error)
        first, second = ((f / "best.safetensors").read_bytes() for f in (self.run_folder, again))
        for file in again.iterdir():
            file.unlink()
        again.rmdir()
        self.assertEqual(first[-1000:], second[-1000:])

    def test_evaluation(self):
        for average in ("softmax", "logits"):
            code, out, _ = kinema("eval", "--data", self.two, "--run", self.run_folder, "--clips", 2, "--crops", 3,
                                  "--average", average, "--json")
            self.assertEqual(code, 0)
            found = json.loads(out)
            self.assertEqual([found[k] for k in ("average", "clips", "crops", "videos")], [average, 2, 3, 4])
            self.assertEqual(sum(map(sum, found["confusion"])), 4)
        code, out, _ = kinema("eval", "--data", self.two, "--weights", self.run_folder / "last.safetensors")
        self.assertEqual(code, 0)
        self.assertIn("mean of softmax over 1 x 1 views (clips x crops)", out)

    def test_prediction(self):
        video = next(self.two.rglob("*.mp4"))
        code, out, _ = kinema("predict", video, "--run", self.run_folder, "--json")
        self.assertEqual(code, 0)
        top = json.loads(out)["top"]
        self.assertEqual({t["class"] for t in top}, {"left", "right"})
        self.assertAlmostEqual(sum(t["probability"] for t in top), 1, places=9)
        self.assertGreaterEqual(top[0]["probability"], top[1]["probability"])
        code, out, _ = kinema("predict", video, "--run", self.run_folder)
        self.assertEqual((code, out.splitlines()[0].split()[1]), (0, top[0]["class"]))

    def test_training_goes_on_from_weights(self):
        code, _, error = kinema("train", "--data", self.two, "--model", "slow_fusion", "--quiet", *self.small,
                                "--weights", self.run_folder / "last.safetensors", "--run", self.root / "more",
                                "--val-fraction", 0.5, "--warmup", 0, "--schedule", "step", "--clip-norm", 1,
                                "--label-smoothing", 0.1, "--dropout", 0.2, "--flip")
        self.assertEqual(code, 0, error)

    def test_precision(self):
        for precision in ("bf16", "f16"):
            run = self.root / precision
            code, _, error = kinema("train", "--data", self.two, "--model", "slow_fusion", "--run", run, *self.small,
                                    "--dtype", precision)
            self.assertEqual((code, json.loads((run / "config.json").read_text())["precision"]), (0, precision), error)
            said = [json.loads(kinema("eval", "--run", run, "--data", self.two, "--json", *more)[1])
                    for more in ([], ["--dtype", precision], ["--dtype", "f32"])]
            self.assertEqual(said[0]["loss"], said[1]["loss"])  # as it was trained
            self.assertNotEqual(said[0]["loss"], said[2]["loss"])
            self.assertAlmostEqual(said[0]["loss"], said[2]["loss"], delta=0.05)

    def test_interrupt_keeps_a_checkpoint(self):
        run = self.root / "stopped"
        job = subprocess.Popen([PROGRAM, "train", "--data", self.two, "--model", "slow_fusion", "--run", run,
                                *map(str, self.small), "--epochs", "100000"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
        for _ in range(600):
            if (run / "metrics.csv").exists():
                break
            time.sleep(0.1)
        job.send_signal(signal.SIGINT)
        out, error = job.communicate(timeout=60)
        self.assertEqual(job.returncode, 130, error)
        self.assertIn("interrupted after", out)
        code, _, error = kinema("eval", "--data", self.two, "--weights", run / "last.safetensors")
        self.assertEqual(code, 0, error)
        self.assertEqual([n for n in entries(run) if n.endswith(".tmp")], [])

    def test_a_run_that_diverges_stops(self):
        code, _, error = kinema("train", "--data", self.two, "--model", "slow_fusion", "--run", self.root / "diverged",
                                *self.small[:-4], "--lr", "1e30", "--warmup", 0, "--epochs", 10)
        self.assertEqual((code, error.splitlines()[-1]), (
            1, "kinema: train: at step 2 the output of conv3d in features.block2.conv [4,1,8,8,6] holds Inf; weights "
               "and checkpoints are as before it; try a lower --lr or --clip-norm"))

    def test_configuration_file(self):
        file = self.root / "options.toml"
        file.write_text("frames = 8\nwidths = [4, 6]\nsize = 32\ndropout = 0.1234567890123\n")
        code, out, _ = kinema("summary", "slow_fusion", "--config", file, "--size", 48, "--json")
        file.unlink()
        self.assertEqual(code, 0)
        found = json.loads(out)
        self.assertEqual(found["input"], [1, 8, 48, 48, 3])  # the command line wins
        self.assertEqual(found["options"]["dropout"], 0.1234567890123)

    def test_summary(self):
        code, out, _ = kinema("summary", "late_fusion_pool", "--json")
        self.assertEqual(code, 0)
        found = json.loads(out)
        self.assertEqual((found["parameters"], found["macs"]), (3288, 39813408))
        self.assertEqual(found["layers"][-1]["receptive_field"], [20, 64, 64])
        code, out, _ = kinema("summary", "late_fusion_pool")
        self.assertEqual(code, 0)
        for field in ("1x14x14", "20x64x64"):
            self.assertIn(field, out)

    def test_doctor_and_help(self):
        code, out, _ = kinema("doctor", "--json")
        self.assertEqual(code, 0)
        found = json.loads(out)
        self.assertEqual((found["backends"]["reference"], found["backends"]["cpu"]), ("works", "works"))
        # Of a machine with a GPU they work; else it says what is missing, and the emulation works.
        if found["gpu"] and isinstance(found["gpu"], dict):
            self.assertEqual(found["backends"]["cuda"], "works")
        else:
            self.assertEqual(found["gpu"], "none: " + found["backends"]["cuda"])
            self.assertRegex(found["backends"]["cuda"], "^(no NVIDIA |the NVIDIA |this build has no CUDA kernels)")
            self.assertEqual(found["backends"]["emulated"], "works")
        self.assertIn("conv3d", found["operations"])
        code, out, _ = kinema("doctor")
        self.assertIn("oneDNN", out)
        for command in ("train", "eval", "predict", "summary", "generate", "doctor"):
            code, out, _ = kinema(command, "--help")
            self.assertEqual(code, 0)
            self.assertIn(f"kinema {command}", out)
            self.assertIn(command, kinema("--help")[1])
        self.assertEqual(kinema()[0], 2)

    @unittest.skipUnless(CLIPS.is_dir(), "the real clips are not here")
    @unittest.skipIf("asan" in PROGRAM, "minutes under the sanitizers; the other runs train there")
    def test_real_clips_are_learnt(self):
        run = self.root / "real"
        code, out, error = kinema("train", "--data", CLIPS, "--model", "slow_fusion", "--run", run)
        self.assertEqual(code, 0, error)
        self.assertIn("top-1 100.0%", out)
        video = next((CLIPS / "cartwheel").iterdir())
        code, out, _ = kinema("predict", video, "--run", run, "--json")
        self.assertEqual(json.loads(out)["top"][0]["class"], "cartwheel")


if __name__ == "__main__":
    unittest.main()
