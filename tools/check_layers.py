#!/usr/bin/env python3
"""Refuses an #include against the layers: kernels <- engine <- models <- tools; tests and bench may use all.

In engine only engine/ops/*.cpp opens an operation's contract, kernels/<op>/; every other file of engine sees
kernels/base/ and plain option structs, kernels/<op>/<op>_options.h. Models see engine/ alone.
"""
import pathlib
import re
import sys

MAY_USE = {
    "kernels": {"kernels"},
    "engine": {"engine", "kernels"},
    "models": {"models", "engine"},
    "tools": {"tools", "models", "engine", "kernels"},
}
INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')


def fault(path, target):
    """Why `path` may not include `target`, or None."""
    layer, top = path.parts[0], target.split("/")[0]
    if top not in MAY_USE and top not in {"tests", "bench"}:
        return None
    if top not in MAY_USE[layer]:
        return f"{layer} may not include {target}"
    if layer == "engine" and top == "kernels":
        plain = target.startswith("kernels/base/") or target.endswith("_options.h")
        opens = path.parts[1] == "ops" and path.suffix == ".cpp"
        if not plain and not opens:
            return f"only engine/ops/*.cpp opens a contract, not to be included here: {target}"
    return None


def check(root):
    """All faults under `root`, as 'file:line: reason'."""
    bad = []
    for layer in MAY_USE:
        for path in sorted((root / layer).rglob("*")):
            if path.suffix not in {".h", ".cpp", ".cu", ".cuh"}:
                continue
            inside = path.relative_to(root)
            for number, line in enumerate(path.read_text().splitlines(), 1):
                found = INCLUDE.match(line)
                reason = found and fault(inside, found.group(1))
                if reason:
                    bad.append(f"{inside}:{number}: {reason}")
    return bad


if __name__ == "__main__":
    faults = check(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    print("\n".join(faults) or "layers hold")
    sys.exit(bool(faults))
