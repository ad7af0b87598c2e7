#!/usr/bin/env python3
# labels: slow
"""The page of `kinema compare --html` in headless Chromium: with times, which are made up, and without."""
import os
import pathlib
import subprocess
import tempfile
import unittest

from support import browser
from support.picture import colours, pixels

MAKE = os.path.join(os.path.abspath(os.environ["KINEMA_BUILD"]), "tests", "compare_page")
ROWS, COPIES = 120, 60  # of them those of an operation without products
SHOWN = "[...document.querySelectorAll('#rows tbody tr')].filter(r => !r.hidden)"
MARKS = "[...document.querySelectorAll('.plot .mark')].filter(m => !m.classList.contains('out'))"


@unittest.skipUnless(browser.find(), "no Chromium on this machine")
class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.timed, cls.plain = (pathlib.Path(cls.scratch.name) / name for name in ("timed.html", "plain.html"))
        subprocess.run([MAKE, cls.timed, "measured"], check=True)
        subprocess.run([MAKE, cls.plain], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def look(self, file, width, dark=False):
        """The page, opened: it says nothing, asks for nothing, fits, and its plots are seen."""
        page = self.chromium.open(file.as_uri(), width, dark=dark)
        self.assertEqual(page.value("document.documentElement.scrollWidth"), width, "the page overflows")
        boxes = page.value("""[...document.querySelectorAll('.plot .wide')].map(p => {
            const r = p.getBoundingClientRect(); return [r.left + scrollX, r.top + scrollY, r.width, r.height] })""")
        wanted = page.value("""(() => { const m = [...document.querySelectorAll('.plot .mark')].at(-1);
            return getComputedStyle(m).stroke.match(/\\d+/g).slice(0, 3).map(Number).concat(
                getComputedStyle(m).fill.match(/\\d+/g) || []).map(Number) })()""")
        for box in boxes:
            found = colours(pixels(page.screenshot(box)), (0, 0, box[2], box[3]))
            self.assertGreater(len(found), 30)  # smooth edges of marks and letters
            near = sum(n for c, n in found.items() if max(abs(a - b) for a, b in zip(c, wanted[-3:])) < 40)
            self.assertGreater(near, 5, "no mark is seen")
        return page

    def silent(self, page, file):
        self.assertEqual(page.complaints(), [])
        self.assertEqual(page.requests(), [file.as_uri()])

    def column(self, page, name):
        return page.value(f"""(() => {{ const i = [...document.querySelectorAll('#rows th[scope=col]')]
            .findIndex(h => h.textContent === {name!r}); return {SHOWN}.map(r => r.cells[i].textContent) }})()""")

    def click(self, page, selector):
        page.value(f"document.querySelector({selector!r}).click()")

    def sort(self, page, name):
        page.value(f"""[...document.querySelectorAll('#rows th[scope=col]')]
            .find(h => h.textContent === {name!r}).click()""")

    def test_measured(self):
        with browser.Browser() as self.chromium:
            page = self.look(self.timed, 1400)
            self.assertEqual(page.value("document.getElementById('not-measured')"), None)
            self.assertEqual(page.value(MARKS + ".length"), ROWS * 2 // 3)  # those that have a time
            self.assertEqual(page.value("document.querySelectorAll('.mark.open').length"), 0)
            self.assertEqual(page.value("document.querySelectorAll('.mark.wrong').length"), 1)
            self.assertIn("1 of 120 rows wrong", page.value("document.querySelector('h1').textContent"))
            self.assertIn("<script>", page.value("document.querySelector('#faults').textContent"))
            self.sorts(page)
            self.filters(page)
            self.points(page)
            self.silent(page, self.timed)

    def sorts(self, page):
        self.assertEqual(len(self.column(page, "us")), ROWS)
        self.sort(page, "us")
        for down in (False, True):
            shown = self.column(page, "us")
            numbers = [float(v) for v in shown if v]
            self.assertEqual(len(numbers), ROWS * 2 // 3)
            self.assertEqual(numbers, sorted(numbers, reverse=down))
            self.assertEqual(shown[len(numbers):], [""] * (ROWS // 3))
            self.sort(page, "us")
        self.sort(page, "operation")
        self.assertEqual(self.column(page, "operation"), ["conv3d"] * (ROWS - COPIES) + ["copy"] * COPIES)

    def filters(self, page):
        self.click(page, "fieldset[data-column=backend] input[value=cuda]")
        self.click(page, "fieldset[data-column=dtype] input[value=bf16]")
        self.click(page, "fieldset[data-column=dtype] input[value=f16]")
        self.assertEqual(set(self.column(page, "backend")), {"cuda"})
        self.assertEqual(sorted(self.column(page, "dtype")), ["bf16"] * 10 + ["f16"] * 10)
        self.assertEqual(page.value(MARKS + ".length"), 20)
        self.assertEqual(page.value("document.getElementById('shown').value"), "20 of 120 rows shown")
        page.value("""(s => { s.value = '56,32'; s.dispatchEvent(new Event('input', {bubbles: true})) })(
            document.getElementById('search'))""")
        self.assertEqual(self.column(page, "shape"), ["x=8,16,56,56,32"] * 4)
        self.click(page, "#filters button")
        page.value("new Promise(r => setTimeout(r, 50))")
        self.assertEqual(page.value(SHOWN + ".length"), ROWS)

    def points(self, page):
        """Under the pointer a mark tells its row, and a click leads there."""
        page.value("document.querySelector('.plot').scrollIntoView({block: 'center'})")
        x, y = page.value("""(m => { const r = m.getBoundingClientRect();
            return [r.x + r.width / 2, r.y + r.height / 2] })(document.querySelector('.mark.wrong'))""")
        page.point_at(x, y)
        said = page.value("document.getElementById('tip').textContent")
        self.assertTrue(said.startswith("conv3d.forward f32 cudnn: WRONG\nx=8,16,56,56,16\nerror 0.5   bound 0.001"), said)
        page.value(f"""document.querySelector('.plot svg').dispatchEvent(
            new MouseEvent('click', {{clientX: {x}, clientY: {y}}}))""")
        self.assertEqual(page.value("document.querySelector('tr.chosen').cells[0].textContent"), "WRONG")
        page.value("scrollTo(0, 0)")

    def test_not_measured(self):
        with browser.Browser() as self.chromium:
            page = self.look(self.plain, 420, dark=True)
            self.assertIn("not measured", page.value("document.getElementById('not-measured').textContent"))
            self.assertEqual(page.value(MARKS + ".length"), ROWS - COPIES - 1)
            self.assertEqual(page.value("document.querySelectorAll('.mark:not(.open)[data-row]').length"), 0)
            self.assertEqual(page.value("document.querySelectorAll('.plot').length"), 1)
            heads = page.value("[...document.querySelectorAll('#rows th[scope=col]')].map(h => h.textContent)")
            self.assertNotIn("us", heads)
            self.assertIn("limit us", heads)
            self.silent(page, self.plain)


if __name__ == "__main__":
    unittest.main()
