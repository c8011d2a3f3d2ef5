"""A TCP proxy of one door a worker, in a process of its own, that can cut, freeze and delay each.

    proxy = Proxy(doors=4, port=6379);  proxy.ports[0];  proxy.set(0, "freeze")

open    what comes is passed on
cut     connections are reset, and new ones too
freeze  nothing passes, in neither direction, and nobody is told: a cable that was pulled
delay   each piece is passed on a fixed time later
"""
import heapq
import itertools
import json
import os
import selectors
import signal
import socket
import struct
import time

PIECE, MOST_WAITING = 1 << 16, 1 << 22


class Side:
    def __init__(self, sock, door):
        self.sock, self.door, self.other = sock, door, None
        self.out, self.done = bytearray(), False
        self.coming = 0  # pieces for this side that are still delayed
        self.due = 0.0   # when the last of them is passed on: none may overtake it


class Doorman:
    """The loop of the proxy's process."""

    def __init__(self, listeners, control, port):
        self.selector = selectors.DefaultSelector()
        self.modes = [("open", 0.0)] * len(listeners)
        self.sides, self.later, self.order = set(), [], itertools.count()
        self.port = port
        for door, listener in enumerate(listeners):
            listener.setblocking(False)
            self.selector.register(listener, selectors.EVENT_READ, ("listen", door))
        self.control, self.text = control, b""
        self.selector.register(control, selectors.EVENT_READ, ("control", None))

    def loop(self):
        while True:
            timeout = max(0.0, self.later[0][0] - time.monotonic()) if self.later else None
            for key, events in self.selector.select(timeout):
                what, value = key.data
                if what == "listen":
                    self.accept(key.fileobj, value)
                elif what == "control":
                    self.read_control()
                elif value in self.sides:
                    if events & selectors.EVENT_WRITE:
                        self.flush(value)
                    if events & selectors.EVENT_READ and value in self.sides:
                        self.read(value)
            self.pass_later()

    def accept(self, listener, door):
        try:
            near = listener.accept()[0]
        except OSError:
            return
        if self.modes[door][0] == "cut":
            return self.reset(near)
        far = socket.socket()
        try:
            far.settimeout(1)
            far.connect(("127.0.0.1", self.port))
        except OSError:
            far.close()
            return self.reset(near)
        pair = [Side(sock, door) for sock in (near, far)]
        pair[0].other, pair[1].other = pair[1], pair[0]
        for side in pair:
            side.sock.setblocking(False)
            side.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sides.add(side)
            self.watch(side)

    @staticmethod
    def reset(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def watch(self, side):
        events = 0
        if self.modes[side.door][0] != "freeze":
            if not side.done and len(side.other.out) < MOST_WAITING:
                events |= selectors.EVENT_READ
            if side.out:
                events |= selectors.EVENT_WRITE
        try:
            self.selector.unregister(side.sock)
        except KeyError:
            pass
        if events:
            self.selector.register(side.sock, events, ("side", side))

    def drop(self, side, hard=False):
        for one in (side, side.other):
            if one in self.sides:
                self.sides.remove(one)
                try:
                    self.selector.unregister(one.sock)
                except KeyError:
                    pass
                self.reset(one.sock) if hard else one.sock.close()

    def read(self, side):
        try:
            piece = side.sock.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            return self.drop(side)
        mode, delay = self.modes[side.door]
        if not piece:
            side.done = True
            if not side.other.out and not side.other.coming:
                return self.drop(side)
            return self.watch(side)
        if mode == "delay" or side.other.coming:
            side.other.coming += 1
            side.other.due = max(side.other.due, time.monotonic() + delay)
            heapq.heappush(self.later, (side.other.due, next(self.order), side.other, piece))
        else:
            side.other.out += piece
            self.flush(side.other)

    def flush(self, side):
        try:
            sent = side.sock.send(side.out) if side.out else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            return self.drop(side)
        del side.out[:sent]
        if side.other.done and not side.out and not side.coming:
            return self.drop(side)
        self.watch(side)
        if side.other in self.sides:
            self.watch(side.other)

    def pass_later(self):
        now = time.monotonic()
        while self.later and self.later[0][0] <= now:
            _, _, side, piece = heapq.heappop(self.later)
            side.coming -= 1
            if side in self.sides:
                side.out += piece
                if self.modes[side.door][0] != "freeze":
                    self.flush(side)

    def read_control(self):
        text = self.control.recv(PIECE)
        if not text:
            os._exit(0)
        self.text += text
        while b"\n" in self.text:
            line, self.text = self.text.split(b"\n", 1)
            door, mode, delay = json.loads(line)
            self.modes[door] = (mode, delay)
            for side in [s for s in self.sides if s.door == door]:
                if mode == "cut":
                    self.drop(side, hard=True)
                elif side in self.sides:
                    self.watch(side)
            self.control.send(b".")


class Proxy:
    def __init__(self, doors, port):
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(doors)]
        self.ports = [listener.getsockname()[1] for listener in listeners]
        self.control, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self.control.close()
            try:
                Doorman(listeners, theirs, port).loop()
            finally:
                os._exit(1)
        theirs.close()
        for listener in listeners:
            listener.close()
        self.control.settimeout(10)

    def set(self, door, mode, delay=0.0):
        """Returns when it is so."""
        self.control.sendall(json.dumps([door, mode, delay]).encode() + b"\n")
        if self.control.recv(1) != b".":
            raise ConnectionError("the proxy has died")

    def close(self):
        self.control.close()
        os.waitpid(self.pid, 0)
