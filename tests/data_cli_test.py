#!/usr/bin/env python3
"""Lists, splits, folders of frames, caches and broken videos, as users of the program meet them."""
import csv
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["KINEMA_PROGRAM"]
SMALL = ["--frames", 6, "--size", 32, "--widths", "4,6", "--epochs", 2, "--batch", 4, "--model", "slow_fusion",
         "--quiet", "--warmup", 0]


class Data(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.scratch.name)
        cls.cache = cls.root / "cache"
        cls.videos = cls.root / "videos"
        code, _, error = cls.kinema("generate", "motion", "--out", cls.root / "motion", "--clips", 4, "--frames", 6,
                                    "--size", 32)
        assert code == 0, error
        for name in ("left", "right"):
            shutil.copytree(cls.root / "motion" / name, cls.videos / name)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @classmethod
    def kinema(cls, *arguments):
        """Exit code, standard output, standard error."""
        environment = dict(os.environ, XDG_CACHE_HOME=str(cls.cache))
        done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, env=environment)
        return done.returncode, done.stdout, done.stderr

    def trained(self, name, *arguments):
        """The run folder of a small training that goes well, and what it said."""
        run = self.root / name
        code, out, error = self.kinema("train", "--run", run, *SMALL, *arguments)
        self.assertEqual(code, 0, error)
        return run, out, error

    def evaluated(self, run, *arguments):
        code, out, error = self.kinema("eval", "--run", run, "--json", *arguments)
        self.assertEqual(code, 0, error)
        return json.loads(out)

    def refused(self, code, sentence, *arguments):
        found, out, error = self.kinema(*arguments)
        self.assertEqual((found, out, error), (code, "", f"kinema: {sentence}\n"))

    def write_list(self, name, rows):
        path = self.root / name
        path.write_text("path,label\n" + "".join(f"{p},{label}\n" for p, label in rows))
        return path

    def all_rows(self):
        return [(f"videos/{p.parent.name}/{p.name}", p.parent.name) for p in sorted(self.videos.glob("*/*.mp4"))]

    @staticmethod
    def weights(run):
        data = (run / "best.safetensors").read_bytes()
        return data[8 + int.from_bytes(data[:8], "little"):]

    def test_a_list_is_a_data_set_like_a_folder(self):
        listed, _, error = self.trained("listed", "--data", self.write_list("all.csv", self.all_rows()))
        self.assertEqual(error.count("warning"), 0, error)
        folder, _, _ = self.trained("folder", "--data", self.videos)
        self.assertEqual(self.weights(listed), self.weights(folder))
        self.assertEqual(self.evaluated(listed, "--data", self.root / "all.csv")["videos"], 8)

    def test_official_splits(self):
        splits = self.root / "splits"
        splits.mkdir()
        for name in ("left", "right"):
            files = sorted(p.name for p in (self.videos / name).iterdir())
            (splits / f"{name}_test_split1.txt").write_text(f"{files[0]} 1 \n{files[1]} 1 \n{files[2]} 2 \n{files[3]} 0 \n")
        run, out, _ = self.trained("split", "--data", self.videos, "--split", splits)
        self.assertIn("of 2 videos of split 1", out)
        self.assertEqual(self.evaluated(run, "--data", self.videos, "--split", splits)["videos"], 2)
        self.refused(2, "train: --split says what is held out; leave --val and --val-fraction away",
                     "train", "--data", self.videos, "--split", splits, "--val-fraction", 0.5, *SMALL)

    def test_folders_of_frames(self):
        frames = self.root / "frames"
        for video in sorted(self.videos.glob("*/*.mp4")):
            clip = frames / video.parent.name / video.stem
            clip.mkdir(parents=True)
            subprocess.run(["ffmpeg", "-v", "error", "-i", video, clip / "%d.png"], check=True)
        run, out, _ = self.trained("frames_run", "--data", frames)
        self.assertIn("of 8 training videos", out)
        clip = frames / "left" / "00000"
        code, out, error = self.kinema("predict", clip, "--run", run)
        self.assertEqual(code, 0, error)
        self.assertEqual(self.evaluated(run, "--data", frames)["videos"], 8)

    def test_several_labels(self):
        rows = [(p, f"{label};moving" if i % 2 else label) for i, (p, label) in enumerate(self.all_rows())]
        path = self.write_list("several.csv", rows)
        run, out, _ = self.trained("several", "--data", path)
        self.assertIn("mAP", out)
        found = self.evaluated(run, "--data", path)
        self.assertEqual((found["average"], found["classes"]), ("sigmoid", ["left", "moving", "right"]))
        self.assertTrue(0 < found["mean_average_precision"] <= 1)
        code, out, _ = self.kinema("eval", "--run", run, "--data", path)
        self.assertTrue(out.startswith("mAP "), out)
        code, out, _ = self.kinema("predict", self.root / rows[0][0], "--run", run, "--json")
        top = json.loads(out)["top"]
        self.assertEqual({t["class"] for t in top}, {"left", "moving", "right"})
        # Probabilities of their own: nothing makes them sum to 1.
        self.assertTrue(all(0 < t["probability"] < 1 for t in top))
        self.refused(1, f"eval: \"{self.videos}\" is a folder, whose videos have one class each, but the network was "
                        "trained on several a video; give a CSV list", "eval", "--run", run, "--data", self.videos)

    def test_broken_videos_are_left_out_and_listed(self):
        rows = self.all_rows() * 3
        (self.root / "broken.mp4").write_text("no video")
        path = self.write_list("broken.csv", rows + [("broken.mp4", "left")])
        run, _, error = self.trained("broken", "--data", path)
        warnings = [line for line in error.splitlines() if "warning" in line]
        self.assertEqual(len(warnings), 1, error)
        self.assertTrue(warnings[0].startswith("train: warning: 1 of 25 videos cannot be read and is left out, the first: "
                                               f"video: {self.root}/broken.mp4 "), error)
        with open(run / "skipped.csv", newline="") as file:
            lines = list(csv.reader(file))
        self.assertEqual((lines[0], lines[1][0], len(lines)),
                         (["file", "reason"], f"{self.root}/broken.mp4", 2))
        code, out, error = self.kinema("eval", "--run", run, "--data", path, "--json")
        self.assertEqual((code, json.loads(out)["videos"]), (0, 24))
        self.assertTrue(error.startswith(f"eval: warning: left out: video: {self.root}/broken.mp4 "), error)
        # Without an index it is the same run.
        plain, _, _ = self.trained("broken_too", "--data", path, "--index", "none")
        self.assertEqual(self.weights(plain), self.weights(run))

    def test_too_many_broken_videos_stop(self):
        many = []
        for i in range(12):
            (self.root / f"bad{i:02}.mp4").write_text("no video")
            many.append((f"bad{i:02}.mp4", "left"))
        path = self.write_list("bad.csv", self.all_rows() + many)
        run = self.root / "bad_run"
        code, out, error = self.kinema("train", "--run", run, *SMALL, "--data", path)
        self.assertEqual((code, out, error.count("\n")), (1, "", 1), error)
        self.assertTrue(error.startswith("kinema: data: 12 of 20 videos cannot be read, more than 1 in 20: "
                                         f"video: {self.root}/bad00.mp4 "), error)
        self.assertTrue(error.endswith(f"; {run}/skipped.csv lists all\n"), error)
        self.assertEqual(len((run / "skipped.csv").read_text().splitlines()), 13)
        # The same command works once the list is mended.
        self.trained("bad_run", "--data", self.write_list("bad.csv", self.all_rows()))

    def test_a_frame_cache_stands_in_for_videos(self):
        moved = self.root / "moved"
        shutil.copytree(self.videos, moved)
        path = self.write_list("moved.csv", [(p.replace("videos", "moved", 1), label) for p, label in self.all_rows()])
        kept = self.root / "kept"
        first, _, _ = self.trained("cached", "--data", path, "--frame-cache", kept)
        plain, _, _ = self.trained("plain", "--data", path)
        shutil.rmtree(moved)
        again, _, error = self.trained("cached_again", "--data", path, "--frame-cache", kept)
        self.assertEqual(self.weights(first), self.weights(plain))
        self.assertEqual(self.weights(first), self.weights(again))
        code, _, error = self.kinema("train", "--run", self.root / "gone", *SMALL, "--data", path)
        self.assertEqual((code, error.count("\n")), (1, 1), error)
        self.assertTrue(error.startswith(f"kinema: data: 8 of 8 videos of {path} do not exist: "), error)

    def test_the_index_is_kept_and_mended(self):
        data = self.root / "indexed"
        shutil.copytree(self.videos, data)
        file = self.root / "my_index.json"
        self.trained("indexed_run", "--data", data, "--index", file)
        good = file.read_bytes()
        file.write_bytes(good[:-20])
        _, _, error = self.trained("indexed_again", "--data", data, "--index", file)
        self.assertEqual(error.splitlines()[0], f"train: warning: the index {file} is built anew: it is damaged or cut off")
        self.assertEqual(file.read_bytes(), good)
        self.trained("indexed_default", "--data", data)
        self.assertEqual(len(list((self.cache / "kinema/index").iterdir())) > 0, True)

    def test_thin_classes_are_said(self):
        rows = [r for r in self.all_rows() if r[1] == "left"]
        path = self.write_list("thin.csv", rows + [self.all_rows()[-1]])
        _, _, error = self.trained("thin", "--data", path, "--val-fraction", 0.5)
        self.assertEqual(error.count("warning"), 1 if "no video to evaluate" not in error else 2, error)
        self.assertIn("train: warning: 1 of 2 classes has ", error)

    def test_augmentation_changes_what_is_learnt(self):
        found = set()
        for i, options in enumerate([[], ["--resized-crop"], ["--scale-jitter", "32,48"],
                                     ["--colour-jitter", "0.4,0.4,0.4,0.1"]]):
            run, _, _ = self.trained(f"augmented{i}", "--data", self.videos, *options)
            again, _, _ = self.trained(f"augmented_again{i}", "--data", self.videos, *options, "--workers", 1,
                                       "--cache-mb", 0)
            self.assertEqual(self.weights(run), self.weights(again), options)
            found.add(self.weights(run))
        self.assertEqual(len(found), 4)
        self.refused(2, "--colour-jitter takes 4 numbers, got 2",
                     "train", "--data", self.videos, *SMALL, "--colour-jitter", "1,2")

    def test_short_clips(self):
        run = self.root / "short"
        code, _, error = self.kinema("train", "--run", run, *SMALL, "--data", self.videos, "--frame-stride", 2,
                                     "--short-clips", "refuse")
        self.assertEqual(code, 1)
        self.assertIn(f"kinema: data: ", error.splitlines()[-1])
        self.assertIn("data: a clip needs 11 frames, got 6 (in ", error)
        self.trained("looped", "--data", self.videos, "--frame-stride", 2)

    def test_refusals(self):
        train = ("train", "--run", self.root / "never", *SMALL, "--data")
        path = self.root / "wrong.csv"
        path.write_text("path,label\nvideos/left\n")
        self.refused(1, f"data: {path} line 2: no comma in 'videos/left'; expected path,label", *train, path)
        path.write_text("path,label\nvideos/left/00000.mp4,left\nvideos/left/00000.mp4,right\n")
        self.refused(1, f"data: {path} line 3: videos/left/00000.mp4 has another label than in line 2; several labels "
                        "of a video stand in one line, as in a;b", *train, path)
        good = self.write_list("good.csv", self.all_rows())
        path.write_text("videos/left/00000.mp4,lefft\n")
        self.refused(1, f"data: {path} line 1: unknown label 'lefft'; did you mean 'left'?", *train, good, "--val", path)
        video = self.videos / "left/00000.mp4"
        self.refused(2, f"train: \"{video}\" is one video; give a folder or a CSV list of videos", *train, video)
        self.refused(1, f"data: no such folder: {self.root}/none", *train, self.root / "none")
        self.assertFalse((self.root / "never").exists())


if __name__ == "__main__":
    unittest.main()
