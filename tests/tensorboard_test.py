#!/usr/bin/env python3
# labels: slow
"""Event files as TensorBoard's own reader sees them, held against the run's CSV files. Runs itself in the environment
that `./dev test` makes for TensorBoard."""
import csv
import io
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(os.environ["KINEMA_PROGRAM"])
HOME = pathlib.Path(os.environ["KINEMA_BUILD"]).resolve().parent / "tensorboard"
INSIDE = pathlib.Path(sys.prefix) == HOME

if INSIDE:
    import numpy
    import PIL.Image
    from tensorboard.backend.event_processing import event_accumulator, plugin_event_accumulator


def table(path):
    """The rows of a CSV file as dictionaries of numbers; empty fields left out."""
    with open(path, newline="") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def weights(path):
    """The tensors of a .safetensors file, by name."""
    data = path.read_bytes()
    length, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    found = {}
    for name, about in header.items():
        if name != "__metadata__" and about["dtype"] == "F32":
            begin, end = about["data_offsets"]
            found[name] = numpy.frombuffer(data[8 + length + begin:8 + length + end], "<f4")
    return found


@unittest.skipUnless(INSIDE, f"no TensorBoard in {HOME}: ./dev test installs it")
class Events(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        root = pathlib.Path(cls.scratch.name)
        cls.folder = root / "run"
        cls.program("generate", "motion", "--out", root / "motion", "--clips", 2, "--frames", 6, "--size", 32)
        cls.program("train", "--data", root / "motion", "--model", "slow_fusion", "--run", cls.folder, "--frames", 6,
                    "--size", 32, "--widths", "4,6", "--epochs", 4, "--eval-every", 2, "--batch", 8, "--clip-norm", 1,
                    "--weight-decay", 0.01, "--quiet")
        cls.first_steps = table(cls.folder / "steps.csv")
        # As after a crash: the newest checkpoint is gone, the event file and steps.csv end in the middle of a record.
        cls.newest = max(cls.folder.glob("step-*.safetensors"))
        cls.newest.unlink()
        old, = cls.folder.glob("events.out.tfevents.*")
        old.write_bytes(old.read_bytes()[:-5])
        with open(cls.folder / "steps.csv", "r+b") as file:
            file.truncate(file.seek(0, os.SEEK_END) - 20)
        cls.program("train", "--resume", cls.folder, "--quiet")
        cls.events = event_accumulator.EventAccumulator(str(cls.folder), size_guidance={
            event_accumulator.SCALARS: 0, event_accumulator.HISTOGRAMS: 0, event_accumulator.IMAGES: 0})
        cls.events.Reload()

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @staticmethod
    def program(*arguments):
        done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr

    def compare(self, kind, rows, column, bound, scale=1):
        """Each row once, in order, its number within the rounding of the CSV file; 0: exactly, as f32."""
        shown = [(e.step, e.value) for e in self.events.Scalars(f"{kind}/{column}")]
        rows = [row for row in rows if column in row]
        self.assertGreater(len(rows), 0)
        self.assertEqual([step for step, _ in shown], [int(row["step"]) for row in rows], column)
        for (step, value), row in zip(shown, rows):
            wanted = numpy.float32(row[column] * scale)
            self.assertLessEqual(abs(value - wanted), bound * abs(wanted), (column, step))

    def test_two_files_are_one_run(self):
        self.assertEqual(len(list(self.folder.glob("events.out.tfevents.*"))), 2)
        steps = table(self.folder / "steps.csv")
        self.assertEqual([row["step"] for row in steps], list(range(1, 13)))
        # The run goes on bit for bit, so what is logged again is the same; time and memory are not.
        for old, new in zip(self.first_steps, steps):
            for column in ("epoch", "learning_rate", "loss", "gradient_norm"):
                self.assertEqual(old[column], new[column])
        for old, new in zip(steps, steps[1:]):
            self.assertLessEqual(old["seconds"], new["seconds"])

    def test_steps(self):
        steps = table(self.folder / "steps.csv")
        for column in ("loss", "learning_rate", "gradient_norm"):
            self.compare("step", steps, column, 0)
        # %.5g and %.3g, and f32.
        self.compare("step", steps, "clips_per_second", 5e-5 + 2**-23)
        self.compare("step", steps, "data_wait", 5e-3 + 2**-23)
        memory = [e.value for e in self.events.Scalars("step/memory_mb")]
        self.assertEqual(memory, [float(numpy.float32(row["memory"] / 1e6)) for row in steps])

    def test_epochs(self):
        epochs = table(self.folder / "metrics.csv")
        self.assertEqual(len(epochs), 4)
        for column in ("learning_rate", "train_loss", "train_top1", "val_loss", "val_top1", "val_top5", "seconds",
                       "data_wait"):
            self.compare("epoch", epochs, column, 5e-6 + 2**-23)  # %.6g and f32
        self.assertEqual([e.value for e in self.events.Scalars("epoch/epoch")], [1, 2, 3, 4])

    def test_histograms_count_the_weights(self):
        tensors = weights(self.folder / self.newest.name)
        tags = self.events.Tags()["histograms"]
        names = [tag.removeprefix("weights/") for tag in tags if tag.startswith("weights/")]
        self.assertEqual(sorted("gradients/" + n for n in names), sorted(set(tags) - {"weights/" + n for n in names}))
        self.assertIn("features.block1.conv.weight", names)
        for name in names:
            shown = self.events.Histograms("weights/" + name)
            self.assertEqual([h.step for h in shown], [3, 6, 9, 12])
            last, values = shown[-1].histogram_value, tensors[name].astype(float)
            self.assertEqual((last.min, last.max, last.num), (values.min(), values.max(), values.size))
            self.assertAlmostEqual(last.sum, values.sum(), delta=1e-12 * values.size)
            # Each bucket counts the values above the limit before and up to its own.
            limits = numpy.array(last.bucket_limit)
            counts = numpy.bincount(numpy.searchsorted(limits, values), minlength=limits.size)
            self.assertEqual(list(counts), list(last.bucket))

    def test_pictures(self):
        for tag in ("confusion", "filters"):
            shown = self.events.Images(tag)
            self.assertEqual([i.step for i in shown], [6, 12])
            picture = PIL.Image.open(io.BytesIO(shown[-1].encoded_image_string))
            picture.load()
            self.assertEqual(picture.size, (shown[-1].width, shown[-1].height))
            self.assertGreater(len(picture.getcolors(1 << 20)), 2, tag)

    def test_what_tensorboard_itself_shows(self):
        """The reader behind its web pages, which makes tensors of all."""
        shown = plugin_event_accumulator.EventAccumulator(str(self.folder), tensor_size_guidance={"scalars": 0})
        shown.Reload()
        losses = [float(e.tensor_proto.float_val[0]) for e in shown.Tensors("step/loss")]
        self.assertEqual(losses, [float(numpy.float32(r["loss"])) for r in table(self.folder / "steps.csv")])
        self.assertEqual(shown.GetPluginName("step/loss") if hasattr(shown, "GetPluginName") else
                         shown.SummaryMetadata("step/loss").plugin_data.plugin_name, "scalars")


if __name__ == "__main__":
    python = HOME / "bin/python3"
    if python.exists() and not INSIDE:
        os.execv(python, [str(python), *sys.argv])
    unittest.main()
