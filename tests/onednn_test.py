#!/usr/bin/env python3
"""No convolution, matrix product or reorder that the tests run falls back to oneDNN's slow `ref` code."""
import os
import pathlib
import subprocess
import unittest

BUILD = pathlib.Path(os.environ["KINEMA_BUILD"])


class Primitives(unittest.TestCase):
    def primitives(self, test):
        """(kind, implementation) of every primitive that ran in `test`."""
        env = dict(os.environ, DNNL_VERBOSE="1")
        out = subprocess.run([BUILD / "tests" / test], env=env, capture_output=True, text=True, check=True).stdout
        rows = [line.split(",") for line in out.splitlines() if line.startswith("onednn_verbose,exec")]
        return {(row[3], row[4]) for row in rows}

    def test_convolutions(self):
        ran = self.primitives("conv3d_test")
        self.assertTrue({kind for kind, _ in ran} >= {"convolution", "reorder"}, ran)
        self.assertEqual([p for p in ran if "ref" in p[1]], [])


if __name__ == "__main__":
    unittest.main()
