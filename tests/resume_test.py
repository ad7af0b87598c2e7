#!/usr/bin/env python3
# labels: slow
"""Runs that end before their time, however they end, go on as if nothing had been."""
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from support.checkpoint_file import CheckpointFile, as_format_1, steps

PROGRAM = os.environ["KINEMA_PROGRAM"]
EPOCHS, STEPS = 6, 5  # of an epoch: 33 videos in batches of 8


def start(*arguments, **how):
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    return subprocess.Popen([PROGRAM, "train", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env=environment, **how)


def finish(job):
    """Exit code (-N: killed by signal N), standard output, standard error."""
    out, error = job.communicate(timeout=300)
    return job.returncode, out, error


def train(*arguments, **how):
    return finish(start(*arguments, **how))


def wait_for(job, condition):
    while not condition():
        assert job.poll() is None, job.communicate()
        time.sleep(0.0005)


def lines(run):
    """metrics.csv without its two columns of seconds."""
    return [line.split(",")[:-2] for line in (run / "metrics.csv").read_text().splitlines()]


class Resume(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.scratch.name)
        subprocess.run([PROGRAM, "generate", "motion", "--out", cls.root / "motion", "--clips", "12", "--frames", "6",
                        "--size", "32"], check=True, capture_output=True)
        # Three classes; few held-out videos keep the pages of these many runs small.
        cls.data = cls.root / "data"
        for name in ("left", "right", "up"):
            shutil.copytree(cls.root / "motion" / name, cls.data / name)
        # Dropout and flips: random numbers decide every step.
        cls.options = ["--data", cls.data, "--model", "slow_fusion", "--frames", 6, "--size", 32, "--widths", "4,6",
                       "--epochs", EPOCHS, "--batch", 8, "--dropout", 0.3, "--flip", "--val-fraction", 0.1, "--quiet"]
        cls.each_step = [*cls.options, "--checkpoint-every", 1]
        cls.whole, cls.whole_each_step = cls.root / "whole", cls.root / "whole_each_step"
        for run, options in ((cls.whole, cls.options), (cls.whole_each_step, cls.each_step)):
            code, _, error = train(*options, "--run", run)
            assert code == 0, error
        cls.half = cls.root / "half"
        cls.interrupt(cls.half, cls.each_step)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @classmethod
    def interrupt(cls, run, options, after=7, number=signal.SIGINT):
        """A run that a signal ends between its steps `after` and the last."""
        job = start(*options, "--run", run)
        wait_for(job, lambda: steps(run) and steps(run)[-1].name >= f"step-{after:08}")
        job.send_signal(number)
        code, out, error = finish(job)
        assert code == 128 + number, (code, out, error)

    def copy_of(self, run):
        copy = pathlib.Path(tempfile.mkdtemp(dir=self.root)) / "run"
        shutil.copytree(run, copy, symlinks=True)
        return copy

    def goes_on(self, run, whole, *arguments):
        """Takes the run up; it ends as `whole` did, byte for byte. Returns its standard error."""
        code, _, error = train("--resume", run, *arguments)
        self.assertEqual(code, 0, error)
        self.ends_as(run, whole)
        return error

    def ends_as(self, run, whole):
        for name in ("last.safetensors", "best.safetensors", "config.json"):
            self.assertEqual((run / name).read_bytes(), (whole / name).read_bytes(), f"{run}: {name}")
        self.assertEqual(lines(run), lines(whole))
        self.assertEqual(list(run.glob("*.tmp")), [])
        self.assertEqual([f.name for f in steps(run)], [f.name for f in steps(whole)])

    # A killed run.

    def kill_after(self, run, step, seconds, *arguments):
        """Starts or takes up `run` and kills it `seconds` after step `step`; True if it had ended."""
        job = start("--resume", run) if (run / "config.json").exists() else start(*arguments, "--run", run)
        try:
            while step and job.poll() is None and not any(f.name >= f"step-{step:08}" for f in steps(run)):
                time.sleep(0.0005)
            return job.wait(timeout=seconds) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            job.kill()
            job.communicate()

    def test_killed_at_any_moment(self):
        moments = random.Random(1)
        kills = []
        for trial in range(10):
            run = self.root / f"killed{trial}"
            # Before the first checkpoint, or behind any of the first two thirds of the steps; where it goes on, later.
            step = moments.choice((0, moments.randrange(1, EPOCHS * STEPS * 2 // 3)))
            seconds = moments.uniform(0, 0.02 if step else 0.08)
            kills.append(0)
            while not self.kill_after(run, step, seconds, *self.each_step):
                kills[-1] += 1
                self.assertLess(kills[-1], 50, "the run gets nowhere")
                step, seconds = step + moments.randrange(3 * STEPS), moments.uniform(0, 0.1)
            self.ends_as(run, self.whole_each_step)
        self.assertGreater(min(kills), 0)
        print(f"10 runs killed {kills} times ended as the uninterrupted one")

    def test_killed_while_a_checkpoint_is_written(self):
        hits = 0
        for trial in range(20):
            run = self.root / f"writing{trial}"
            job = start(*self.each_step, "--run", run)
            while job.poll() is None:
                if not list(run.glob("step-*.tmp")):
                    continue
                job.send_signal(signal.SIGSTOP)
                if list(run.glob("step-*.tmp")):  # still: what is killed now is a writer
                    job.kill()
                    break
                job.send_signal(signal.SIGCONT)
            job.communicate()
            if job.returncode == -signal.SIGKILL:
                hits += 1
                self.assertEqual(len(list(run.glob("step-*.tmp"))), 1)
                self.goes_on(run, self.whole_each_step)
            if hits == 3:
                return
        self.fail(f"met the writer {hits} times in 20 runs")

    # A run that is asked to end.

    def test_signals_save_and_tell(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            run = self.root / f"signal{code}"
            self.interrupt(run, self.options, after=STEPS, number=number)
            self.assertGreater(CheckpointFile(run / "last.safetensors").run["progress"]["step_of_epoch"], 0)
            self.goes_on(run, self.whole)

    def test_interrupted_in_an_evaluation(self):
        # One step an epoch and 150 views a video: most of the time is evaluation.
        options = [*self.options, "--batch", 33, "--epochs", 3, "--eval-clips", 50, "--eval-crops", 3]
        whole, run = self.root / "whole_views", self.root / "views"
        self.assertEqual(train(*options, "--run", whole)[0], 0)
        self.interrupt(run, options, after=1)
        progress = CheckpointFile(run / "last.safetensors").run["progress"]
        self.assertEqual((progress["epoch"] + 1, progress["step_of_epoch"]), (progress["step"], 1))
        self.goes_on(run, whole)

    def test_a_second_signal_ends_at_once(self):
        run = self.root / "large"
        # A step of some seconds at least: 33 clips x 16 x 112 x 112 through 64 and 128 channels.
        job = start("--data", self.data, "--model", "slow_fusion", "--frames", 16, "--size", 112, "--widths", "64,128",
                    "--batch", 33, "--run", run, "--memory-cap-mb", 4096)
        wait_for(job, lambda: (run / "config.json").exists())
        job.send_signal(signal.SIGINT)
        time.sleep(0.2)
        job.send_signal(signal.SIGINT)
        self.assertEqual(finish(job)[0], -signal.SIGINT)
        self.assertEqual(steps(run), [])

    # The same, and what is not.

    def test_one_seed_gives_the_same_bytes(self):
        run = self.root / "again"
        self.assertEqual(train(*self.options, "--run", run)[0], 0)
        self.ends_as(run, self.whole)

    def test_other_threads_are_said(self):
        error = self.goes_on(self.copy_of(self.half), self.whole_each_step)
        self.assertNotIn("warning", error)
        code, _, error = train("--resume", self.copy_of(self.half), "--threads", 2)
        self.assertEqual(code, 0, error)
        self.assertIn("train: warning: threads 1 until here, now 2: results may differ in the last bits from those of "
                      "an uninterrupted run\n", error)

    def test_a_finished_run_says_so(self):
        run = self.copy_of(self.whole)
        code, out, error = train("--resume", run)
        self.assertEqual((code, error), (0, ""))
        self.assertIn(f"nothing left to do: the run in {run} has its {EPOCHS} epochs, {EPOCHS * STEPS} steps", out)
        self.ends_as(run, self.whole)

    def test_videos_may_move_but_not_change(self):
        moved = self.root / "moved"
        shutil.copytree(self.data, moved)
        run = self.copy_of(self.half)
        code, _, error = train("--resume", run, "--data", moved)
        self.assertEqual(code, 0, error)
        self.assertEqual(*(CheckpointFile(r / "last.safetensors").data for r in (run, self.whole_each_step)))
        next((moved / "left").glob("*.mp4")).unlink()
        before = sorted(os.listdir(self.half))
        code, _, error = train("--resume", self.half, "--data", moved)
        self.assertEqual((code, error), (
            1, "kinema: resume: the evaluation videos are not those that the run began with (3 then, 3 now; or other "
               "names or classes); bring these back, or start a new run from its weights with --weights\n"))
        self.assertEqual(sorted(os.listdir(self.half)), before)

    def refused(self, code, sentence, *arguments):
        found, out, error = train(*arguments)
        self.assertEqual((found, error, out), (code, f"kinema: {sentence}\n", ""))

    def test_options_that_change_results_are_refused(self):
        self.refused(2, "--resume goes on with the options of the run; leave out --epochs, --lr, or start a new run "
                        "from its weights with --weights", "--resume", self.half, "--lr", 1, "--epochs", 9, "--quiet")
        self.goes_on(self.copy_of(self.half), self.whole_each_step, "--quiet")

    def test_no_run_folder(self):
        none = self.root / "none"
        self.refused(1, f"resume: no such run folder: \"{none}\"", "--resume", none)
        self.refused(1, f"resume: \"{self.data}\" holds no config.json; it is no run folder", "--resume", self.data)

    # Damage.

    def test_a_damaged_checkpoint_falls_back(self):
        rng = random.Random(2)
        size = steps(self.half)[-1].stat().st_size
        # The header, the last byte, anywhere; then cuts. checkpoint_test tries every bit.
        flips = [20, size - 1, rng.randrange(size), rng.randrange(size)]
        for at, cut in [(f, None) for f in flips] + [(None, c) for c in (0, rng.randrange(size))]:
            run = self.copy_of(self.half)
            newest = steps(run)[-1]
            raw = bytearray(newest.read_bytes())
            if cut is None:
                raw[at] ^= 1 << rng.randrange(8)
            newest.write_bytes(raw[:cut])
            error = self.goes_on(run, self.whole_each_step)
            found = [line for line in error.splitlines() if "warning" in line]
            self.assertEqual(len(found), 1, error)
            self.assertIn(f"safetensors: \"{newest}\": ", found[0])
            self.assertTrue(found[0].endswith(f"; it is {newest.name}.damaged now, and the run goes on from the one "
                                              "before"), found[0])
            self.assertTrue((run / f"{newest.name}.damaged").exists())

    def test_nothing_but_damaged_checkpoints(self):
        run = self.copy_of(self.half)
        for file in steps(run):
            file.write_bytes(b"")
        code, out, error = train("--resume", run)
        self.assertEqual((code, out, error.count("\n")), (1, "", 1), error)
        self.assertTrue(error.startswith(f"kinema: resume: none of the 2 checkpoints in \"{run}\" can be read; the "
                                         f"newest: safetensors: \"{run / steps(self.half)[-1].name}\": is truncated"),
                        error)
        self.assertEqual(len(steps(run)), 2)

    def test_other_formats_are_refused_by_name(self):
        for number in ("0", "99"):
            run = self.copy_of(self.half)
            file = CheckpointFile(steps(run)[-1])
            file.metadata["format"] = number
            steps(run)[-1].write_bytes(file.bytes())
            self.refused(1, f"checkpoint: \"{steps(run)[-1]}\" has format {number}; this program reads formats 1 to 2",
                         "--resume", run)
            self.assertEqual(len(steps(run)), 2)

    def test_format_1_is_migrated(self):
        run = self.copy_of(self.whole)
        as_format_1(run)
        code, out, error = train("--resume", run)
        self.assertEqual(code, 0, error)
        self.assertIn("nothing left to do", out)
        run = self.copy_of(self.half)
        progress = as_format_1(run)
        code, _, error = train("--resume", run)
        self.assertEqual(code, 0, error)
        self.assertIn("train: warning: the checkpoint has format 1, which does not say which videos it was trained on, "
                      "nor the sums of the epoch that has begun: its training loss and top-1 will be those of its "
                      "remaining steps\n", error)
        self.assertEqual(*(CheckpointFile(r / "last.safetensors").data for r in (run, self.whole)))
        found, wanted = lines(run), lines(self.whole)
        del found[progress["epoch"] + 1], wanted[progress["epoch"] + 1]
        self.assertEqual(found, wanted)

    def test_a_lost_table_is_said(self):
        run = self.copy_of(self.half)
        (run / "metrics.csv").unlink()
        code, _, error = train("--resume", run)
        self.assertEqual(code, 0, error)
        epochs = CheckpointFile(steps(self.half)[-1]).run["progress"]["epoch"]
        self.assertIn(f"train: warning: metrics.csv holds 0 of the {epochs} epochs that are done\n", error)

    # Others, and the disk.

    def test_two_processes_in_one_folder(self):
        run = self.root / "shared"
        job = start(*self.each_step, "--run", run)
        wait_for(job, lambda: steps(run))
        job.send_signal(signal.SIGSTOP)
        self.refused(1, f"run: process {job.pid} is at work in \"{run}\"; wait for its end, or stop it", "--resume", run)
        self.refused(1, f"run: \"{run}\" is not empty; name another folder with --run, or go on with --resume",
                     *self.options, "--run", run)
        job.kill()
        job.communicate()
        self.goes_on(run, self.whole_each_step)

    def test_a_file_that_may_not_grow(self):
        # The limit lies above metrics.csv and below a checkpoint.
        run = self.copy_of(self.half)
        limit = 4096
        self.assertLess(limit, steps(run)[0].stat().st_size)
        before = {f.name: f.read_bytes() for f in steps(run)}
        code, out, error = train("--resume", run, preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)))
        last = error.splitlines()[-1]
        self.assertEqual((code, out), (1, ""), error)
        self.assertRegex(last, r"^kinema: run: a checkpoint could not be written \(write: could not write .*: File too "
                               r"large\); the checkpoints before it stand: once that is mended, go on with --resume ")
        self.assertEqual(before, {f.name: f.read_bytes() for f in steps(run)})
        self.assertEqual(list(run.glob("*.tmp")), [])
        self.goes_on(run, self.whole_each_step)

    def test_a_disk_that_fills(self):
        disk = self.root / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True)
        if mounted.returncode:
            self.skipTest("only root may mount a small disk")
        try:
            for room in (0, 24576):
                run = disk / "run"
                shutil.copytree(self.half, run, symlinks=True)
                filler = disk / "filler"
                free = os.statvfs(disk)
                filler.write_bytes(bytes(max(0, free.f_bavail * free.f_bsize - room)))
                before = {f.name: f.read_bytes() for f in steps(run)}
                code, out, error = train("--resume", run)
                if not room:
                    last = error.splitlines()[-1]
                    self.assertEqual((code, out), (1, ""), error)
                    self.assertIn("No space left on device", last)
                    self.assertTrue(last.endswith(f"go on with --resume {run}"), last)
                    self.assertEqual(before, {f.name: f.read_bytes() for f in steps(run)})
                filler.unlink()
                self.goes_on(run, self.whole_each_step)
                shutil.rmtree(run)
        finally:
            subprocess.run(["umount", disk], check=True)

    def test_a_folder_that_cannot_be_written(self):
        self.refused_folder("/proc/kinema-run", "run: cannot create \"/proc/kinema-run\": No such file or directory")
        locked = self.root / "locked"
        locked.mkdir()
        if os.geteuid():
            locked.chmod(0o555)
        elif subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", locked], capture_output=True).returncode:
            self.skipTest("root writes everywhere, and cannot mount")
        reason = "Permission denied" if os.geteuid() else "Read-only file system"
        try:
            self.refused_folder(locked, f"run: cannot write to the folder \"{locked}\": {reason}")
        finally:
            if not os.geteuid():
                subprocess.run(["umount", locked], check=True)

    def refused_folder(self, run, sentence):
        self.refused(1, sentence, *self.options, "--run", run)


if __name__ == "__main__":
    unittest.main()
