"""Bad inputs for the table of refusals: each makes what stands at `path` from what all rows share in `root`: motion (12
classes), two (left and right of it, 2 clips each), run (a network trained on them)."""
import fcntl
import os
import re
import shutil
import subprocess

from support.checkpoint_file import CheckpointFile


def video(root, path):
    shutil.copy(root / "two/left/00000.mp4", path)


def video_cut(root, path):
    path.write_bytes((root / "two/left/00000.mp4").read_bytes()[:500])


def odd_class(root, path):
    """A class folder whose name is Latin-1."""
    (path / os.fsdecode(b"l\xe9ft")).mkdir(parents=True)


def only_sound(root, path):
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=0.2", path], check=True)


def pictures(root, path):
    """A folder of frames that are not all of one size."""
    path.mkdir()
    for name, size in (("1.png", "32x32"), ("2.png", "48x32")):
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"color=s={size}", "-frames:v", "1", path / name],
                       check=True)


def run(root, path):
    shutil.copytree(root / "run", path, symlinks=True)


def run_in_use(root, path):
    """A run folder that this process holds, as another run would."""
    run(root, path)
    held = os.open(path / ".lock", os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    os.truncate(held, os.pwrite(held, str(os.getpid()).encode(), 0))


def weights(edit=None, cut=None):
    """The shared run's weights after edit(checkpoint), up to byte `cut`."""
    def make(root, path):
        file = CheckpointFile(root / "run/best.safetensors")
        if edit:
            edit(file)
        path.write_bytes(file.bytes()[:cut])
    return make


def flipped(root, path):
    raw = bytearray((root / "run/best.safetensors").read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


def link_to(target):
    return lambda root, path: path.symlink_to(target)


def contents(root):
    """All files below `root`, the lock of a run folder aside: it is held as long as a process looks at the run."""
    return {p: p.readlink() if p.is_symlink() else p.read_bytes() if p.is_file() else None
            for p in sorted(root.rglob("*")) if p.name != ".lock"}


def pattern_of(text):
    """<N> stands for a whole number that depends on the machine or on FFmpeg, <S> for a word."""
    return re.escape(text).replace("<N>", r"\d+").replace("<S>", r"[\w.]+")
