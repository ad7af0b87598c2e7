#!/usr/bin/env python3
# labels: slow
"""report.html of a short run in headless Chromium, and what else a run leaves to look at."""
import csv
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from support import browser
from support.picture import colours, pixels

PROGRAM = os.path.abspath(os.environ["KINEMA_PROGRAM"])
ODD = "<b>&\"'<script>alert(1)</script>"  # a class name that a careless page would run


def kinema(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


class Run(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.scratch.name)
        cls.data = cls.root / "motion"
        code, _, error = kinema("generate", "motion", "--out", cls.data, "--clips", 3, "--frames", 6, "--size", 32)
        assert code == 0, error
        (cls.data / "up").rename(cls.data / ODD.replace("/", "\u2215"))
        cls.folder = cls.root / "run"
        code, _, error = kinema("train", "--data", cls.data, "--model", "slow_fusion", "--run", cls.folder, "--frames",
                                6, "--size", 32, "--widths", "4,6", "--epochs", 5, "--batch", 8, "--clip-norm", 1,
                                "--quiet")
        assert code == 0, error

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    # The page in a browser.

    def look(self, width, dark=False):
        with browser.Browser() as chromium:
            page = chromium.open((self.folder / "report.html").as_uri(), width, dark=dark)
            self.assertEqual(page.value("document.title"), "slow_fusion: finished")
            self.pictures_move(page)
            self.assertEqual(page.value("document.documentElement.scrollWidth"), width, "the page overflows")
            self.curves_are_there(page)
            self.hover_shows_values(page)
            self.assertEqual(page.complaints(), [])
            self.assertEqual(page.requests(), [(self.folder / "report.html").as_uri()])

    def pictures_move(self, page):
        images = page.value("""Promise.all([...document.images].map(i => i.decode().then(
            () => [i.complete, i.naturalWidth, i.naturalHeight, i.alt, i.getBoundingClientRect().width])))""")
        self.assertGreaterEqual(len(images), 13)  # 12 worst, at least one right
        for complete, width, height, alt, shown in images:
            self.assertEqual((complete, width, height), (True, 96, 96))
            self.assertTrue(alt.startswith("frames of "))
            self.assertGreater(shown, 90)
        self.assertEqual(page.value("document.querySelectorAll('.gone').length"), 0)

    def curves_are_there(self, page):
        points = page.value("""[...document.querySelectorAll('.chart')].map(c => [
            c.querySelector('figcaption').firstChild.textContent,
            [...c.querySelectorAll('polyline')].map(l => l.points.length)])""")
        steps = 25
        self.assertEqual(points, [
            ["Loss", [5, 5]], ["Accuracy", [5, 5, 5]], ["Loss of each step", [steps]], ["Learning rate", [steps]],
            ["Gradient norm", [steps]], ["Clips a second", [steps]], ["Data wait of a step", [steps]],
            ["Memory", [steps]]])
        place = """(s => { const r = s.getBoundingClientRect();
            return [r.left + scrollX, r.top + scrollY, Math.min(r.width, innerWidth - r.left), r.height] })"""
        area = page.value(place + "(document.getElementById('curves'))")
        shot = pixels(page.screenshot(area))
        boxes = page.value("[...document.querySelectorAll('.chart svg')].map" + place)
        line = page.value("""(() => { const c = getComputedStyle(document.querySelector('polyline.c1')).stroke;
            return c.match(/\\d+/g).slice(0, 3).map(Number) })()""")
        for (name, _), (x, y, width, height) in zip(points, boxes):
            found = colours(shot, (x - area[0], y - area[1], width, height))
            self.assertGreater(len(found), 20, name)  # smooth edges of lines and letters
            near = sum(n for c, n in found.items() if max(abs(a - b) for a, b in zip(c, line)) < 40)
            self.assertGreater(near, 60, f"no line of {name} is seen")
        area = page.value(place + "(document.getElementById('confusion'))")
        shot = pixels(page.screenshot(area))
        self.assertGreater(len(colours(shot, (0, 0, shot[0], shot[1]))), 20, "no confusion matrix is seen")

    def hover_shows_values(self, page):
        """Each point of a curve tells the number that stands in metrics.csv."""
        with open(self.folder / "metrics.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        page.value("document.querySelector('.chart svg').scrollIntoView({block: 'center'})")
        where = page.value("""(() => { const s = document.querySelector('.chart svg');
            const p = s.querySelector('polyline').points, m = s.getScreenCTM();
            return [...p].map(q => { const t = q.matrixTransform(m); return [t.x, t.y] }) })()""")
        for (x, y), row in zip(where, rows):
            page.point_at(x, y)
            first, training, validation = page.value("document.getElementById('tip').textContent").split("\n")
            self.assertEqual(first, "epoch " + row["epoch"])
            for text, name, column in ((training, "training", "train_loss"), (validation, "validation", "val_loss")):
                self.assertEqual(text.rsplit(None, 1)[0], name)
                # Shown with 4 digits; the drawing has 170 units, in hundredths, for a range below 2.
                self.assertAlmostEqual(float(text.split()[-1]), float(row[column]), delta=5e-4 + 1.2e-4)
        page.point_at(0, 0)

    @unittest.skipUnless(browser.find(), "Chromium is not installed")
    def test_the_page_at_1280_and_375_pixels(self):
        for width, dark in ((1280, False), (1280, True), (375, False)):
            with self.subTest(width=width, dark=dark):
                self.look(width, dark)

    @unittest.skipUnless(browser.find(), "Chromium is not installed")
    def test_the_matrix_tells_its_counts_and_tables_sort(self):
        with open(self.folder / "evaluation.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        with browser.Browser() as chromium:
            page = chromium.open((self.folder / "report.html").as_uri(), 1280)
            page.value("document.getElementById('confusion').scrollIntoView({block: 'center'})")
            name = rows[0]["label"], rows[0]["predicted"]
            x, y = page.value("""(([label, predicted]) => {
                const map = document.getElementById('confusion'), side = Number(map.dataset.cell);
                const all = JSON.parse(document.getElementById('confusion-data').textContent).classes;
                const p = new DOMPoint((all.indexOf(predicted) + 0.5) * side, (all.indexOf(label) + 0.5) * side)
                    .matrixTransform(map.getScreenCTM());
                return [p.x, p.y] })""" + f"({json.dumps(name)})")
            page.point_at(x, y)
            count = sum((r["label"], r["predicted"]) == name for r in rows)
            self.assertEqual(page.value("document.getElementById('tip').textContent"),
                             f"{count} of 3 videos of {name[0]} taken for {name[1]}")
            sort = """(() => { const t = document.querySelector('table.sortable');
                t.tHead.rows[0].cells[3].click();
                return [...t.tBodies[0].rows].map(r => parseFloat(r.cells[3].textContent)) })()"""
            shares = page.value(sort)
            self.assertEqual((shares, len(shares)), (sorted(shares), 12))
            self.assertEqual(page.value(sort), sorted(shares, reverse=True))
            self.assertEqual(page.complaints(), [])

    # Without a browser.

    def test_names_are_text(self):
        page = (self.folder / "report.html").read_text()
        self.assertNotIn("<script>alert", page)
        self.assertIn("&lt;b&gt;&amp;&quot;&#39;&lt;script&gt;", page)
        for outside in ("http:", "https:", "src=\"/", "@import", "url("):
            self.assertNotIn(outside, page.replace("http://www.w3.org/2000/svg", ""))

    def test_the_page_can_be_made_again(self):
        before = (self.folder / "report.html").read_text()
        code, out, error = kinema("report", self.folder)
        self.assertEqual((code, out, error), (0, f"{self.folder / 'report.html'}\n", ""))
        self.assertEqual((self.folder / "report.html").read_text(), before)
        code, _, error = kinema("report", self.data)
        self.assertEqual((code, error), (1, f"kinema: report: \"{self.data}\" holds no config.json; it is no run "
                                            "folder\n"))

    def test_scores_of_each_video(self):
        file = self.root / "scores.csv"
        code, out, error = kinema("eval", "--run", self.folder, "--data", self.data, "--csv", file, "--json")
        self.assertEqual(code, 0, error)
        told = json.loads(out)
        with open(file, newline="") as text:
            rows = list(csv.DictReader(text))
        self.assertEqual(len(rows), 36)
        self.assertEqual(list(rows[0])[7:], told["classes"])
        for row in rows:
            p = {c: float(row[c]) for c in told["classes"]}
            self.assertAlmostEqual(sum(p.values()), 1, delta=1e-6)
            best = max(p, key=p.get)
            self.assertEqual(row["predicted"], best)
            self.assertEqual(float(row["probability"]), p[best])
            self.assertEqual(int(row["correct"]), int(row["label"] == best))
            self.assertEqual(int(row["rank"]), 1 + sum(v > p[row["label"]] for v in p.values()))
            self.assertEqual(pathlib.Path(row["path"]).parent.name, row["label"])
        self.assertAlmostEqual(sum(int(r["correct"]) for r in rows) / 36, told["top1"], delta=1e-12)
        self.assertAlmostEqual(sum(int(r["rank"]) <= 5 for r in rows) / 36, told["top5"], delta=1e-12)
        self.assertAlmostEqual(sum(float(r["loss"]) for r in rows) / 36, told["loss"], delta=1e-6)

    def test_filters_move(self):
        out = self.root / "pictures"
        code, said, error = kinema("visualize", "filters", "--run", self.folder, "--out", out)
        self.assertEqual((code, said), (0, f"{out / 'filters.gif'}\n{out / 'filters.png'}\n"), error)
        probe = subprocess.run(["ffprobe", "-v", "error", "-count_frames", "-show_entries",
                                "stream=nb_read_frames,width,height", "-of", "csv=p=0", out / "filters.gif"],
                               capture_output=True, text=True)
        self.assertEqual(probe.stdout.strip(), "108,108,3")  # 2 x 2 filters of 3 frames
        width, height, _, rows = pixels((out / "filters.png").read_bytes())
        self.assertEqual((width, height), (4 + 3 * 52, 4 + 4 * 52))
        self.assertGreater(len(colours((width, height, 3, rows), (0, 0, width, height))), 30)
        self.assertEqual(kinema("visualize", "filtrs")[::2],
                         (2, "kinema: unknown visualize topic 'filtrs'; did you mean 'filters'?\n"))
        self.assertEqual(kinema("visualize", "filters", "--run", self.folder)[0], 2)

    def train_beside(self, name, *more):
        return subprocess.Popen([PROGRAM, "train", "--data", self.data, "--model", "slow_fusion", "--run",
                                 self.root / name, "--frames", "6", "--size", "32", "--widths", "4,6", "--batch", "8",
                                 "--quiet", *more], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def state(self, name):
        return json.loads((self.root / name / "status.json").read_text())

    def test_the_page_says_how_a_run_ended(self):
        job = self.train_beside("stopped", "--epochs", "1000000")
        page = self.root / "stopped/report.html"
        end = time.monotonic() + 60
        while not page.exists() and time.monotonic() < end:
            time.sleep(0.05)
        self.assertIn("<title>slow_fusion: running</title>", page.read_text())
        job.send_signal(signal.SIGINT)
        job.communicate(timeout=60)
        self.assertEqual((job.returncode, self.state("stopped")["state"]), (130, "interrupted"))
        self.assertIn("<title>slow_fusion: interrupted</title>", page.read_text())
        job = self.train_beside("diverged", "--epochs", "60", "--lr", "1e9", "--warmup", "0", "--checkpoint-every", "1")
        _, error = job.communicate(timeout=120)
        self.assertEqual((job.returncode, self.state("diverged")["state"]), (1, "failed"))
        self.assertIn(self.state("diverged")["reason"], error)
        self.assertIn("<title>slow_fusion: failed</title>", (self.root / "diverged/report.html").read_text())

    def test_what_cannot_be_written_is_one_warning(self):
        folder = self.root / "blocked"
        job = self.train_beside("blocked", "--epochs", "400")
        end = time.monotonic() + 60
        while not (folder / "report.html").exists() and time.monotonic() < end:
            time.sleep(0.02)
        (folder / "report.html").unlink()
        (folder / "report.html").mkdir()
        (folder / "report.html/x").touch()
        time.sleep(1)
        job.send_signal(signal.SIGINT)
        _, error = job.communicate(timeout=60)
        self.assertEqual(job.returncode, 130, error)
        self.assertEqual(error.count("warning"), 1, error)
        self.assertIn("report.html", error)


if __name__ == "__main__":
    unittest.main()
