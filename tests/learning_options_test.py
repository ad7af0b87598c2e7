#!/usr/bin/env python3
# labels: slow
"""How a network learns, as the program's options say it: recorded, resumed, refused."""
import json
import os
import pathlib
import struct
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["KINEMA_PROGRAM"]


def kinema(*arguments):
    """Exit code, standard output, standard error."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


def tensors(path):
    raw = pathlib.Path(path).read_bytes()
    size, = struct.unpack("<Q", raw[:8])
    header, data = json.loads(raw[8:8 + size]), raw[8 + size:]
    header.pop("__metadata__")
    return {name: data[slice(*entry["data_offsets"])] for name, entry in header.items()}


class Learning(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.scratch.name)
        code, _, error = kinema("generate", "motion", "--out", cls.root / "data", "--clips", 1, "--frames", 4,
                                "--size", 16)
        assert code == 0, error
        cls.train = ["train", "--data", cls.root / "data", "--model", "slow_fusion", "--frames", 4, "--size", 16,
                     "--widths", "4,6", "--batch", 4, "--quiet"]

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def run_with(self, name, *options, epochs=2):
        run = self.root / name
        code, out, error = kinema(*self.train, "--run", run, "--epochs", epochs, *options)
        self.assertEqual(code, 0, error)
        return run, out

    def test_all_at_once_is_recorded_and_resumed(self):
        options = ["--optimiser", "adamw", "--beta1", 0.8, "--no-decay-norm", "--accumulate", 2, "--ema", 0.9,
                   "--precise-bn", 2, "--mixup", 0.4, "--label-smoothing", 0.1, "--dropout", 0.2,
                   "--checkpoint-activations", "--clip-norm", 5, "--patience", 50]
        whole, out = self.run_with("whole", *options, epochs=3)
        self.assertIn("3 epochs, 6 steps: ", out)  # 12 videos, 3 batches: two steps an epoch
        recorded = json.loads((whole / "config.json").read_text())["train"]
        for key, value in {"optimiser": "adamw", "lr": 0.001, "weight-decay": 0.01, "beta1": 0.8, "beta2": 0.999,
                           "decay-norm": False, "accumulate": 2, "ema": 0.9, "precise-bn": 2, "mixup": 0.4,
                           "checkpoint-activations": True, "patience": 50}.items():
            self.assertEqual(recorded[key], value, key)
        last, best = tensors(whole / "last.safetensors"), tensors(whole / "best.safetensors")
        self.assertIn("state.ema.features.block1.conv.weight", last)
        self.assertIn("state.optimiser.second_moment.features.block1.conv.weight", last)
        self.assertFalse([name for name in best if name.startswith("state.")])
        # From a checkpoint within an epoch: the steps behind it are taken again, to the same bytes.
        cut, _ = self.run_with("cut", *options, "--checkpoint-every", 1, "--keep", 9, epochs=3)
        for path in cut.glob("step-*"):
            if int(path.stem[5:]) > 3:
                path.unlink()
        code, _, error = kinema("train", "--resume", cut)
        self.assertEqual(code, 0, error)
        self.assertEqual(tensors(cut / "last.safetensors"), last)
        code, _, error = kinema("eval", "--run", whole, "--data", self.root / "data")
        self.assertEqual(code, 0, error)

    def test_checkpointed_activations_change_no_bit(self):
        runs = [self.run_with(name, "--dropout", 0.3, *flag)[0]
                for name, flag in (("kept", []), ("again", ["--checkpoint-activations"]))]
        self.assertEqual(*(tensors(run / "last.safetensors") for run in runs))

    def test_patience(self):
        _, out = self.run_with("patient", "--lr", 0, "--no-batch-norm", "--patience", 2, epochs=9)
        self.assertIn("3 epochs, 9 steps, ended by --patience 2: ", out)

    def test_a_configuration_file_says_the_same(self):
        file = self.root / "options.toml"
        file.write_text('optimiser = "adamw"\nbeta2 = 0.9\nmixup = 0.2\naccumulate = 3\nema = 0.5\n')
        run, out = self.run_with("toml", "--config", file)
        self.assertIn("2 epochs, 2 steps: ", out)
        recorded = json.loads((run / "config.json").read_text())["train"]
        self.assertEqual([recorded[k] for k in ("beta2", "mixup", "ema")], [0.9, 0.2, 0.5])

    def test_refusals(self):
        for sentence, *options in (
                ("--optimiser: unknown value 'adam'; did you mean 'adamw'?", "--optimiser", "adam"),
                ("--momentum belongs to --optimiser sgd", "--optimiser", "adamw", "--momentum", 0.5),
                ("--beta1 belongs to --optimiser adamw", "--beta1", 0.5),
                ("--beta2 must be below 1, got 1", "--optimiser", "adamw", "--beta2", 1),
                ("--ema must be below 1, got 1", "--ema", 1),
                ("--accumulate must be at least 1, got 0", "--accumulate", 0),
                ("--mixup must be at least 0, got -1", "--mixup=-1"),
                ("--label-smoothing must be at most 1, got 2", "--label-smoothing", 2)):
            found = kinema(*self.train, "--run", self.root / "refused", *options)
            self.assertEqual(found, (2, "", f"kinema: {sentence}\n"))
        self.assertFalse((self.root / "refused").exists())

    def test_a_weight_that_is_no_number_is_named(self):
        run, _ = self.run_with("sound")
        raw = bytearray((run / "best.safetensors").read_bytes())
        size, = struct.unpack("<Q", raw[:8])
        header = json.loads(raw[8:8 + size])
        header.pop("__metadata__")  # with the checksum: bare weights, as another program writes them
        at, _ = header["classify.weight"]["data_offsets"]
        data = bytearray(raw[8 + size:])
        data[at:at + 4] = struct.pack("<f", float("nan"))
        text = json.dumps(header).encode()
        spoiled = self.root / "spoiled.safetensors"
        spoiled.write_bytes(struct.pack("<Q", len(text)) + text + data)
        code, _, error = kinema(*self.train, "--run", self.root / "nan", "--weights", spoiled)
        self.assertEqual((code, error.splitlines()[-1]), (
            1, "kinema: train: at step 1 weight classify.weight [12,6] holds NaN; weights and checkpoints are as "
               "before it; try a lower --lr or --clip-norm"))


if __name__ == "__main__":
    unittest.main()
