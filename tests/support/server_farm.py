"""A process that starts and closes servers on demand: a line of JSON asks, one answers.

Starting Python for each of many servers would take most of a test suite's time.
"""

import json
import subprocess
import sys
import traceback


class Farm:
    """The process, as tests see it. A context manager."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer

    def start(self, address, folder, **settings):
        """Starts a server; gives its connection string."""
        return self.ask(do="start", address=address, folder=str(folder), **settings)["uri"]

    def close_all(self):
        self.ask(do="close")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.wait(timeout=60)


def serve():
    from parsl_tl.store.serving import ServerSettings, StoreServer

    servers = []
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if question.pop("do") == "start":
                servers.append(StoreServer(ServerSettings(**question)))
                answer = {"uri": str(servers[-1].connection)}
            else:
                while servers:
                    servers.pop().close()
                answer = {}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)
    while servers:
        servers.pop().close()


if __name__ == "__main__":
    serve()
