#!/usr/bin/env python3
"""kinema predict: several files, scores over time, the video with its scores drawn in."""
import csv
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

PROGRAM = os.environ["KINEMA_PROGRAM"]


def kinema(*arguments):
    """Exit code, standard output, standard error."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True)


def stream_of(video):
    """Width, height, frame rate, frames."""
    out = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries",
                          "stream=width,height,r_frame_rate,nb_frames", "-of", "csv=p=0", str(video)],
                         capture_output=True, text=True, check=True).stdout
    return out.strip()


def pixels(video, frame, width):
    """Rows of RGB triples of one frame."""
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", str(video), "-vf", f"select=eq(n\\,{frame})", "-frames:v", "1",
                          "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    return [raw[at:at + 3 * width] for at in range(0, len(raw), 3 * width)]


class Predict(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.scratch.name)
        data = cls.root / "data"
        code, _, error = kinema("generate", "motion", "--out", cls.root / "all", "--clips", 1, "--frames", 12,
                                "--size", 32)
        assert code == 0, error
        for name in ("left", "right"):
            (data / name).mkdir(parents=True)
            (data / name / "0.mp4").write_bytes((cls.root / "all" / name / "00000.mp4").read_bytes())
        cls.run_folder = cls.root / "run"
        code, _, error = kinema("train", "--data", data, "--model", "karpathy_slow_fusion", "--size", 32, "--widths",
                                "4,6,6,6,4", "--hidden", 8, "--epochs", 1, "--quiet", "--run", cls.run_folder)
        assert code == 0, error
        cls.clip = cls.root / "clip.mp4"
        # 5 s of 30000/1001 frames a second, stored lying on its side, an odd row too many for 4:2:0 when it stands.
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=161x120:rate=30000/1001:duration=5", "-pix_fmt", "yuv444p",
               cls.root / "lying.mp4")
        ffmpeg("-i", cls.root / "lying.mp4", "-c", "copy", "-metadata:s:v", "rotate=90", cls.clip)
        cls.broken = cls.root / "broken.mp4"
        cls.broken.write_text("no video")

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def predict(self, *arguments):
        return kinema("predict", *arguments, "--run", self.run_folder)

    def test_the_batch_changes_nothing(self):
        def answer(batch):
            code, out, error = self.predict(self.clip, "--clips", 10, "--crops", 3, "--batch", batch, "--json")
            self.assertEqual(code, 0, error)
            return {t["class"]: t["probability"] for t in json.loads(out)["top"]}
        want = answer(30)
        for name, p in answer(4).items():
            self.assertAlmostEqual(p, want[name], places=6)

    def test_a_broken_file_does_not_stop_the_others(self):
        code, out, error = self.predict(self.clip, self.broken, self.clip)
        self.assertEqual(code, 1)
        self.assertEqual(error.count("\n"), 2)  # where it computes comes first
        self.assertIn(str(self.broken), error)
        self.assertEqual(out.count(str(self.clip)), 2)
        self.assertEqual(out.count("%"), 4)
        code, out, _ = self.predict(self.clip, self.broken, self.clip, "--json")
        found = json.loads(out)
        self.assertEqual((code, [sorted(f.keys() & {"top", "error"}) for f in found]), (1, [["top"], ["error"], ["top"]]))

    def test_scores_over_time(self):
        table = self.root / "scores.csv"
        code, out, error = self.predict(self.clip, "--every", 0.5, "--csv", table)
        self.assertEqual(code, 0, error)
        # 150 frames at 29.97: the last lies at 4.97 s.
        self.assertEqual([line.split()[0] for line in out.splitlines()], [f"{0.5 * k:.2f}" for k in range(10)])
        rows = list(csv.reader(table.read_text().splitlines()))
        self.assertEqual(rows[0], ["file", "seconds", "class", "probability"])
        self.assertEqual([float(r[1]) for r in rows[1:]], [0.5 * k for k in range(10)])
        code, out, _ = self.predict(self.clip, "--every", 0.5, "--json")
        scores = json.loads(out)["scores"]
        self.assertEqual([s["class"] for s in scores], [r[2] for r in rows[1:]])
        for s, r in zip(scores, rows[1:]):
            self.assertAlmostEqual(s["probability"], float(r[3]), places=6)

    def test_a_video_with_its_scores(self):
        out = self.root / "out.mp4"
        code, _, error = self.predict(self.clip, "--video", out, "--every", 1)
        self.assertEqual(code, 0, error)
        self.assertEqual(stream_of(out), "120,160,30000/1001,150")
        # Above the bars it is the original, upright; where they are it is not. Coding changes a level or two.
        before, after = pixels(self.clip, 40, 120), pixels(out, 40, 120)

        def differs(rows):
            return sum(abs(a - b) for y in rows for a, b in zip(before[y], after[y])) / (len(rows) * 360)
        self.assertLess(differs(range(0, 90)), 6)
        self.assertGreater(differs(range(135, 155)), 25)

    def test_an_interrupted_video_leaves_nothing(self):
        long = self.root / "long.mp4"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=640x480:rate=30:duration=60", "-preset", "ultrafast", long)
        out = self.root / "never.mp4"
        job = subprocess.Popen([PROGRAM, "predict", long, "--video", out, "--run", self.run_folder],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        part = pathlib.Path(f"{out}.part")
        for _ in range(300):
            if part.exists():
                break
            time.sleep(0.05)
        job.send_signal(signal.SIGINT)
        job.communicate(timeout=60)
        self.assertEqual((job.returncode, out.exists(), part.exists()), (130, False, False))


if __name__ == "__main__":
    unittest.main()
