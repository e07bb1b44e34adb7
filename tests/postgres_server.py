"""A real PostgreSQL server of Debian's packages, on loopback, in a folder of its own, ended by its process id."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PASSWORD = "a-pass:word@with/signs"


def binaries() -> Path | None:
    """The folder with initdb and postgres, None where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return Path(there).parent if there else None


class Server:
    """Started by `start`; `stop` ends it at once, as a power failure would, and `start` brings it back."""

    def __init__(self) -> None:
        self.bin = binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="loupe-postgres-"))
        self.user = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to be root
            other = next(u for u in pwd.getpwall() if u.pw_name in ("postgres", "nobody"))
            os.chown(self.folder, other.pw_uid, other.pw_gid)
            self.user = {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run(self.bin / "initdb", "-D", self.folder / "data", "-U", "loupe", "-A", "scram-sha-256",
                  "--pwfile", secret, "-E", "UTF8", "--locale", "C", "--no-sync")  # fmt: skip
        self.process = None

    def _run(self, *command) -> None:
        subprocess.run([str(c) for c in command], check=True, capture_output=True, timeout=120, cwd="/",
                       env={"PATH": "/usr/bin:/bin"}, **self.user)  # fmt: skip

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        from urllib.parse import quote

        return f"postgresql://loupe:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def start(self) -> Server:
        command = [self.bin / "postgres", "-D", self.folder / "data", "-p", self.port, "-c",
                   "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}", "-c",
                   "max_connections=60", "-c", "fsync=off"]  # fmt: skip  # a killed process loses no page either way
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([str(c) for c in command], stdout=log, stderr=log, cwd="/",
                                            env={"PATH": "/usr/bin:/bin"}, **self.user)  # fmt: skip
        until = time.monotonic() + 180
        while not self._answers():
            if time.monotonic() > until or self.process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.05)
        return self

    def _answers(self) -> bool:
        import psycopg

        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url(), connect_timeout=2):
            return True
        return False

    def stop(self) -> None:
        """SIGQUIT: all connections are cut, nothing is finished."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(60)
            self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def sql(self, text: str, database: str = "postgres") -> list[tuple]:
        """What the administrator sees."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            found = connection.execute(text)
            return found.fetchall() if found.description else []
