#!/usr/bin/env python3
# labels: device needs: launches
"""Device code, compiled twice: every kernel that nvcc makes has run on the emulation, none spills, and the two
compilations share nothing that a linker could merge. And the checks that say so can fail."""
import os
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ["KINEMA_BUILD"])
sys.path.insert(0, str(ROOT / "tools"))
import device_report as report  # noqa: E402

MOST_INSTANTIATIONS = 8


def weak_symbols(objects):
    """Demangled names that a linker would merge with others of the same name."""
    listed = subprocess.run(["nm", "-C", "--defined-only", *map(str, objects)], capture_output=True, text=True, check=True)
    return {m.group(1) for m in re.finditer(r"^[0-9a-f]+ [WVu] (.*)$", listed.stdout, re.M)}


def words_of_base():
    """What kernels/base and the contracts declare: host code alone, the same on both sides."""
    headers = [p for p in (ROOT / "kernels").glob("*/*.h") if p.parent.name != "device"]
    code = "\n".join(re.sub(r"//.*", "", p.read_text()) for p in headers)
    return set(re.findall(r"\w+", code)) - {"device"}


def owner(name):
    """What lies in kinema::kernels and declares `name`: a function, or the class of a member; None for others' names."""
    name = name.replace("kinema::kernels::", "@")
    depth, plain = 0, ""
    for c in name.replace("operator()", "operator").replace("operator<<", "operator"):
        if c == "(" and depth == 0:
            break
        depth += (c == "<") - (c == ">")
        plain += c if depth == 0 else ""
    found = re.match(r"@(\w+)", plain.split(" ")[-1])
    return found.group(1) if found else None


def mixed(emulated, cuda, base):
    """Names that both have and that are not host code of kernels/base or of a library."""
    return sorted(name for name in emulated & cuda if owner(name) and owner(name) not in base)


@unittest.skipUnless((BUILD / "cuda").is_dir(), "nvcc is missing: CUDA code is neither compiled nor checked")
class DeviceCode(unittest.TestCase):
    maxDiff = None

    def test_every_kernel_has_run_on_the_emulation(self):
        entries, launches = report.compiled(BUILD), report.launched(BUILD)
        self.assertGreater(len(entries), 0)
        self.assertEqual([report.short(n) for n in report.demangled(report.never_launched(entries, launches))], [])
        self.assertEqual([e for e in entries if "device_cuda" not in e.symbol], [], "kernels outside of KERNELS_TWIN")

    def test_no_kernel_spills_or_has_a_stack_frame(self):
        entries = report.compiled(BUILD)
        self.assertEqual({e.arch for e in entries}, {"sm_80", "sm_90a"})
        self.assertEqual(report.spilling(entries), [])

    def test_kernels_have_few_instantiations(self):
        counts = {}
        for symbol in {e.symbol for e in report.compiled(BUILD) if not report.is_mutant(e.symbol)}:
            counts.setdefault(report.template_of(symbol), []).append(symbol)
        self.assertEqual({k: len(v) for k, v in counts.items() if len(v) > MOST_INSTANTIATIONS}, {})

    def test_the_two_compilations_do_not_meet(self):
        emulated = [p for folder in BUILD.rglob("*_emulated.dir") for p in folder.rglob("*.cu.cpp.o")]
        cuda = list((BUILD / "cuda").rglob("*.o"))
        self.assertEqual(len(emulated), len(cuda))
        self.assertEqual(mixed(weak_symbols(emulated), weak_symbols(cuda), words_of_base()), [])


class TheChecks(unittest.TestCase):
    TEXT = ("ptxas info    : Compiling entry function '_ZN3a11device_cuda1kEv' for 'sm_90a'\n"
            "ptxas info    : Function properties for _ZN3a11device_cuda1kEv\n"
            "    {} bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
            "ptxas info    : Used 40 registers, used 1 barriers, 1024 bytes smem\n")

    def test_read_ptxas(self):
        self.assertEqual(report.kernels(self.TEXT.format(0)),
                         [report.Kernel("_ZN3a11device_cuda1kEv", "sm_90a", 40, 1024, 0, 0)])

    def test_see_a_stack_frame(self):
        self.assertEqual(len(report.spilling(report.kernels(self.TEXT.format(8)))), 1)

    def test_see_a_kernel_that_never_ran(self):
        entries = report.kernels(self.TEXT.format(0))
        ran = report.Launched("_ZN3a15device_emulated1kEv", "a.k", 256, 0)
        self.assertEqual(report.never_launched(entries, [ran]), [])
        self.assertEqual(report.never_launched(entries, []), ["_ZN3a11device_cuda1kEv"])

    def test_see_a_shared_template(self):
        base = words_of_base()
        legal = {"kinema::kernels::Shape::size() const", "std::vector<int>::size() const",
                 "kinema::kernels::Error::~Error()", "void kinema::kernels::fail<char [3]>(char const (&) [3])",
                 "std::vector<kinema::kernels::odd_thing>::at(unsigned long)"}
        self.assertEqual(mixed(legal, legal, base), [])
        bad = {"void kinema::kernels::scale_kernel<float>(float*)", "kinema::kernels::device::helper()",
               "kinema::kernels::Shape kinema::kernels::shape_helper<int>(int)"}
        self.assertEqual(mixed(bad, bad, base), sorted(bad))

    def test_predict_occupancy(self):
        kernel = report.Kernel("k", "sm_90a", 40, 0, 0, 0)
        self.assertEqual(report.occupancy(kernel, 256, 0), 48 / 64)      # 51 warps' registers: 6 blocks of 8
        self.assertEqual(report.occupancy(kernel, 256, 100 << 10), 16 / 64)


if __name__ == "__main__":
    unittest.main()
