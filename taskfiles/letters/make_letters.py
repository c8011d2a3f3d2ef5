#!/usr/bin/env python3
"""Makes the letters files: train_letters1.txt to train_letters11.txt and validate_letters.txt.

usage: make_letters.py DIR [SOURCE]

SOURCE is Debian's r-cran-mlbench_*.deb, or a LetterRecognition.rda of an installed one; without it the package is
fetched by `apt-get download` (no root needed, nothing is installed, R neither). The letter recognition set of P. W.
Frey and D. J. Slate (UCI): 20,000 rows, a letter and 16 features of 0 to 15. A line of ours is the 16 features and the
letter's number, 0 to 25. Files are checked against their MD5 and appear whole; those that are right are left alone.
"""
import argparse
import hashlib
import io
import lzma
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "r-cran-mlbench"
MEMBER = "LetterRecognition.rda"
INSTALLED = Path("/usr/lib/R/site-library/mlbench/data") / MEMBER
ROWS = 20000

# Rows (from 0) of each file, and what it must be.
MD5 = {
    "train_letters1.txt": "ea9b930784f9e7742c23491d34df1b1d",
    "train_letters2.txt": "ca9f7ae612ad787937ec5c2268af5f33",
    "train_letters3.txt": "6b5dcc6de5c74b4e870e94cc2bbcf103",
    "train_letters4.txt": "5d0fe9c9a33b41169ff30309f3c62988",
    "train_letters5.txt": "1b4789f62066ac25bcb585c06198b793",
    "train_letters6.txt": "5103dbc8de6b58a59bfedee9b2f71719",
    "train_letters7.txt": "5e4773128eb64df23a25b517d4f4557d",
    "train_letters8.txt": "ab7d9f5708826fbfb0fe745f71fbf6df",
    "train_letters9.txt": "868b32fa18685b66e48b005ab7e1dba9",
    "train_letters10.txt": "66bc4be76c649d169e759078e1866031",
    "train_letters11.txt": "b6c351acafdbeb3af76fd602a034176e",
    "validate_letters.txt": "bb684f71fc7d75dc53e6bf56badcac16",
}


class Failure(Exception):
    """What went wrong, for people."""


# --- from the package to the bytes of the .rda ----------------------------------------------------


def ar_members(data):
    """(name, bytes) of each member of an ar archive, such as a .deb is."""
    if data[:8] != b"!<arch>\n":
        raise Failure("not a .deb: it does not begin as an ar archive does")
    at = 8
    while at + 60 <= len(data):
        name, size = data[at:at + 16].decode().strip().rstrip("/"), int(data[at + 48:at + 58])
        yield name, data[at + 60:at + 60 + size]
        at += 60 + size + size % 2


def rda_of_deb(data):
    for name, packed in ar_members(data):
        if name.startswith("data.tar"):
            with tarfile.open(fileobj=io.BytesIO(packed), mode="r:*") as tar:
                for entry in tar:
                    if entry.isfile() and entry.name.endswith("/" + MEMBER):
                        return tar.extractfile(entry).read()
    raise Failure(f"the package has no {MEMBER}")


def download():
    with tempfile.TemporaryDirectory() as box:
        os.chmod(box, 0o755)
        try:
            done = subprocess.run(["apt-get", "download", PACKAGE], cwd=box, capture_output=True, text=True)
        except OSError as error:
            raise Failure(f"apt-get cannot be run ({error}); give the .deb or {MEMBER} as SOURCE") from None
        found = list(Path(box).glob("*.deb"))
        if done.returncode != 0 or len(found) != 1:
            raise Failure(f"apt-get download {PACKAGE}: {done.stderr.strip() or 'nothing came'}; "
                          f"give the .deb or {MEMBER} as SOURCE")
        return found[0].read_bytes()


def read_rda(source):
    """The bytes of the .rda, still packed."""
    if source is None:
        if INSTALLED.exists():
            return INSTALLED.read_bytes()
        return rda_of_deb(download())
    data = Path(source).read_bytes()
    return rda_of_deb(data) if data[:8] == b"!<arch>\n" else data


# --- what R wrote: its serialization, version 2 or 3, XDR ----------------------------------------


class Serial:
    """As much of R's format as a data frame of numbers and factors needs."""

    SYM, LIST, CHAR, LGL, INT, REAL, STR, VEC, ALTREP, NIL, REF = 1, 2, 9, 10, 13, 14, 16, 19, 238, 254, 255

    def __init__(self, data):
        self.file, self.symbols = io.BytesIO(data), []

    def take(self, count):
        data = self.file.read(count)
        if len(data) != count:
            raise Failure(f"{MEMBER} ends early")
        return data

    def integer(self):
        return struct.unpack(">i", self.take(4))[0]

    def head(self):
        if self.take(5) not in (b"RDX2\n", b"RDX3\n") or self.take(2) != b"X\n":
            raise Failure(f"{MEMBER} is not R data in XDR form")
        version, _, _ = self.integer(), self.integer(), self.integer()
        if version == 3:
            self.take(self.integer())  # the name of its encoding

    def numbers(self, code, size):
        count = self.integer()
        return list(struct.unpack(f">{count}{code}", self.take(size * count)))

    def pairs(self, flags):
        """A pair list as a dict of its tags; what has none is left out."""
        found = {}
        while flags & 0xff == self.LIST:
            if flags & 0x200:
                self.item()
            tag = self.item() if flags & 0x400 else None
            value = self.item()
            if tag is not None:
                found[tag] = value
            flags = self.integer()
        return found

    def item(self):
        """A vector is a pair of its list and its attributes; strings and symbols are str."""
        flags = self.integer()
        kind = flags & 0xff
        if kind == self.LIST:
            return self.pairs(flags)
        if kind == self.NIL:
            return None
        if kind == self.SYM:
            self.symbols.append(self.item())
            return self.symbols[-1]
        if kind == self.REF:
            return self.symbols[(flags >> 8 or self.integer()) - 1]
        if kind == self.CHAR:
            size = self.integer()
            return None if size < 0 else self.take(size).decode("latin-1")
        if kind == self.ALTREP:  # such as compact row names: not needed, only passed over
            for _ in range(3):
                self.item()
            return None, {}
        readers = {self.LGL: lambda: self.numbers("i", 4), self.INT: lambda: self.numbers("i", 4),
                   self.REAL: lambda: self.numbers("d", 8),
                   self.STR: lambda: [self.item() for _ in range(self.integer())],
                   self.VEC: lambda: [self.item() for _ in range(self.integer())]}
        if kind not in readers:
            raise Failure(f"{MEMBER} has something of R's type {kind}, which is not expected")
        values = readers[kind]()
        return values, (self.pairs(self.integer()) if flags & 0x200 else {})


def table(packed):
    """20,000 rows: 16 features and the letter's number."""
    serial = Serial(lzma.decompress(packed))
    serial.head()
    frame, attributes = serial.item()["LetterRecognition"]
    if len(frame) != 17 or attributes["names"][0][0] != "lettr":
        raise Failure(f"{MEMBER} has other columns than a letter and 16 features")
    codes, of_letters = frame[0]
    levels = of_letters["levels"][0]
    letters = [ord(levels[code - 1]) - ord("A") for code in codes]
    columns = [[int(value) for value in column[0]] for column in frame[1:]] + [letters]
    if any(len(column) != ROWS for column in columns):
        raise Failure(f"{MEMBER} has other than {ROWS} rows")
    return list(zip(*columns))


# --- files ----------------------------------------------------------------------------------------


def texts(rows):
    """{file name: its bytes}."""
    lines = [",".join(map(str, row)) for row in rows]
    found = {f"train_letters{i}.txt": "\n".join(lines[1500 * (i - 1):1500 * i]) + "\n" for i in range(1, 12)}
    found["validate_letters.txt"] = "\n".join(lines[19500:20000] + lines[18000:19500] + lines[16500:18000])
    return {name: text.encode() for name, text in found.items()}


def is_right(path):
    try:
        return hashlib.md5(path.read_bytes()).hexdigest() == MD5[path.name]
    except OSError:
        return False


def write(path, data):
    if hashlib.md5(data).hexdigest() != MD5[path.name]:
        raise Failure(f"{path.name} would not be the file it should be: the source has other rows")
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".letters", delete=False) as part:
        try:
            part.write(data)
            part.flush()
            os.chmod(part.name, 0o644)
            os.replace(part.name, path)
        except BaseException:
            os.unlink(part.name)
            raise


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], usage="make_letters.py DIR [SOURCE]")
    parser.add_argument("dir", metavar="DIR", type=Path)
    parser.add_argument("source", metavar="SOURCE", nargs="?", help=f"a .deb of {PACKAGE}, or {MEMBER}")
    options = parser.parse_args()
    missing = [name for name in MD5 if not is_right(options.dir / name)]
    try:
        if missing:
            options.dir.mkdir(parents=True, exist_ok=True)
            made = texts(table(read_rda(options.source)))
            for name in missing:
                write(options.dir / name, made[name])
    except (Failure, OSError, ValueError, KeyError, struct.error, lzma.LZMAError, tarfile.TarError) as error:
        where = f"{options.source}: " if options.source else ""
        print(f"make_letters.py: {where}{error}", file=sys.stderr)
        return 1
    print(f"{len(MD5)} files in {options.dir}, {len(missing)} of them made now; all are as they should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
