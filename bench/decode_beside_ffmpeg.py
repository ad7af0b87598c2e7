#!/usr/bin/env python3
"""From a video file to a normalised clip, beside `ffmpeg -threads 2` decoding and scaling the same file.

  python3 bench/decode_beside_ffmpeg.py build/release/bench/decode_clips [--clips ../shared/clips] [--rounds 3]

Every file is read REPEATS times: by Kinema's loader with two threads (decoded, scaled, converted to RGB, cut, to
normalised f32; each time opened anew, its frames listed once before in an index, as in training), and by ffmpeg in one process (decoded, scaled, converted to RGB, thrown away),
by turns in one run. ffmpeg's time is its own rtime: without the start of the process. "equal" is ffmpeg with the
scaler flags that Kinema's frames are equal to, "default" with what it takes when nothing is said. Printed: frames a
second, medians over the rounds, and Kinema's ratio to "equal": at least 0.9 over the whole set. The last columns are
frames per second of processor time, which other work on the machine disturbs less.
"""
import argparse
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

FLAGS = {"equal": ":flags=bilinear+accurate_rnd+full_chroma_int", "default": ""}
GENERATED = {"320x240 h264": "testsrc2=s=320x240:r=30:d=10,noise=alls=12:allf=t",
             "1280x720 h264": "testsrc2=s=1280x720:r=30:d=4,noise=alls=12:allf=t"}


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done


def kinema(program, file, repeats, short_side, crop, index):
    """Frames, seconds, processor seconds."""
    said = run([program, *map(str, (file, repeats, short_side, crop, index))]).stdout.split()
    return int(said[0]), float(said[1]), float(said[2])


def ffmpeg(file, repeats, short_side, flags):
    scale = f"scale='if(lt(iw,ih),{short_side},-1)':'if(lt(iw,ih),-1,{short_side})'{flags},format=rgb24"
    said = run(["ffmpeg", "-nostdin", "-benchmark", "-threads", "2", "-stream_loop", str(repeats - 1), "-i", str(file),
                "-an", "-fps_mode", "passthrough", "-vf", scale, "-f", "null", "-"]).stderr
    user, system, real = re.findall(r"utime=([\d.]+)s stime=([\d.]+)s rtime=([\d.]+)s", said)[-1]
    return int(re.findall(r"frame=\s*(\d+)", said)[-1]), float(real), float(user) + float(system)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--clips", default="../shared/clips")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--short-side", type=int, default=128)
    parser.add_argument("--crop", type=int, default=112)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {f.name[:34]: f for f in sorted(pathlib.Path(args.clips).rglob("*"))
                 if f.is_file() and f.suffix != ".md"}
        for name, source in GENERATED.items():
            files[name] = pathlib.Path(folder) / (name.replace(" ", "_") + ".mp4")
            run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "medium", "-crf",
                 "23", "-pix_fmt", "yuv420p", str(files[name])])
        print(run(["ffmpeg", "-version"]).stdout.splitlines()[0])
        sides = ["kinema", *FLAGS]
        print(f"{'':36}{'frames a second':>27}{'':8}{'frames a processor second':>29}")
        print(f"{'':36}" + 2 * ("".join(f"{side:>9}" for side in sides) + f"{'ratio':>8}"))
        total = {side: [0.0, 0.0] for side in sides}
        for name, file in files.items():
            times = {side: [] for side in sides}
            for _ in range(args.rounds):
                times["kinema"].append(kinema(args.program, file, args.repeats, args.short_side, args.crop,
                                              f"{folder}/index"))
                for side, flags in FLAGS.items():
                    times[side].append(ffmpeg(file, args.repeats, args.short_side, flags))
            # Seconds and processor seconds a frame.
            cost = {side: [statistics.median(t[i] / t[0] for t in times[side]) for i in (1, 2)] for side in sides}
            for side in sides:
                total[side] = [total[side][i] + cost[side][i] for i in (0, 1)]
            print(f"{name:36}" + row(cost), flush=True)
        count = len(files)
        print(f"{'all files, a frame of each':36}" +
              row({side: [c / count for c in total[side]] for side in sides}))


def row(cost):
    """The columns of one line from {side: (seconds a frame, processor seconds a frame)}."""
    return "".join("".join(f"{1 / cost[side][i]:9.0f}" for side in cost) +
                   f"{cost['equal'][i] / cost['kinema'][i]:8.2f}" for i in (0, 1))


if __name__ == "__main__":
    main()
