#!/usr/bin/env python3
"""The tree keeps its shape, and the checks that say so can fail."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import check_layers  # noqa: E402
import check_op  # noqa: E402


def broken_copy(edit):
    """The faults of a copy of the sources after `edit(root)`."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for layer in ("kernels", "engine", "models", "tools", "tests", "bench"):
            shutil.copytree(ROOT / layer, root / layer)
        edit(root)
        return check_layers.check(root) + check_op.check(root)


class Tree(unittest.TestCase):
    def test_layers_hold(self):
        self.assertEqual(check_layers.check(ROOT), [])

    def test_operations_are_whole(self):
        self.assertEqual(check_op.check(ROOT), [])

    def test_formatted(self):
        sources = [str(p) for layer in ("kernels", "engine", "models", "tools", "tests", "bench")
                   for p in (ROOT / layer).rglob("*") if p.suffix in {".h", ".cpp", ".cu", ".cuh"}]
        # What it would write, not --dry-run: that of version 14 complains of `namespace a::inline b` whatever it says.
        done = subprocess.run(["clang-format", *sources], capture_output=True, text=True, check=True)
        said, wrong = done.stdout, []
        for path in sources:
            text = pathlib.Path(path).read_text()
            if not said.startswith(text):
                wrong = [path]
                break
            said = said[len(text):]
        self.assertEqual(wrong, [], "run ./dev format")

    def test_a_model_may_not_see_a_kernel(self):
        found = broken_copy(lambda root: (root / "models/x.h").write_text('#include "kernels/base/view.h"\n'))
        self.assertEqual(found, ["models/x.h:1: models may not include kernels/base/view.h"])

    def test_engine_headers_may_not_open_a_contract(self):
        found = broken_copy(lambda root: (root / "engine/ops/x.h").write_text('#include "kernels/copy/copy.h"\n'))
        self.assertEqual(found, ["engine/ops/x.h:1: only engine/ops/*.cpp opens a contract, "
                                 "not to be included here: kernels/copy/copy.h"])

    def test_an_operation_needs_every_part(self):
        for part in ("kernels/copy/copy_reference.cpp", "tests/copy_test.cpp", "tools/compare/copy_trial.cpp",
                     "tests/lerp_device_test.cpp"):
            found = broken_copy(lambda root: (root / part).unlink())
            self.assertEqual(found, [f"{pathlib.Path(part).name.split('_')[0]}: {part} is missing"])

    def test_long_files_are_named(self):
        found = broken_copy(lambda root: (root / "engine/x.cpp").write_text("\n" * 401))
        self.assertEqual(found, ["engine/x.cpp: 401 lines, at most 400"])


if __name__ == "__main__":
    unittest.main()
