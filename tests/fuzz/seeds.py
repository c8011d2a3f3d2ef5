"""Writes the seeds of fuzzers whose input is binary: seeds.py DIRECTORY makes DIRECTORY/FUZZER/NAME.

The numbers are those of worker/wire.h; a seed that the supervisor refuses would be a poor one, so fuzz_wire's
coverage of its handlers shows whether they still agree.
"""
import struct
import sys
from pathlib import Path

HELLO, START, KILL, ACK, LEASE, BYE, ALIVE, DISMISS = range(1, 9)
END, NEW_AGENT, SLOWLY, SIGNAL, ANY_START, HOST_HEARD = range(0xff00, 0xff06)  # orders to fuzz_wire itself
VERSION = 4
DIRECT_RUN, CONFINED, HOSTED = 1, 4, 8


def frame(kind, payload=b""):
    return struct.pack("=II", kind, len(payload)) + payload


def order(kind, argument=0):
    return struct.pack("=II", kind, argument)


def hello(pid=42, version=VERSION):
    return frame(HELLO, struct.pack("=II", version, pid))


def texts(words):
    return b"".join(word.encode() + b"\0" for word in words)


def confine(data_bytes=0, flags=0, cpus=b"", cgroup=(), procs=()):
    names = texts(cgroup), texts(procs)
    return struct.pack("=QIIIIII", data_bytes, flags, len(cpus), len(names[0]), len(procs), len(names[1]),
                       0) + cpus + b"".join(names)


def start(slot, argv=("/bin/sh", "-c", "true"), fallback=(), env=("DISTCOMP_COOKIE=a.1",), note=b"note", cwd=b"",
          flags=0, timeout_ms=0, confined=b"", host=None):
    strings = texts((*argv, *fallback, *env))
    flags |= (CONFINED if confined else 0) | (HOSTED if host else 0)
    hosted = struct.pack("=QII", *host, 0) if host else b""
    head = struct.pack("=IIQIiIIIIII", slot, flags, timeout_ms, 500, 0, len(note), len(cwd), len(argv), len(fallback),
                       len(env), len(strings))
    return frame(START, head + hosted + confined + note + cwd + strings)


def kill(slot, why=2, grace_ms=100):
    return frame(KILL, struct.pack("=III", slot, why, grace_ms))


def ack(slot, flags=0):
    return frame(ACK, struct.pack("=II", slot, flags))


DIRECT = start(2, argv=("ls", "-l"), fallback=("/bin/sh", "-c", "ls -l"), flags=DIRECT_RUN, cwd=b"/tmp", timeout_ms=1000)
BOUNDED = start(3, confined=confine(1 << 26, 1, b"\1" * 16, ["/sys/fs/cgroup"], ["/proc/self/a", "/proc/self/b"]))
PINNED = start(8, confined=confine(cpus=b"\2" + b"\0" * 7))
SERVE = ("/bin/kernelHost", "serve", "noop")
IN_HOST = start(9, argv=SERVE, host=(7, 16), cwd=b"/tmp")
WIRE = {
    "life": hello() + start(0) + order(END, 0) + ack(0) + frame(BYE, struct.pack("=II", 1, 0)),
    "ask": hello(pid=0) + hello(),
    "many": hello() + b"".join(start(i, note=bytes([i]) * i) for i in range(8)) + kill(3) + kill(3, grace_ms=0)
    + order(END, 3) + ack(3, 3),
    "taken_over": hello() + start(1) + DIRECT + order(NEW_AGENT) + hello(43) + order(END, 2) + ack(2) + order(END, 1),
    "lease": hello() + frame(LEASE, struct.pack("=QQ", 10**9, 30000)) + frame(ALIVE, struct.pack("=Q", 60000)),
    "slowly": order(SLOWLY) + hello() + start(5) + order(SIGNAL, 14) + kill(5),
    "large": hello() + start(7, argv=("/bin/true", "x" * 70000)),
    "longest_note": hello() + start(4, note=b"n" * 1024) + order(NEW_AGENT) + hello(),
    "any_start": hello() + order(ANY_START, len(start(6)) - 8) + start(6)[8:] + order(NEW_AGENT) + hello(),
    "any_large_start": hello() + order(ANY_START, 3000) + start(6, note=b"n" * 900, env=("A=" + "b" * 3000,))[8:3008],
    "old": hello(version=2) + start(0) + order(END, 0) + ack(0),
    "confined": hello() + BOUNDED + PINNED + order(NEW_AGENT) + hello() + order(END, 3) + ack(3),
    "any_confined": hello() + order(ANY_START, len(BOUNDED) - 8) + BOUNDED[8:] + order(ANY_START, len(PINNED) - 8)
    + PINNED[8:],
    "hosts": hello() + IN_HOST + start(10, argv=SERVE, host=(0, 1)) + start(11, argv=SERVE, host=(8, 1)) + order(HOST_HEARD, 0)
    + order(NEW_AGENT) + hello(version=3) + order(END, 9) + ack(9, 3) + kill(10) + order(END, 10),
    "dismissed": hello() + IN_HOST + order(END, 9) + frame(DISMISS, struct.pack("=II", 1, 0)) + ack(9) + IN_HOST,
    "any_host": hello() + order(ANY_START, len(IN_HOST) - 8) + IN_HOST[8:] + order(HOST_HEARD, 0) + order(END, 9),
    "refused": hello() + start(16) + order(NEW_AGENT) + hello(version=99) + kill(0, why=9),
}


CONF = b'{"redis_host": "example.org", "redis_port": 6380, "lease": "30s", "cpus": 2.5, "exit_when_empty": true}'
CONFIG = {
    "all": CONF + b"\0--lease\x0045s\0--queue=two\0--cpus\0003\0$DISTCOMP_NAME=w1\0$DISTCOMP_LOG_LEVEL=debug",
    "file": CONF,
    "null": b'{"redis_pass": "x\\u0041", "max_tasks": null, "lease": 30}\0--exit_when_empty',
    "alias": b'{}\0--max_task_per_worker\x0012\0--min_dram_gb_accept_new_task=auto\0$DISTCOMP_REDIS=unix:///tmp/s?db=3',
}


def npy(shape, descr="'<f8'", fortran=False, version=1, tail=b""):
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + tail


NPY = {
    "matrix": npy("(3, 4)"),
    "fortran": npy("(3, 4)", "'<f4'", True, tail=bytes(48)),
    "big_endian": npy("(5,)", "'>i8'"),
    "one": npy("()", "'=i4'", version=2),
    "empty": npy("(0, 7)", version=3),
    "python2": npy("(10L, 3L)"),
    "eight": npy("(1, 2, 3, 4, 5, 6, 7, 8)"),
    "too_large": npy("(4611686018427387904, 4)"),
    "complex": npy("(3,)", "'<c16'"),
    "records": npy("(3,)", "[('a', '<f4')]"),
}


def request(text, cwd="/tmp", env=("A=1", "B="), version=1):
    return struct.pack("=6I", version, 0, len(cwd), 3, len(env), 0) + texts((cwd,) * bool(cwd) + (
        "kernelHost", "serve", text) + tuple(env))


KERNEL = {
    "request": b"\0" + request("noop"),
    "request_plain": b"\0" + request("@/tmp/f", cwd="", env=()),
    "request_of_another": b"\0" + request("noop", version=2),
    "words": b"\1n=10k any=-3 rate=1e-1 wide=.5E3 check=off note='a b' dtype=cc a=redis:x parts=p,q out=o more=r,s",
    "wrong": b"\1n=0 rte=1 dtype=d parts=,, out=o more=o,o fast n=1 wide=inf any=9223372036854775808",
}


def main(directory):
    for fuzzer, seeds in {"fuzz_wire": WIRE, "fuzz_config": CONFIG, "fuzz_npy": NPY, "fuzz_kernel": KERNEL}.items():
        folder = Path(directory, fuzzer)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in seeds.items():
            (folder / name).write_bytes(content)


main(sys.argv[1])
