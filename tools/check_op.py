#!/usr/bin/env python3
"""Every operation, a folder under kernels/, has its contract, reference, CPU code, cases, differentiable function, test
and trials, and beside CUDA code a test on the device; the contract documents itself, and test and trials read the cases.
Sizes and line lengths of the style guide are held here too, for all sources."""
import pathlib
import re
import sys

LIMIT_LINES, LIMIT_COLUMNS = 400, 100
SOURCES = {".h", ".cpp", ".cu", ".cuh"}


def operations(root):
    return sorted(p.name for p in (root / "kernels").iterdir()
                  if p.is_dir() and p.name not in {"base", "cudnn", "device"})


def check_operation(root, op):
    folder = f"kernels/{op}/{op}"
    needed = [f"{folder}.h", f"{folder}_reference.cpp", f"{folder}_cpu.cpp", f"{folder}_cases.h",
              f"tests/{op}_test.cpp", f"tools/compare/{op}_trial.cpp", f"engine/ops/{op}.h",
              f"engine/ops/{op}.cpp"]
    bad = [f"{op}: {name} is missing" for name in needed if not (root / name).is_file()]
    if bad:
        return bad
    contract = (root / f"{folder}.h").read_text()
    if "///" not in contract or "Errors:" not in contract:
        bad.append(f"{folder}.h: the contract must document formula, shapes and 'Errors:'")
    for name in (f"tests/{op}_test.cpp", f"tools/compare/{op}_trial.cpp"):
        if f"{op}_cases" not in (root / name).read_text():
            bad.append(f"{name}: must run the shapes of {folder}_cases.h")
    backends = ["reference", "cpu"]
    if list((root / f"kernels/{op}").glob("*.cu")):
        backends += ["cuda", "emulated"]
        if not (root / f"tests/{op}_device_test.cpp").is_file():
            bad.append(f"{op}: tests/{op}_device_test.cpp is missing")
    for backend in backends:
        if not re.search(rf"\b{op}_{backend}\b", contract):
            bad.append(f"{folder}.h: declares no {op}_{backend}")
    return bad


def check_sizes(root):
    bad = []
    for layer in ("kernels", "engine", "models", "tools", "tests", "bench"):
        for path in sorted((root / layer).rglob("*")):
            if path.suffix not in SOURCES:
                continue
            lines = path.read_text().splitlines()
            name = path.relative_to(root)
            if len(lines) > LIMIT_LINES:
                bad.append(f"{name}: {len(lines)} lines, at most {LIMIT_LINES}")
            bad += [f"{name}:{i}: {len(line)} columns, at most {LIMIT_COLUMNS}"
                    for i, line in enumerate(lines, 1) if len(line) > LIMIT_COLUMNS]
    return bad


def check(root):
    bad = [fault for op in operations(root) for fault in check_operation(root, op)]
    return bad + check_sizes(root)


if __name__ == "__main__":
    base = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    faults = check(base)
    print("\n".join(faults) or f"{len(operations(base))} operations are whole")
    sys.exit(bool(faults))
