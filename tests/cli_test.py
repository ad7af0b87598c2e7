#!/usr/bin/env python3
"""The program as its users meet it: what it trains, answers and refuses."""
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

    def refused(self, code, sentence, *arguments):
        """The one sentence on standard error, and nothing new on disk."""
        before = entries(self.root)
        found, out, error = kinema(*arguments)
        self.assertEqual((found, error, out), (code, f"kinema: {sentence}\n", ""), arguments)
        self.assertEqual(entries(self.root), before, "something was left behind")

    # Usage: exit code 2.

    def test_unknown_names_get_the_nearest(self):
        self.refused(2, "unknown command 'trian'; did you mean 'train'?", "trian")
        self.refused(2, "unknown option '--epoch'; did you mean '--epochs'?", "train", "--epoch", 3)
        self.refused(2, "unknown option '--no-flop'; did you mean '--no-flip'?", "train", "--no-flop")
        self.refused(2, "unknown option '--xyzzy'; 'kinema train --help' lists all", "train", "--xyzzy")
        self.refused(2, "give either --flip or --no-flip", "train", "--flip", "--no-flip")
        self.refused(2, "unknown option '--dta'; did you mean '--data'?", "train", "--dta=x")
        self.refused(2, "unknown model 'slowfusion'; did you mean 'slow_fusion'?",
                     "train", "--data", self.two, "--model", "slowfusion")
        self.refused(2, "unknown model 'slow_fuson'; did you mean 'slow_fusion'?", "summary", "slow_fuson")
        self.refused(2, "--schedule: unknown value 'cosin'; did you mean 'cosine'?", "train", "--schedule", "cosin")

    def test_bad_values(self):
        self.refused(2, "--epochs takes a whole number, got 'many'", "train", "--epochs", "many")
        self.refused(2, "--epochs takes a whole number, got '2.5'", "train", "--epochs", "2.5")
        self.refused(2, "--batch must be at least 1, got 0", "train", "--batch", 0)
        self.refused(2, "--lr takes a number, got 'nan'", "train", "--lr", "nan")
        self.refused(2, "--lr must be at least 0, got -1", "train", "--lr=-1")
        self.refused(2, "--epochs needs a value", "train", "--epochs")
        self.refused(2, "--widths takes whole numbers separated by commas, as in 12,24, got '12,x'",
                     "train", "--widths", "12,x")
        self.refused(2, "--size takes pixels as in 64, or height x width as in 64x96, got '64y'",
                     "summary", "slow_fusion", "--size", "64y")
        self.refused(2, "--val-fraction must be below 1, got 1",
                     "train", "--data", self.two, "--model", "slow_fusion", "--val-fraction", 1)

    def test_missing_arguments(self):
        self.refused(2, "train: name a folder with one folder of videos a class with --data", "train")
        self.refused(2, "train: name a network with --model: early_fusion, karpathy_early_fusion, "
                        "karpathy_late_fusion, karpathy_single_frame, karpathy_slow_fusion, late_fusion_fc, "
                        "late_fusion_pool, single_frame, slow_fusion", "train", "--data", self.two)
        self.refused(2, "predict: expected a video FILE", "predict")
        self.refused(2, "name the trained network with --run FOLDER or --weights FILE",
                     "predict", next(self.two.rglob("*.mp4")))
        self.refused(2, "summary: expected the name of a MODEL", "summary")
        self.refused(2, "unexpected argument 'more'", "summary", "slow_fusion", "more")
        self.refused(2, "generate: name the folder to write with --out", "generate", "motion")
        self.refused(2, "generate: expected what to generate, 'motion', got 'emotion'", "generate", "emotion")

    def test_configuration_file(self):
        file = self.root / "options.toml"
        try:
            file.write_text("frames = 8\nwidths = [4, 6]\nsize = 32\n")
            code, out, _ = kinema("summary", "slow_fusion", "--config", file, "--size", 48, "--json")
            self.assertEqual(code, 0)
            self.assertEqual(json.loads(out)["input"], [1, 8, 48, 48, 3])  # the command line wins
            file.write_text("frame = 8\n")
            self.refused(2, f"config: \"{file}\": unknown key 'frame'; did you mean 'frames'?",
                         "summary", "slow_fusion", "--config", file)
            file.write_text("frames = 'x'\n")
            self.refused(2, "--frames takes a whole number, got 'x'", "summary", "slow_fusion", "--config", file)
            file.write_text("[train]\nframes = 8\n")
            self.refused(2, f"config: \"{file}\": unknown key 'train'; known: 'MODEL', 'frames', 'size', 'widths', "
                            "'hidden', 'batch-norm', 'dropout', 'padding', 'multiresolution', 'classes', 'json'",
                         "summary", "slow_fusion", "--config", file)
            file.write_text("frames = \n")
            code, _, error = kinema("summary", "slow_fusion", "--config", file)
            self.assertEqual(code, 2)
            self.assertIn(f"kinema: config: \"{file}\" line 1: ", error)
        finally:
            file.unlink()
        self.refused(2, f"config: no such file: \"{file}\"", "summary", "slow_fusion", "--config", file)

    # Failures: exit code 1.

    def test_folders_that_hold_no_data(self):
        none, empty = self.root / "none", self.root / "empty"
        run = ("--model", "slow_fusion", "--run", self.root / "new")
        code, _, error = kinema("train", "--data", none, *run)
        self.assertEqual((code, error.count("\n")), (1, 1), error)
        self.assertIn(str(none), error)
        empty.mkdir()
        try:
            code, _, error = kinema("train", "--data", empty, *run)
            self.assertEqual((code, error.count("\n")), (1, 1), error)
            self.assertIn(str(empty), error)
        finally:
            empty.rmdir()
        self.assertFalse((self.root / "new").exists())

    def test_text_named_mp4(self):
        fake = self.root / "fake/left/text.mp4"
        fake.parent.mkdir(parents=True)
        fake.write_text("this is no video\n")
        before = entries(self.root)
        code, _, error = kinema("train", "--data", fake.parent.parent, "--model", "slow_fusion",
                                "--run", self.root / "new/run", *self.small)
        self.assertEqual(code, 1)
        last = error.splitlines()[-1]
        self.assertTrue(last.startswith("kinema: ") and str(fake) in last, error)
        self.assertEqual(entries(self.root), before, "the run folder was left behind")
        code, out, error = kinema("predict", fake, "--run", self.run_folder)
        self.assertEqual((code, out, error.count("\n")), (1, "", 1))
        self.assertTrue(error.startswith("kinema: ") and str(fake) in error, error)

    def test_an_existing_run_is_kept(self):
        before = {p: (self.run_folder / p).read_bytes() for p in os.listdir(self.run_folder)}
        self.refused(1, f"run: \"{self.run_folder}\" is not empty; name another folder with --run, or go on "
                        "with --resume", "train", "--data", self.two, "--model", "slow_fusion", "--run", self.run_folder, *self.small)
        self.assertEqual(before, {p: (self.run_folder / p).read_bytes() for p in os.listdir(self.run_folder)})

    def test_weights_of_another_network(self):
        best = self.run_folder / "best.safetensors"
        self.refused(1, f"weights: \"{best}\" does not fit this network: 2 of another shape "
                        "(features.block1.conv.weight: expected [4,6,3,3,3], got [4,3,3,3,3], "
                        "features.block2.conv.weight: expected [6,1,3,3,4], got [6,3,3,3,4])",
                     "train", "--data", self.two, "--model", "early_fusion", "--weights", best,
                     "--run", self.root / "new", *self.small)

    def test_no_checkpoint(self):
        text = self.root / "motion/motion.json"
        self.refused(1, f"checkpoint: no such file or run folder: \"{self.root / 'none'}\"",
                     "eval", "--data", self.two, "--run", self.root / "none")
        self.refused(1, f"checkpoint: \"{self.two}\" holds no best.safetensors or last.safetensors; it is no run folder",
                     "eval", "--data", self.two, "--run", self.two)
        code, _, error = kinema("eval", "--data", self.two, "--weights", text)
        self.assertEqual(code, 1)
        self.assertIn(f"kinema: safetensors: \"{text}\": the header length", error)

    def test_classes_that_the_network_does_not_know(self):
        code, _, error = kinema("eval", "--data", self.data, "--run", self.run_folder)
        self.assertEqual((code, error), (1, f"kinema: eval: \"{self.data}\" has class 'approach', which the network "
                                            "does not know; it knows left, right\n"))

    def test_a_run_that_diverges_stops(self):
        code, _, error = kinema("train", "--data", self.two, "--model", "slow_fusion", "--run", self.root / "diverged",
                                *self.small[:-4], "--lr", "1e30", "--warmup", 0, "--epochs", 10)
        self.assertEqual((code, error.splitlines()[-1]), (
            1, "kinema: train: at step 2 the output of conv3d in features.block2.conv [4,1,8,8,6] holds Inf; weights "
               "and checkpoints are as before it; try a lower --lr or --clip-norm"))

    def test_memory_cap_below_one_batch(self):
        code, _, error = kinema("train", "--data", self.two, "--model", "slow_fusion", "--run", self.root / "new",
                                "--memory-cap-mb", 1, "--batch", 4, "--frames", 20, "--size", 64)
        self.assertEqual((code, error.count("\n")), (1, 1), error)
        self.assertFalse((self.root / "new").exists())

    # What works.

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
                                    "--precision", precision)
            self.assertEqual((code, json.loads((run / "config.json").read_text())["precision"]), (0, precision), error)
            said = [json.loads(kinema("eval", "--run", run, "--data", self.two, "--json", *more)[1])
                    for more in ([], ["--precision", precision], ["--precision", "f32"])]
            self.assertEqual(said[0]["loss"], said[1]["loss"])  # as it was trained
            self.assertNotEqual(said[0]["loss"], said[2]["loss"])
            self.assertAlmostEqual(said[0]["loss"], said[2]["loss"], delta=0.05)
        self.refused(2, "--precision: unknown value 'f61'; did you mean 'f16'?", "eval", "--precision", "f61")

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
        self.assertEqual(found["backends"]["cuda"], "not in this build")
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
