#!/usr/bin/env python3
# labels: slow
"""The demonstration runs from one end to the other, in small: two training clips a class, one epoch a network."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Demo(unittest.TestCase):
    def test_ends_in_a_table_of_the_five_networks(self):
        with tempfile.TemporaryDirectory() as home:
            done = subprocess.run([sys.executable, ROOT / "tools/demo.py", os.environ["KINEMA_PROGRAM"], "--home", home,
                                   "--train-clips", "2", "--test-clips", "1", "--epochs", "0"],
                                  capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        table = done.stdout[done.stdout.rindex("\nmodel "):].strip().splitlines()
        self.assertEqual([line.split()[0] for line in table[1:6]],
                         ["single_frame", "late_fusion_pool", "late_fusion_fc", "early_fusion", "slow_fusion"])
        for line in table[1:6]:
            self.assertTrue(0 <= float(line.split()[-1]) <= 100, line)
        self.assertTrue(table[-1].startswith("12 test clips of 12 classes (chance 8.3 %), 3x20x64x64"), table[-1])

    def test_says_which_command_failed(self):
        done = subprocess.run([sys.executable, ROOT / "tools/demo.py", "false"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("demo: this command failed: false generate motion", done.stderr)


if __name__ == "__main__":
    unittest.main()
