"""One scenario's world: its folder, what was started in it (ended in reverse order), and the gate for what the sanitizers said."""
import glob
import os
import shutil
import tempfile

from .process import Failure, Process


class World:
    def __init__(self, binary, source, addresses):
        self.binary = binary
        self.source = source
        self.addresses = addresses           # in a network namespace of our own
        self.root = tempfile.mkdtemp(prefix="postern-e2e-")
        os.chmod(self.root, 0o755)           # Postfix, rbldnsd read in it under other users
        self.clean_up = []

    def folder(self, name):
        path, n = os.path.join(self.root, name), 1
        while os.path.exists(path):
            n += 1
            path = os.path.join(self.root, f"{name}{n}")
        os.mkdir(path, 0o755)
        return path

    def start(self, name, command, log, env=None):
        process = Process(name, command, log, env)
        self.clean_up.append(process)
        return process

    def keep(self, part):
        """Something with stop() that ends with the world."""
        self.clean_up.append(part)
        return part

    def sanitizers(self):
        log = os.path.join(self.root, "sanitizer")
        return {"ASAN_OPTIONS": f"detect_leaks=1:log_path={log}:abort_on_error=0:detect_stack_use_after_return=1",
                "UBSAN_OPTIONS": f"print_stacktrace=1:halt_on_error=1:log_path={log}"}

    def close(self, keep):
        """Ends everything; then nothing of the sanitizers may be there. The world's folder goes unless it is kept. What was wrong, in words."""
        wrong = []
        for part in reversed(self.clean_up):
            try:
                part.stop()
            except Failure as failure:
                wrong.append(str(failure))
        reports = sorted(glob.glob(f"{self.root}/sanitizer.*"), key=os.path.getmtime)
        if reports:
            with open(reports[0], encoding="utf-8", errors="replace") as f:
                wrong.append(f"the sanitizers found something in {len(reports)} processes, first:\n{f.read()[:6000]}")
        if not keep:
            shutil.rmtree(self.root, ignore_errors=True)
        return wrong
