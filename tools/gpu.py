#!/usr/bin/env python3
"""gpu.py PROGRAMS [--out gpu-report] [--full]: checks and measures Kinema on this machine's GPU, from the programs in the
folder PROGRAMS (./dev gpu builds them or unpacks them from a bundle). Needs Python's own library alone; cuDNN and cuBLAS
are looked for in the CUDA Toolkit and in pip's packages. Writes report.json, report.txt and log.txt to the folder --out
and prints a table last; exits with 1 if a check failed, with 2 if there is no GPU. Ends within 8 minutes; --full takes
what it takes."""
import argparse
import concurrent.futures
import datetime
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import time

MINUTES = 8
PACKAGES = ("torch", "nvidia-cudnn-cu13", "nvidia-cudnn-cu12", "nvidia-cublas", "nvidia-cublas-cu12")
# Checks that lie first by this pattern: what all other kernels rest on.
CONFORMANCE = "*Conformance*"
# Those of tensors past 2^32 elements, of which not many fit beside each other.
LARGE = "*LargeTensors*"


def program(folder, name):
    """Where a program lies in a build folder, or in a bundle's."""
    return next((p for p in (folder / name, folder / "tests" / name, folder / "bench" / name) if p.is_file()), folder / name)


def library_folders():
    """Where pip's packages keep NVIDIA's libraries."""
    homes = [*site.getsitepackages(), site.getusersitepackages()]
    return sorted({str(p) for home in homes for p in pathlib.Path(home).glob("nvidia/*/lib") if p.is_dir()})


def environment():
    e = dict(os.environ, OMP_WAIT_POLICY="passive")
    e["LD_LIBRARY_PATH"] = ":".join([*filter(None, [e.get("LD_LIBRARY_PATH")]), *library_folders()])
    return e


def versions():
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def gpus():
    """What nvidia-smi says of each GPU; none where it does not run."""
    query = "name,driver_version,memory.total,clocks.sm,clocks.mem,power.limit"
    try:
        done = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True,
                              timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode:
        return []
    return [dict(zip(query.split(","), map(str.strip, line.split(",")))) for line in done.stdout.splitlines() if line.strip()]


class Report:
    """Steps, each with its verdict, figures and seconds; written anew after each, so that a machine that is taken away
    leaves what was seen."""

    def __init__(self, out, deadline, grace):
        self.out, self.deadline, self.grace = out, deadline, grace
        out.mkdir(parents=True, exist_ok=True)
        self.log = open(out / "log.txt", "w")
        self.facts, self.steps = {}, []

    def left(self):
        return self.deadline - time.monotonic()

    def add(self, name, verdict, said, seconds=0.0, **figures):
        self.steps.append({"step": name, "verdict": verdict, "said": said, "seconds": round(seconds, 1), **figures})
        print(f"{verdict:8} {name}: {said} ({seconds:.0f} s)", flush=True)
        self.write()

    def table(self):
        width = max([len(s["step"]) for s in self.steps] + [4])
        lines = [f"{'step':{width}}  {'verdict':8} {'s':>6}  what was seen"]
        lines += [f"{s['step']:{width}}  {s['verdict']:8} {s['seconds']:6.1f}  {s['said']}" for s in self.steps]
        return "\n".join(lines)

    def write(self):
        whole = json.dumps({**self.facts, "steps": self.steps}, indent=1)
        for name, text in (("report.json", whole), ("report.txt", self.head() + self.table())):
            part = self.out / (name + ".part")
            part.write_text(text + "\n")
            part.replace(self.out / name)

    def head(self):
        return "".join(f"{key}: {value}\n" for key, value in self.facts.items()) + "\n"

    def run(self, command, limit, env):
        """Exit status (None: it ran out of time) and output of a command, which the log holds whole."""
        limit = max(1, min(limit, self.left()))
        self.log.write(f"$ {' '.join(map(str, command))}\n")
        began = time.monotonic()
        try:
            child = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                     errors="replace", env=env, start_new_session=True)
        except OSError as e:
            self.log.write(f"{e}\n")
            return 127, str(e), 0.0
        try:
            text = child.communicate(timeout=limit)[0]
            status = child.returncode
        except subprocess.TimeoutExpired:
            text, status = self.end(child), None
        self.log.write(f"{text}\n-- {'out of time' if status is None else f'exit {status}'}\n")
        self.log.flush()
        return status, text, time.monotonic() - began

    def end(self, child):
        """Asks a process and what it has started to end, as Ctrl-C does, and then makes them; all that it said."""
        os.killpg(child.pid, signal.SIGINT)
        try:
            text = child.communicate(timeout=self.grace)[0]
        except subprocess.TimeoutExpired:
            text = None
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return child.communicate()[0] if text is None else text


def verdict_of(status):
    return {0: "ok", None: "no time"}.get(status, "FAILED")


def last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:160] if lines else "said nothing"


def run_tests(report, name, program, pattern, limit, env, shards):
    """GoogleTest in several processes at a time: most of the time goes into references on the CPU."""
    def shard(i):
        mine = dict(env, GTEST_TOTAL_SHARDS=str(shards), GTEST_SHARD_INDEX=str(i), OMP_NUM_THREADS="2")
        return report.run([program, f"--gtest_filter={pattern}"], limit, mine)

    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(shards) as pool:
        done = list(pool.map(shard, range(shards)))
    text = "\n".join(text for _, text, _ in done)
    # Line by line: one that runs out of time prints no sum. The first to fail may have taken the device from the rest.
    passed = len(re.findall(r"^\[       OK \] ", text, re.M))
    failed = list(dict.fromkeys(re.findall(r"^\[  FAILED  \] (\w\S*\.\S*?)(?:[,\s(]|$)", text, re.M)))
    crashed = [status for status, _, _ in done if status not in (0, 1, None)]
    late = any(status is None for status, _, _ in done)
    said = f"{passed} passed, {len(failed)} failed" + (f": {' '.join(failed[:4])}" if failed else "")
    said += f", {len(crashed)} processes died ({crashed[0]})" if crashed else ""
    said += ", out of time" if late else ""
    bad = failed or crashed or not passed
    report.add(name, "FAILED" if bad else "no time" if late else "ok", said, time.monotonic() - began, passed=passed,
               failed=failed)


def run_program(report, name, command, limit, env):
    status, text, seconds = report.run(command, limit, env)
    report.add(name, verdict_of(status), last_line(text), seconds)


def sanitize(report, tests, env):
    tool = shutil.which("compute-sanitizer")
    if not tool:
        return report.add("compute-sanitizer", "left out", "compute-sanitizer is not on the PATH")
    command = [tool, "--tool", "memcheck", "--error-exitcode", "9", tests, f"--gtest_filter={CONFORMANCE}"]
    status, text, seconds = report.run(command, 90, env)
    if "Device not supported" in text:
        return report.add("compute-sanitizer", "left out", "this machine does not let it run: Device not supported", seconds)
    report.add("compute-sanitizer", verdict_of(status), last_line(text), seconds)


def compare(report, kinema, out, full, env):
    """The table of our kernels beside cuDNN, as JSON and as a page."""
    command = [kinema, "compare", "--json", "--html", out / "compare.html"] + ([] if full else ["--shapes", "headline", "--dtype", "bf16"])
    status, text, seconds = report.run(command, 3600 if full else 150, env)
    try:
        rows = json.loads(text[text.index("["):text.rindex("]") + 1])
    except ValueError:
        return report.add("compare", verdict_of(status), last_line(text), seconds)
    (out / "compare.json").write_text(json.dumps(rows, indent=0))
    wrong = [r for r in rows if r["ok"] is False]  # None: refused, a case that the backend does not take
    ratios = sorted(r["ratio"] for r in rows if r.get("ratio") and r["backend"] != "cudnn")  # whose own is 1
    said = f"{len(rows)} rows, {len(wrong)} wrong" + (
        f"; ratio to cuDNN: least {ratios[0]:.2f}, median {ratios[len(ratios) // 2]:.2f}" if ratios else "")
    report.add("compare", "FAILED" if wrong or not rows else verdict_of(status), said, seconds)


def peers(report, bench, full, env):
    """Convolutions, pooling, norms and products beside PyTorch's, where that is there."""
    script = pathlib.Path(__file__).resolve().parent.parent / "bench/peers/peers.py"
    if importlib.util.find_spec("torch") is None:
        return report.add("PyTorch", "left out", "this Python has no torch")
    more = ["--shapes", "suite"] if full else ["--ops", "conv3d", "--precisions", "bf16"]
    run_program(report, "PyTorch", [sys.executable, script, bench, "--out", report.out / "peers", *more],
                7200 if full else 120, env)


class Utilisation:
    """Samples how much of its time the GPU runs kernels, in percent, while a block runs."""

    def __enter__(self):
        try:
            self.process = subprocess.Popen(["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits",
                                             "--loop-ms=200", "--id=0"], stdout=subprocess.PIPE, text=True)
        except OSError:
            self.process = None
        return self

    def __exit__(self, *_):
        self.samples = []
        if self.process:
            self.process.terminate()
            self.samples = [int(w) for w in self.process.communicate()[0].split() if w.isdigit()]

    def idle(self):
        """Median of the middle half: start and evaluation left out; None if there is too little to say."""
        n = len(self.samples)
        middle = sorted(self.samples[n // 4:3 * n // 4])
        return 100 - middle[len(middle) // 2] if n >= 12 else None


def tensors_of(checkpoint):
    """The bytes behind the header of a safetensors file: the header names the run's options, which may differ."""
    data = checkpoint.read_bytes()
    return data[8 + int.from_bytes(data[:8], "little"):]


def train(report, kinema, env):
    """The demo's 3D network on the GPU, from frames in a cache: it must learn, and steps that are replayed as a graph
    must give the weights of steps that are launched one kernel at a time."""
    with tempfile.TemporaryDirectory() as scratch:
        home = pathlib.Path(scratch)
        run_program(report, "generate motion", [kinema, "generate", "motion", "--out", home / "motion", "--frame-cache",
                                                home / "frames", "--clips", "240"], 60, env)
        command = [kinema, "train", "--model", "slow_fusion", "--data", home / "motion/list.csv", "--frame-cache", home / "frames",
                   "--val-fraction", "0.17", "--index", "none", "--batch", "8", "--lr", "0.05", "--device", "cuda", "--quiet"]
        for name, more in (("graph", []), ("eager", ["--no-graph"])):
            status, text, seconds = report.run([*command, "--epochs", "1", "--run", home / name, *more], 60, env)
            report.add(f"train, {name}", verdict_of(status), last_line(text), seconds)
        same = [(home / name / "last.safetensors") for name in ("graph", "eager")]
        if all(p.exists() for p in same):
            equal = tensors_of(same[0]) == tensors_of(same[1])
            report.add("graph replay", "ok" if equal else "FAILED", "equals single launches bit for bit" if equal else
                       "gives other weights than single launches")
        with Utilisation() as busy:
            status, text, seconds = report.run([*command, "--epochs", "24", "--eval-every", "24", "--run", home / "run"], 150, env)
        found = re.search(r"best (\d+(?:\.\d+)?)%", text)
        top1 = float(found.group(1)) if found else 0.0
        idle = busy.idle()
        said = f"top-1 {top1:.1f} % of held-out clips after 24 epochs; GPU idle " + (
            "not measured: too short" if idle is None else f"{idle} % of the time")
        bad = status not in (0, None) or (status == 0 and top1 < 95)
        report.add("train", "FAILED" if bad else verdict_of(status), said, seconds, top1=top1, idle=idle)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("gpu-report"))
    parser.add_argument("--full", action="store_true", help="every test and every row")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="when to end, without --full")
    parser.add_argument("--grace", type=float, default=15, help="seconds for a program that is told to end to say what it has")
    a = parser.parse_args()
    report = Report(a.out, time.monotonic() + (24 * 3600 if a.full else 60 * a.minutes), a.grace)
    here = gpus()
    report.facts = {"gpu": here[0] if here else None, "versions": versions(), "command": " ".join(sys.argv),
                    "time": datetime.datetime.now().isoformat(timespec="seconds")}
    if not here:
        report.write()
        print("gpu: expected an NVIDIA GPU and its driver, but nvidia-smi found none; nothing was checked", file=sys.stderr)
        return 2
    env, tests, kinema = environment(), program(a.programs, "gpu_tests"), program(a.programs, "kinema")
    shards = max(1, min(8, (os.cpu_count() or 2) // 2))
    run_program(report, "doctor", [kinema, "doctor"], 30, env)
    run_tests(report, "conformance", tests, CONFORMANCE, 60, env, 1)
    run_program(report, "goldens", [program(a.programs, "gpu_goldens"), a.out / "goldens.json"], 30, env)
    run_tests(report, "kernels", tests, f"*-{CONFORMANCE}:{LARGE}", 3600 if a.full else 150, env, shards)
    run_tests(report, "large tensors", tests, LARGE, 600 if a.full else 60, env, 1)
    train(report, kinema, env)
    compare(report, kinema, a.out, a.full, env)  # cut short, it still says something
    peers(report, program(a.programs, "gpu_bench"), a.full, env)
    sanitize(report, tests, env)
    print(f"\n{report.head()}{report.table()}")
    return any(s["verdict"] == "FAILED" for s in report.steps)


if __name__ == "__main__":
    sys.exit(main())
