"""`percept serve`, started for a test."""

import json
import os
import subprocess
import tempfile
import urllib.request


class Server:
    """The program, until the end of the block."""

    def __init__(self, percept, *arguments, listen="127.0.0.1:0", **environment):
        command = [percept, "--json", "serve", "--listen", listen, *arguments]
        self.lines = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.lines, text=True,
                                        env={**os.environ, **environment})

    def __enter__(self):
        line = self.process.stdout.readline()
        assert line, self.logged()
        self.address = json.loads(line)["address"]
        self.url = f"http://{self.address}"
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=60)
            assert self.process.returncode == 0, self.logged()
        self.log = self.logged()

    def logged(self):
        self.lines.seek(0)
        return self.lines.read()

    def kill(self):
        """Without a chance to end anything."""
        self.process.kill()
        self.process.wait()

    def ask(self, path, body=None, method=None):
        """What a request is answered, as JSON or lines of text."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request) as answer:
            text = answer.read().decode()
        return text.splitlines() if path == "/metrics" else json.loads(text)
