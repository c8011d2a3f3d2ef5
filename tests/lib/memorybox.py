"""A memory cgroup with a limit, in which workers run with all their tasks: they see a machine of that size.

Made below the cgroup that the tests are in, where the rights are there: in version 1's memory hierarchy as root; in
version 2 where the memory controller is handed down or can be. Redis and the tests themselves stay outside.
"""
import os
import signal
from pathlib import Path

from harness import Worker, wait_until

MIB = 1 << 20


class NoRights(Exception):
    pass


def own_groups():
    """{controllers, "" for version 2: path} of this process."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}


def mounted(kind, option=None):
    """(mount point, its root in the hierarchy) of the first mount of a kind of file system; None when there is none."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, after = line.split(" - ", 1)
        fields, (found, _, options) = before.split(), after.split(" ", 2)
        if found == kind and (option is None or option in options.split(",")):
            return Path(fields[4]), fields[3]
    return None


def directory(mount, path):
    """Where a cgroup is seen; the top of the mount when it lies outside of what that shows."""
    point, root = mount
    inside = os.path.relpath(path, root)
    return point if inside.startswith("..") else point / inside


def version_1():
    mount = mounted("cgroup", "memory")
    own = [path for controllers, path in own_groups().items() if "memory" in controllers.split(",")]
    return [directory(mount, own[0])] if mount and own else []


def version_2():
    """Our own group, and that above it, which may hand the controller down."""
    mount = mounted("cgroup2")
    if not mount or "" not in own_groups():
        return []
    own = directory(mount, own_groups()[""])
    return [own, own.parent] if own != mount[0] else [own]


def read_number(path):
    text = path.read_text().strip()
    return None if text == "max" else int(text)


def read_counts(path):
    return {word: int(number) for word, number in (line.split() for line in path.read_text().splitlines())}


class MemoryBox:
    """limit in MiB. Raises NoRights, with what was tried, where no such group can be made."""

    FILES = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control"),
             2: ("memory.max", "memory.current", "memory.events")}

    def __init__(self, limit, name):
        tried = []
        for version, parents in ((1, version_1()), (2, version_2())):
            for parent in parents:
                try:
                    self._make(version, parent / name, limit)
                    return
                except OSError as error:
                    tried.append(f"version {version} in {parent}: {error.strerror}")
        raise NoRights("; ".join(tried) or "no memory cgroups are mounted")

    def _make(self, version, path, limit):
        self.version, self.path, self.limit = version, path, limit * MIB
        if version == 2 and "memory" not in (path.parent / "cgroup.subtree_control").read_text().split():
            (path.parent / "cgroup.subtree_control").write_text("+memory")
        path.mkdir()
        limit_file, self.usage_file, self.events_file = (path / name for name in self.FILES[version])
        try:
            limit_file.write_text(str(self.limit))
            swap = path / "memory.swap.max"
            if swap.exists():
                swap.write_text("0")
        except OSError:
            path.rmdir()
            raise

    @property
    def used(self):
        """Bytes charged, page cache included."""
        return read_number(self.usage_file)

    @property
    def oom_kills(self):
        return read_counts(self.events_file)["oom_kill"]

    def groups(self):
        """This group and those made in it, the innermost first."""
        return [Path(top) for top, _, _ in os.walk(self.path, topdown=False)]

    def pids(self):
        found = set()
        for group in self.groups():
            try:
                found |= {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
            except OSError:
                pass  # it went meanwhile
        return found

    def enter(self, line):
        """The words of a command that runs in the box."""
        return ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self.path / "cgroup.procs"), *line]

    def _end_all(self):
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            try:
                os.waitpid(pid, os.WNOHANG)  # an orphan became ours
            except ChildProcessError:
                pass
        return not self.pids()

    def _remove_all(self):
        for group in self.groups():
            try:
                group.rmdir()
            except OSError:
                return False
        return True

    def close(self):
        wait_until(self._end_all, 30, what=f"nothing is left in {self.path}")
        wait_until(self._remove_all, 30, what=f"{self.path} is removed")


class BoxedWorker(Worker):
    """A worker in a MemoryBox (None: outside of any); `before` are words put before its line."""

    def __init__(self, memory_box, *words, before=(), **settings):
        self.memory_box, self.before = memory_box, list(before)
        super().__init__(*words, **settings)

    def start(self):
        line = self.line
        self.line = self.before + line
        if self.memory_box:
            self.line = self.memory_box.enter(self.line)
        try:
            return super().start()
        finally:
            self.line = line
