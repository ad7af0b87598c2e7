#!/usr/bin/env python3
"""device_report.py BUILD [--kernels WORD]: what nvcc made of each kernel: registers, shared memory, stack, spills,
instantiations, predicted occupancy. Reads the .ptxas files beside the objects that nvcc wrote, and the launches that the
tests on the emulation logged, from which block sizes and dynamic shared memory are known."""
import collections
import math
import os
import pathlib
import re
import subprocess
import sys

Kernel = collections.namedtuple("Kernel", "symbol arch registers shared stack spills")
Launched = collections.namedtuple("Launched", "symbol name threads shared")

# Of compute capability 9.0 and 8.0: registers, warps, blocks and shared memory of a multiprocessor; registers are
# given out to warps in units of 256; a block takes 1 KiB of shared memory for itself.
# Source: CUDA C++ Programming Guide 13, table of technical specifications.
LIMITS = {"sm_90a": (65536, 64, 32, 228 << 10), "sm_80": (65536, 64, 32, 164 << 10)}


def kernels(text):
    """The entries of a .ptxas file."""
    found = []
    for part in re.split(r"(?=ptxas info\s+: Compiling entry function)", text):
        head = re.match(r"ptxas info\s+: Compiling entry function '(\S+)' for '(\S+)'", part)
        if not head:
            continue
        stack, stores, loads = map(int, re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part).groups())
        used = re.search(r"Used (\d+) registers(.*)", part)
        shared = re.search(r"(\d+) bytes smem", used.group(2))
        found.append(Kernel(head.group(1), head.group(2), int(used.group(1)), int(shared.group(1)) if shared else 0,
                            stack, stores + loads))
    return found


def compiled(build):
    """All entries that nvcc made."""
    return [k for path in sorted((build / "cuda").rglob("*.ptxas")) for k in kernels(path.read_text())]


def launched(build):
    """What the tests have launched on the emulation, by the kernels' symbols. A log older than its program is of none."""
    done = []
    for log in sorted((build / "launches").iterdir()):
        program, *lines = log.read_text().splitlines()
        if not os.path.exists(program) or log.stat().st_mtime < os.stat(program).st_mtime:
            continue
        symbols = {}
        for line in subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout.splitlines():
            address, _, symbol = line.rpartition(" ")
            if address.strip() and not address.startswith(" "):
                symbols.setdefault(int(address.split()[0], 16), symbol)
        for line in lines:
            offset, name, threads, shared = line.split()
            done.append(Launched(symbols.get(int(offset, 16), "?"), name, int(threads), int(shared)))
    return done


def as_cuda(symbol):
    """The name that nvcc gives to what the emulation calls `symbol`."""
    return symbol.replace("15device_emulated", "11device_cuda")


def is_mutant(symbol):
    """Kernels with a planted fault, in a namespace `mutants`, are made for the emulation."""
    return "7mutants" in symbol


def never_launched(entries, launches):
    """Symbols of entries that no launch has executed."""
    seen = {as_cuda(l.symbol) for l in launches}
    return sorted({e.symbol for e in entries if not is_mutant(e.symbol)} - seen)


def spilling(entries):
    return [e for e in entries if (e.stack or e.spills) and not is_mutant(e.symbol)]


def template_of(symbol):
    """The kernel that a symbol instantiates: its demangled name up to the template's arguments."""
    name = demangled([symbol])[0]
    return re.sub(r"^void ", "", re.split(r"[<(]", name.replace("(int)", ""), maxsplit=1)[0])


def demangled(symbols):
    done = subprocess.run(["c++filt"], input="\n".join(symbols), capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def short(name):
    """A demangled kernel as people call it: operation::kernel<arguments>."""
    name = re.sub(r"^void ", "", name).replace("kinema::kernels::", "").replace("device::device_cuda::", "")
    depth, end = 0, len(name)
    for i, c in enumerate(name):
        depth += (c == "<") - (c == ">")
        if c == "(" and depth == 0:
            end = i
            break
    return re.sub(r"\((?:int|bool|long)\)", "", name[:end])


def occupancy(kernel, threads, shared):
    """Share of a multiprocessor's warps that run at once."""
    registers, warps, blocks, memory = LIMITS[kernel.arch]
    of_block = math.ceil(threads / 32)
    by_registers = registers // (math.ceil(max(kernel.registers, 1) * 32 / 256) * 256) // of_block
    by_memory = memory // (kernel.shared + shared + 1024)
    return min(by_registers, by_memory, warps // of_block, blocks) * of_block / warps


def main():
    build = pathlib.Path(sys.argv[1])
    word = sys.argv[3] if len(sys.argv) > 3 else ""
    entries = [e for e in compiled(build) if not is_mutant(e.symbol)]
    shapes = collections.defaultdict(set)
    for l in launched(build):
        shapes[as_cuda(l.symbol)].add((l.threads, l.shared))
    names = dict(zip([e.symbol for e in entries], demangled([e.symbol for e in entries])))
    print(f"{'kernel':88} {'arch':7}{'regs':>5}{'shared':>8}{'stack':>6}{'spill':>6}{'threads':>8}{'occupancy':>10}")
    for e in sorted(entries, key=lambda e: (short(names[e.symbol]), e.arch)):
        name = short(names[e.symbol])
        if word not in name:
            continue
        threads, dynamic = max(shapes.get(e.symbol, {(0, 0)}))
        share = f"{100 * occupancy(e, threads, dynamic):.0f} %" if threads else "?"
        print(f"{name:88} {e.arch:7}{e.registers:5}{e.shared + dynamic:8}{e.stack:6}{e.spills:6}{threads:8}{share:>10}")


if __name__ == "__main__":
    main()
