"""A headless Chromium, driven over the pipe of its debugging protocol (Chrome DevTools Protocol): JSON messages with a NUL
behind each, commands on its descriptor 3, answers and events on 4."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time


class Browser:
    """with Browser(url) as page: page.value("1 + 1")"""

    def __init__(self, url, dark=False, size=(1280, 1200)):
        self.profile = tempfile.mkdtemp(prefix="hf-browser-")
        command_read, self.commands = os.pipe()
        self.answers, answer_write = os.pipe()

        def place():
            # Out of the way of both targets first: one of the ends may have the other's number.
            ends = [os.dup2(os.dup(end), 200 + i) for i, end in enumerate((command_read, answer_write))]
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-extensions", "--hide-scrollbars", f"--user-data-dir={self.profile}",
             f"--window-size={size[0]},{size[1]}", "--remote-debugging-pipe", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=place,
            close_fds=False, start_new_session=True)
        os.close(command_read)
        os.close(answer_write)
        self.serial, self.rest, self.session = 0, b"", None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", features=scheme)
        self.ask("Page.navigate", url=url)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def message(self, timeout=20):
        deadline = time.monotonic() + timeout
        while b"\0" not in self.rest:
            assert select.select([self.answers], [], [], max(0, deadline - time.monotonic()))[0], "Chromium is silent"
            data = os.read(self.answers, 1 << 20)
            assert data, "Chromium has ended"
            self.rest += data
        text, _, self.rest = self.rest.partition(b"\0")
        return json.loads(text)

    def ask(self, method, **parameters):
        self.serial += 1
        message = {"id": self.serial, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.message()
            if answer.get("id") == self.serial:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def value(self, expression):
        """What an expression of JavaScript, or its promise, has for a value in the page."""
        result = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, expression, timeout=20):
        """Waits in the page until an expression is true; returns its value. Looked at with each frame that is due."""
        return self.value("new Promise((done, failed) => { const end = Date.now() + %d; const look = () => {"
                          "let value; try { value = (%s); } catch { value = null; }"
                          "if (value) done(value); else if (Date.now() > end) failed(new Error(%s));"
                          "else setTimeout(look, 20); }; look(); })"
                          % (timeout * 1000 // 1, expression, json.dumps("never: " + expression)))

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)
            self.process.wait()
        os.close(self.commands)
        os.close(self.answers)
        shutil.rmtree(self.profile, ignore_errors=True)
