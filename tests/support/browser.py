"""Headless Chromium, driven through its DevTools protocol over a pipe: nothing but Python's own library."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time


def find():
    """The browser's path, or None."""
    return next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)


class Page:
    """One tab that has opened `url`, `width` x `height` CSS pixels, and what it said meanwhile."""

    def __init__(self, browser, url, width, height=900, dark=False):
        self.browser = browser
        target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(domain + ".enable")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)
        self.send("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        browser.events.clear()
        self.send("Page.navigate", url=url)
        browser.wait(lambda e: e["method"] == "Page.loadEventFired" and e.get("sessionId") == self.session)

    def send(self, method, **parameters):
        return self.browser.send(method, self.session, **parameters)

    def value(self, expression):
        """What a JavaScript expression gives; promises are awaited."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, area=None):
        """The bytes of a PNG of an area of the page, x, y, width, height; of all where it is None."""
        clip = {"clip": dict(zip(("x", "y", "width", "height"), area), scale=1)} if area else {}
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True, format="png", **clip)
        return base64.b64decode(shot["data"])

    def point_at(self, x, y):
        """Moves the pointer there, in CSS pixels of the window."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def complaints(self):
        """Errors, warnings and messages on the console."""
        return [e for e in self.browser.events
                if e["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")]

    def requests(self):
        """The addresses that were asked for; what the page itself holds (data:) left out."""
        urls = [e["params"]["request"]["url"] for e in self.browser.events
                if e["method"] == "Network.requestWillBeSent"]
        return [u for u in urls if not u.startswith("data:")]


class Browser:
    """A browser of its own, with a fresh profile; `with` ends it."""

    def __enter__(self):
        self.events, self.answers, self.count, self.rest = [], {}, 0, b""
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_read, self.writer = os.pipe()
        self.reader, to_write = os.pipe()

        def place():  # the browser reads commands from 3 and answers on 4
            os.dup2(to_read, 13)
            os.dup2(to_write, 14)
            os.dup2(13, 3)
            os.dup2(14, 4)

        # Without a sandbox: as root, and in containers, it cannot make one.
        self.process = subprocess.Popen(
            [find(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
             "--force-color-profile=srgb", "--remote-debugging-pipe", f"--user-data-dir={self.profile.name}"],
            close_fds=False, preexec_fn=place, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        return self

    def __exit__(self, *_):
        try:
            self.send("Browser.close")
        except (AssertionError, OSError):
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.writer)
        os.close(self.reader)
        self.profile.cleanup()

    def open(self, url, width, **how):
        return Page(self, url, width, **how)

    def send(self, method, session=None, **parameters):
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.writer, json.dumps(message).encode() + b"\0")
        number = self.count
        self._read_until(lambda: number in self.answers, method)
        answer = self.answers.pop(number)
        assert "error" not in answer, (method, answer["error"])
        return answer.get("result", {})

    def wait(self, wanted):
        self._read_until(lambda: any(map(wanted, self.events)), "an event")

    def _read_until(self, done, what, seconds=60):
        end = time.monotonic() + seconds
        while not done():
            ready, _, _ = select.select([self.reader], [], [], max(0, end - time.monotonic()))
            assert ready, f"the browser did not answer within {seconds} s: {what}"
            piece = os.read(self.reader, 1 << 20)
            assert piece, f"the browser has ended: {what}"
            *messages, self.rest = (self.rest + piece).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self.answers[message["id"]] = message
                else:
                    self.events.append(message)
