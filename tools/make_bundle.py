#!/usr/bin/env python3
"""make_bundle.py BUILD OUT.tar.xz: what ./dev gpu needs on a machine with a GPU but without network and without Debian's
packages, in one file: the programs of the folder BUILD, the libraries they load, the tables and scripts that they read.
FFmpeg's libraries, with what they load 100 MB, are replaced by stand-ins that refuse: the program reads frames from a
cache there. NVIDIA's libraries are not carried: they are opened when they are used."""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = ["kinema", "tests/gpu_tests", "tests/gpu_goldens", "bench/gpu_bench"]
SCRIPTS = ["tools/gpu.py", "bench/conv3d_shapes.csv", "bench/peers"]
# Of the machine that runs it; a C++ library of ours would serve PyTorch too, which asks for a newer one.
SYSTEM = re.compile(r"^(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|stdc\+\+|gcc_s|gomp))\.so")
REPLACED = re.compile(r"^lib(av|sw|postproc)")
LIMIT = 64 << 20  # bytes


def said(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def needed(file):
    """What a program or library asks for by name."""
    return re.findall(r"NEEDED.*\[(.+)\]", said("readelf", "-d", str(file)))


def places(file):
    """Where the loader finds each library that a program needs, directly or not."""
    return dict(re.findall(r"^\s*(\S+) => (/\S+)", said("ldd", str(file)), re.M))


def closure(program):
    """Name and file of the libraries to carry: of FFmpeg's none, nor what they alone need."""
    where, found, open_ = places(program), {}, needed(program)
    while open_:
        name = open_.pop()
        if name in found or SYSTEM.match(name) or REPLACED.match(name):
            continue
        if name not in where:
            sys.exit(f"bundle: the loader does not find {name}, which {program} needs")
        found[name] = where[name]
        open_ += needed(where[name])
    return found


# What the stand-ins do: questions are answered with none, and jobs are refused before they begin, so that the program
# says its own sentence; whatever it calls beyond that ends it.
NOTHING = re.compile(r"_version$|^av_log|^av_max_alloc$|^avcodec_find|free|close|alloc$|alloc_context|getContext$")
REFUSED = {"avformat_alloc_output_context2", "avformat_open_input", "avio_open", "avio_open2", "avio_open_dyn_buf"}
STAND_IN = r"""#include <stdio.h>
#include <unistd.h>
#define SAID "FFmpeg is not part of this bundle, so it has no videos; use --frame-cache"
static int nothing(void) { return 0; }
static int refused(void) { return -38; }
static int missing(void) {
  fputs("kinema: " SAID "\n", stderr);
  _exit(1);
}
"""
ANSWERS = {"av_version_info": 'const char* av_version_info(void) { return "not in this bundle"; }\n',
           "avcodec_get_name": 'const char* avcodec_get_name(int id) { (void)id; return "it"; }\n',
           "av_strerror": 'int av_strerror(int e, char* to, size_t n) { (void)e; snprintf(to, n, SAID); return 0; }\n'}


def stand_in(program, library, folder):
    """A library of FFmpeg's name, with the functions that the program calls."""
    symbols = re.findall(r" U (\S+?)@+(\S+)", said("nm", "-D", "--undefined-only", str(program)))
    tag = re.match(r"lib([a-z]+)\.so\.(\d+)", library)
    version = f"LIB{tag.group(1).upper()}_{tag.group(2)}"
    text = STAND_IN
    for name in (name for name, v in symbols if v == version):
        what = "refused" if name in REFUSED else "nothing" if NOTHING.search(name) else "missing"
        text += ANSWERS.get(name, f'int {name}(void) __attribute__((alias("{what}")));\n')
    (folder / "stand_in.c").write_text(text)
    (folder / "stand_in.map").write_text(f"{version} {{ *; }};\n")
    said("cc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{library}", f"-Wl,--version-script={folder}/stand_in.map", "-o",
         str(folder / library), str(folder / "stand_in.c"))
    return folder / library


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    a = parser.parse_args()
    missing = [p for p in PROGRAMS if not (a.build / p).is_file()]
    if missing:
        sys.exit(f"bundle: {a.build} lacks {', '.join(missing)}: build them first, with nvcc")
    with tempfile.TemporaryDirectory() as scratch:
        home = pathlib.Path(scratch) / "kinema-gpu"
        (home / "bin").mkdir(parents=True)
        (home / "lib").mkdir()
        for program in PROGRAMS:
            copy = home / "bin" / pathlib.Path(program).name
            said("strip", "-o", str(copy), str(a.build / program))
            for name, file in closure(a.build / program).items():
                shutil.copy(file, home / "lib" / name)
            for name in filter(REPLACED.match, needed(a.build / program)):
                if not (home / "lib" / name).exists():
                    shutil.copy(stand_in(a.build / program, name, pathlib.Path(scratch)), home / "lib" / name)
        for script in filter(lambda s: (ROOT / s).exists(), SCRIPTS):
            (home / script).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (ROOT / script).is_dir() else shutil.copy)(ROOT / script, home / script)
        tar = pathlib.Path(scratch) / "bundle.tar"
        with tarfile.open(tar, "w") as archive:
            archive.add(home, home.name)
        # The kernels lie in each program: a dictionary as large as one of them finds the others' copies.
        part = a.out.with_name(a.out.name + ".part")
        with open(part, "wb") as to:
            subprocess.run(["xz", "--lzma2=preset=1,dict=512MiB", "-c", str(tar)], check=True, stdout=to)
    size = part.stat().st_size
    if size > LIMIT:
        part.unlink()
        sys.exit(f"bundle: expected at most {LIMIT >> 20} MiB, got {size >> 20}; nothing was written")
    part.replace(a.out)
    print(f"{a.out}: {size / (1 << 20):.1f} MiB")


if __name__ == "__main__":
    main()
