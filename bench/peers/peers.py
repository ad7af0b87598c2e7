#!/usr/bin/env python3
"""Kinema beside PyTorch, row by row, in one run.

  python3 bench/peers/peers.py build/release/bench/gpu_bench --out peers          on a GPU: the suite's headline layers
  python3 bench/peers/peers.py build/release/bench/trial_bench --shapes cases     on a CPU

PROGRAM stays open as a child that runs and times a row on request (bench/trials/serve.h). PyTorch gets the same numbers,
channels last (torch.channels_last_3d), and must give the same results within twice the row's bound. Then both are
timed by turns: a turn is the median of 30 rounds after warm-up, buffers in rotation past the L2 cache; what is printed is
the median of the turns, with the least 10 % and the greatest 90 % of them. PyTorch runs with cudnn.benchmark off
("torch": cuDNN's heuristic) and on ("torch tuned": the fastest algorithm of a search whose time is not counted);
reduced sums of narrow types are off, TF32 is on for tf32 alone. On CUDA the profiler names PyTorch's kernels.
Writes peers.csv (a line for each contender of each row) and peers.txt to the folder --out."""
import argparse
import csv
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import layers
import numpy
import torch

ROUNDS, WARM_UP, MOST_CALLS = 30, 3, 10
HEAD_START = 1 << 30  # bytes that the GPU clears while the host puts a round into the stream, as our own clock has it
FIELDS = ["operation", "pass", "precision", "shape", "name", "contender", "us", "low_us", "high_us", "TFLOP/s", "TB/s",
          "floor_us", "speed/torch", "difference", "bound", "agrees", "kernels", "note"]


class Ours:
    """The persistent child."""

    def __init__(self, program):
        # cuDNN and cuBLASLt as PyTorch has them, where pip has brought them.
        pip = sorted(str(p) for p in pathlib.Path(torch.__file__).parent.parent.glob("nvidia/*/lib"))
        folders = ":".join([*filter(None, [os.environ.get("LD_LIBRARY_PATH")]), *pip])
        self.child = subprocess.Popen([program, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                      env=dict(os.environ, LD_LIBRARY_PATH=folders) if folders else None)

    def ask(self, what, **how):
        self.child.stdin.write(json.dumps({"do": what, **how}) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            sys.exit(f"peers: {self.child.args[0]} has ended with status {self.child.wait()}")
        reply = json.loads(line)
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply

    def close(self):
        self.child.stdin.close()
        self.child.wait()


class Peer:
    """PyTorch on one row: `sets` of tensors that together exceed the L2 cache three times."""

    def __init__(self, row, operands, device):
        self.cuda = device == "cuda"
        kind = layers.TYPES[row["precision"]]
        given = {}
        for o in operands:
            if o["role"] == "output":
                continue
            t = torch.from_numpy(numpy.fromfile(o["file"], numpy.float32).reshape(o["shape"]))
            given[o["name"]] = t.to(device, torch.float32 if o["name"] in layers.ALWAYS_F32 else kind)
        size = max(1, sum(t.numel() * t.element_size() for t in given.values()))
        enough = 3 * getattr(torch.cuda.get_device_properties(0), "L2_cache_size", 64 << 20) if self.cuda else 0
        copies = [given] + [{k: t.clone() for k, t in given.items()} for _ in range(min(15, enough // size))]
        self.calls = [layers.layer(row["operation"], row["pass"], row["shape"], c) for c in copies]
        self.next = 0
        self.cleared = torch.empty(HEAD_START if self.cuda else 0, dtype=torch.uint8, device=device)

    def outputs(self):
        return self.calls[0]()

    def call(self):
        self.calls[self.next % len(self.calls)]()
        self.next += 1

    def round(self, calls):
        """Seconds of one call."""
        if not self.cuda:
            start = time.perf_counter()
            for _ in range(calls):
                self.call()
            return (time.perf_counter() - start) / calls
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.cleared.zero_()
        start.record()
        for _ in range(calls):
            self.call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) * 1e-3 / calls

    def time(self):
        calls = MOST_CALLS
        for _ in range(WARM_UP):
            calls = 1 if self.round(calls) > 1e-3 else MOST_CALLS
        all_ = sorted(self.round(calls) for _ in range(ROUNDS))
        return {"seconds": statistics.median(all_), "low": all_[ROUNDS // 10], "high": all_[ROUNDS - 1 - ROUNDS // 10]}

    def kernels(self):
        """What ran on the GPU, by the profiler's names."""
        if not self.cuda:
            return ""
        from torch.profiler import ProfilerActivity, profile
        self.call()
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            self.call()
            torch.cuda.synchronize()
        names = [e.name for e in seen.events() if str(e.device_type).endswith("CUDA")]
        return " + ".join(dict.fromkeys(n[:120] for n in names))


def difference(operands, outputs):
    """Greatest distance of an output from PyTorch's, of the largest; and the bound: both sides may err by the row's."""
    worst, bound = 0.0, 0.0
    held = [o for o in operands if o["role"] != "input"]
    for o, theirs in zip(held, outputs):
        if theirs is None:
            continue
        got = numpy.fromfile(o["file"], numpy.float32).reshape(o["shape"])
        want = theirs.detach().float().cpu().numpy().reshape(got.shape)
        largest = numpy.abs(want).max(initial=0.0)
        gap = numpy.abs(got - want).max(initial=0.0) / max(largest, 1e-30) if got.size else 0.0
        # Sums of weights' gradients are f32 with us and of the activations' type there.
        allowed = 2 * o["bound"] + torch.finfo(theirs.dtype).eps if theirs.is_floating_point() else 0
        if not gap <= allowed or gap >= worst:
            worst, bound = float(gap), float(allowed)
        if not gap <= allowed:
            break
    return worst, bound


def pooled(turns):
    return {"seconds": statistics.median(t["seconds"] for t in turns), "low": min(t["low"] for t in turns),
            "high": max(t["high"] for t in turns)}


def set_precision(precision):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    for name in ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction"):
        try:
            setattr(torch.backends.cuda.matmul, name, False)
        except (AssertionError, AttributeError):  # an older PyTorch
            pass


def compete(ours, row, backends, device, turns, folder):
    """A dictionary of figures for each contender of a row."""
    key = {k: row[k] for k in ("operation", "pass", "precision", "shape")}
    found = {b: {} for b in backends}
    operands = {}
    for b in backends:
        try:
            (folder / b).mkdir(exist_ok=True)
            operands[b] = ours.ask("run", **key, backend=b, folder=str(folder / b))["operands"]
        except RuntimeError as e:
            found[b]["note"] = str(e)
    if not operands:
        return found
    set_precision(row["precision"])
    modes = {"torch": False, "torch tuned": True} if device == "cuda" and row["operation"] == "conv3d" else {"torch": False}
    try:
        peer = Peer(row, next(iter(operands.values())), device)
        theirs = peer.outputs()
        for b in operands:
            gap, bound = difference(operands[b], theirs)
            found[b].update(difference=gap, bound=bound, agrees=gap <= bound)
    except (layers.Absent, RuntimeError, NotImplementedError) as e:
        found["torch"] = {"note": f"{type(e).__name__}: {e}".splitlines()[0][:200]}
        modes = {}
    seen = {name: [] for name in [*operands, *modes]}
    for _ in range(turns):
        for b in operands:
            seen[b].append(ours.ask("time", **key, backend=b))
        for name, tuned in modes.items():
            torch.backends.cudnn.benchmark = tuned
            seen[name].append(peer.time())
    for name, tuned in modes.items():
        torch.backends.cudnn.benchmark = tuned
        found[name] = {"kernels": peer.kernels()}
    for name, all_ in seen.items():
        found.setdefault(name, {}).update(pooled(all_))
    best = min((found[m]["seconds"] for m in modes), default=None)
    for figures in found.values():
        if best and "seconds" in figures:
            figures["speed/torch"] = best / figures["seconds"]
    return found


def line_of(row, name, f):
    line = {k: row[k] for k in ("operation", "pass", "precision", "shape", "name")}
    line.update({"contender": name, "floor_us": row["floor"] * 1e6})
    line.update({k: f[k] for k in ("difference", "bound", "agrees", "kernels", "note", "speed/torch") if k in f})
    if "seconds" in f:
        line.update({"us": f["seconds"] * 1e6, "low_us": f["low"] * 1e6, "high_us": f["high"] * 1e6,
                     "TFLOP/s": row["flop"] / f["seconds"] * 1e-12, "TB/s": row["bytes"] / f["seconds"] * 1e-12})
    return {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in line.items()}


def text_of(line):
    what = f"{line['operation']}.{line['pass']} {line['precision']} {line['name'] or line['shape']}"
    time_ = f"{line['us']:>10} us  {line['low_us']:>9} .. {line['high_us']:>9}" if "us" in line else f"{'':37}"
    ratio = f"  x{float(line['speed/torch']):.2f}" if "speed/torch" in line else ""
    wrong = "" if line.get("agrees", True) else f"  DIFFERS by {line['difference']}, at most {line['bound']}"
    return f"{what:72} {line['contender']:12}{time_}{ratio}{wrong}  {line.get('note', '')}".rstrip()


def facts(program, device, about):
    found = {"command": " ".join(sys.argv), "time": datetime.datetime.now().isoformat(timespec="seconds"),
             "program": program, "gpu": about["gpu"] or "none", "cpu threads of PyTorch": torch.get_num_threads(),
             "python": platform.python_version(), "torch": torch.__version__}
    if device == "cuda":
        found.update({"torch sees": torch.cuda.get_device_name(0), "CUDA of torch": torch.version.cuda,
                      "cuDNN of torch": torch.backends.cudnn.version()})
        said = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version,power.limit,clocks.max.sm",
                               "--format=csv,noheader"], capture_output=True, text=True)
        found["nvidia-smi"] = said.stdout.strip() or said.stderr.strip()
    return found


def rows_of(ours, a):
    for operation in a.ops.split(","):
        for precision in a.precisions.split(","):
            rows = ours.ask("list", operation=operation, precision=precision, shapes=a.shapes, size=a.size)["rows"]
            passes = a.passes.split(",") if a.passes else None
            rows = [r for r in rows if not passes or r["pass"] in passes]
            # An axis of size 0 is a test's business.
            rows = [r for r in rows if not any(0 in v for k, v in layers.words(r["shape"]).items() if k in ("x", "w"))]
            for r in rows[:a.limit]:
                yield {**r, "operation": operation, "precision": precision}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("peers"))
    parser.add_argument("--ops", default=",".join(layers.LAYERS))
    parser.add_argument("--passes", default="", help="of these alone, as in forward,grad_input")
    parser.add_argument("--precisions", default="bf16,f32")
    parser.add_argument("--shapes", default="headline", help="cases, headline, suite or a file of convolutions")
    parser.add_argument("--size", default="", help="small or full; full, on a CPU small")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--limit", type=int, default=None, help="so many rows of each operation and precision")
    a = parser.parse_args()
    ours = Ours(a.program)
    about = ours.ask("about")
    device = "cuda" if about["gpu"] else "cpu"
    a.size = a.size or ("full" if about["gpu"] else "small")
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("peers: this PyTorch sees no GPU")
    a.out.mkdir(parents=True, exist_ok=True)
    count = wrong = 0
    with tempfile.TemporaryDirectory() as scratch, open(a.out / "peers.csv", "w", newline="") as table, \
            open(a.out / "peers.txt", "w") as text:
        writer = csv.DictWriter(table, FIELDS)
        writer.writeheader()
        head = "".join(f"{k}: {v}\n" for k, v in facts(a.program, device, about).items())
        text.write(head + "\n")
        for row in rows_of(ours, a):
            count += 1
            for name, figures in compete(ours, row, about["backends"], device, a.turns, pathlib.Path(scratch)).items():
                line = line_of(row, name, figures)
                writer.writerow(line)
                wrong += line.get("agrees") is False
                print(text_of(line), flush=True)
                text.write(text_of(line) + "\n")
            table.flush()
            text.flush()
        last = f"{count} rows, {wrong} results differ from PyTorch's; x: speed over the better of PyTorch's"
        print(last)
        text.write(last + "\n")
    ours.close()
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    sys.exit(main())
