#!/usr/bin/env python3
# labels: slow
"""cuDNN has a plan for every layer of the suite on an H200 that is not at hand, and the committed list of them is what
this version says."""
import csv
import os
import pathlib
import subprocess
import unittest

PROGRAM = pathlib.Path(os.environ["KINEMA_BUILD"]) / "bench" / "conv3d_cudnn_plans"
COMMITTED = pathlib.Path("bench/results/cudnn_conv3d_plans_h200.csv")
TYPES = ("bf16", "f32")  # half of the list, for time


def rows_of(lines):
    """{(row, pass, type): the whole line} of the types, behind the line of comment."""
    return {(r["id"], r["pass"], r["type"]): r for r in csv.DictReader(lines[1:]) if r["type"] in TYPES}


@unittest.skipUnless(PROGRAM.is_file(), "cuDNN's headers are missing: what needs them is left out")
class Plans(unittest.TestCase):
    def test_suite(self):
        done = subprocess.run([PROGRAM, "--csv", "--types", ",".join(TYPES)], capture_output=True, text=True)
        if "cannot be opened" in done.stderr or "expected 9.11 or newer" in done.stderr:
            self.skipTest(done.stderr.strip())
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        committed = COMMITTED.read_text().splitlines()
        found, expected = rows_of(lines), rows_of(committed)
        suite = len(pathlib.Path("bench/conv3d_shapes.csv").read_text().splitlines()) - 1
        self.assertEqual(len(found), suite * 3 * len(TYPES))
        self.assertEqual([key for key, row in found.items() if row["engine"] == "none"], [])
        self.assertLessEqual(max(int(row["workspace_bytes"]) for row in found.values()), 64 << 20)
        if lines[0] != committed[0]:
            self.skipTest(f"the committed list is of another version: {committed[0]}; found {lines[0]}")
        self.assertEqual([(found[key], row) for key, row in expected.items() if found.get(key) != row], [])


if __name__ == "__main__":
    unittest.main()
