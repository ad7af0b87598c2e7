#!/usr/bin/env python3
"""compile_cuda.py OUTPUT DEPFILE NVCC...: runs the nvcc command, and keeps what ptxas says of each kernel (registers,
spills, shared memory) in OUTPUT.ptxas for the check of it. Lines that are no such statistics are passed on, and C75xx
remarks of ptxas, which say that it serialised tensor-core instructions, are errors."""
import pathlib
import re
import subprocess
import sys

STATISTICS = re.compile(r"^\s*(ptxas info|\d+ bytes (stack frame|gmem|cmem)|Used \d+ registers|ptxas\s*$)|^\s+\d+ bytes")


def main():
    output, depfile, *command = sys.argv[1:]
    done = subprocess.run([*command, "-Xptxas", "-v", "-MD", "-MF", depfile, "-o", output], capture_output=True, text=True)
    said = (done.stdout + done.stderr).splitlines()
    serialised = [line for line in said if "(C75" in line]
    rest = [line for line in said if not STATISTICS.match(line)]
    if rest or serialised:
        print("\n".join(rest + serialised), file=sys.stderr)
    if done.returncode or serialised:
        pathlib.Path(output).unlink(missing_ok=True)
        return done.returncode or 1
    pathlib.Path(output + ".ptxas").write_text("\n".join(said) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
