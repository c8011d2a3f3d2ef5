"""The supervisor's end of worker/wire.h, for one real agent."""
import os
import socket
import struct
import subprocess

from harness import SLOW, program

HELLO, START, KILL, ACK, BYE = 1, 2, 3, 4, 6
WELCOME, TASK, READY, STARTED, EXIT, SIGNAL = 64, 65, 66, 67, 68, 69


class FakeSupervisor:
    """Starts the agent w1 and hears its HELLO. settings: redisWorker's."""

    def __init__(self, box, url, **settings):
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(30 * SLOW)
        self.log_path = box / "w1.log"
        line = [program("redisWorker"), "--redis", url, "--name", "w1", "--state_dir", str(box / "w1")]
        for key, value in settings.items():
            line += [f"--{key}", value]
        (box / "w1/out").mkdir(parents=True, mode=0o700)
        with open(self.log_path, "wb") as log:
            self.agent = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          pass_fds=[theirs.fileno()],
                                          env={**os.environ, "DISTCOMP_AGENT_FD": str(theirs.fileno())})
        theirs.close()
        self.bytes = b""
        self.version, _ = struct.unpack("=II", self.wait(HELLO))

    def frame(self):
        """(kind, payload), or None when the agent has closed."""
        while len(self.bytes) < 8 or len(self.bytes) < 8 + struct.unpack("=II", self.bytes[:8])[1]:
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                continue  # it left something unread; what it said before comes all the same
            if not more:
                return None
            self.bytes += more
        kind, size = struct.unpack("=II", self.bytes[:8])
        payload, self.bytes = self.bytes[8:8 + size], self.bytes[8 + size:]
        return kind, payload

    def wait(self, kind):
        while True:
            frame = self.frame()
            assert frame, "the agent has left"
            if frame[0] == kind:
                return frame[1]

    def rest(self):
        """The kinds of all frames until the agent closes."""
        kinds = []
        while frame := self.frame():
            kinds.append(frame[0])
        return kinds

    def send(self, *frames):
        """Frames (kind, payload), or a kind alone, all at once."""
        frames = [frame if isinstance(frame, tuple) else (frame, b"") for frame in frames]
        self.socket.sendall(b"".join(struct.pack("=II", kind, len(payload)) + payload for kind, payload in frames))

    def welcome(self, version, tasks=()):
        """With tries that the agent before this one started: (slot, start in Unix milliseconds)."""
        self.send((WELCOME, struct.pack("=IIIIIIQQQ", version, os.getpid(), 8, len(tasks), 0, 0, 0x1234, 0, 1 << 30)),
                  *(self.task(*task) for task in tasks), READY)

    def task(self, slot, start_wall_ms):
        """With the note that an agent gives."""
        note = b"\x01" + b"t%013d" % slot + b"%020x" % slot + struct.pack(
            ">HHIQQIB", 1, 0, 0, 2**64 - 1, 1 << 20, 1000, 0)
        return TASK, struct.pack("=IiQII", slot, os.getpid(), start_wall_ms, 1, len(note)) + note

    def signal(self, number):
        self.send((SIGNAL, struct.pack("=iI", number, 0)))
