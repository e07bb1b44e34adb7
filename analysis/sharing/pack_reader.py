"""Reading a pack (`container`), which anybody may have made: nothing in it is believed before it was compared."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from analysis.errors import InputError, NewerSchema, StoreDamaged, UnsafeFile
from analysis.sharing.container import (
    BLOCK,
    FORMAT,
    LONGEST,
    MANIFEST,
    MOST_FILES,
    MOST_MANIFEST,
    ROOT,
    VERSION,
    checksum_of,
    digest_of,
    name_problem,
)

LOCAL, END, END64, LOCATOR = struct.Struct("<4s5H3L2H"), struct.Struct("<4s4H2LH"), 56, 20
WHOLE = "Get it again from whoever made it, or pack it again"


@dataclass(frozen=True)
class Member:
    """A file inside a pack, where its header begins and its size as zip's directory says."""

    name: str
    start: int
    size: int
    flags: int


class PackReader:
    """A pack, opened for reading; its directory and its manifest are checked, its files are not yet.

    Raises InputError for another file, StoreDamaged for one that is cut off or changed, UnsafeFile for what a pack
    never holds, NewerSchema.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self.name = file, name
        self.size = os.fstat(file.fileno()).st_size
        count, self.directory = self._end()
        self.members = self._members(count)
        self.manifest = self._manifest()
        self.files: dict[str, list] = self.manifest["files"]

    def _end(self) -> tuple[int, int]:
        """How many members, and where the directory of them begins, from the last bytes."""
        last = self._at(max(self.size - END.size, 0), END.size)
        if len(last) < END.size or last[:4] != b"PK\x05\x06" or last[-2:] != b"\0\0":
            if self._at(0, 4) != b"PK\x03\x04":
                raise InputError(f"{self.name} is no pack", "a file that `loupe pack` wrote")
            raise StoreDamaged(
                f"{self.name} is cut off, or something was added to it", "the whole file", WHOLE
            )
        *_, count, length, start, _ = END.unpack(last)
        stop = self.size - END.size
        if start + length != stop:
            stop -= LOCATOR + END64
            large = self._at(max(stop, 0), END64)
            if stop < 0 or large[:4] != b"PK\x06\x06":
                raise self._damaged("its directory is not at its end")
            count, length, start = struct.unpack("<3Q", large[32:])
        if count > MOST_FILES or length > count * (LONGEST + 200):
            raise UnsafeFile(f"{self.name} says that it holds {count:,} files in a directory of {length:,} bytes",
                             f"at most {MOST_FILES:,}, with names of at most {LONGEST} bytes")  # fmt: skip
        if start + length != stop:
            raise self._damaged("its directory is not at its end")
        return count, start

    def _members(self, count: int) -> list[Member]:
        """By their place in the file. Nothing of them is read yet."""
        try:
            with zipfile.ZipFile(self._file) as found:
                infos = found.infolist()
        except (
            zipfile.BadZipFile,
            NotImplementedError,  # zipfile's word for a version or flag that it does not know
            ValueError,
            struct.error,
            OverflowError,
            EOFError,
        ) as error:
            raise self._damaged(f"its directory cannot be read ({error})") from None
        for info in infos:
            self._refuse(info)
        names = [info.filename for info in infos]
        known, folders = set(names), {"/".join(p[:k]) for p in map(_parts, names) for k in range(1, len(p))}
        if len(known) != len(names) or len(names) != count or known & folders:
            raise UnsafeFile(f"{self.name} holds two things of one name", "each once")
        if sum(info.file_size for info in infos) > self.size:
            raise UnsafeFile(
                f"{self.name} says that it holds more than its {self.size:,} bytes", "no zip bomb"
            )
        members = [Member(i.filename, i.header_offset, i.file_size, i.flag_bits) for i in infos]
        return sorted(members, key=lambda m: m.start)

    def _refuse(self, info: zipfile.ZipInfo) -> None:
        """Raises UnsafeFile for a member that no pack has."""
        name, kind = info.orig_filename, info.external_attr >> 16
        why = name_problem(name)
        if not why and name != MANIFEST and not name.startswith(ROOT):
            why = f"it does not lie in {ROOT}"
        if not why and (info.is_dir() or stat.S_IFMT(kind) not in (0, stat.S_IFREG)):
            why = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder"}.get(
                stat.S_IFMT(kind), "a device or pipe"
            )
        if not why and info.flag_bits & ~0x800:
            why = "it is encrypted, or has no size of its own"
        if not why and (info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size):
            why = f"it is compressed ({info.compress_size:,} bytes that become {info.file_size:,})"
        if why:
            raise UnsafeFile(f"{self.name} holds {name[:200]!r}: {why}", "plain files below " + ROOT,
                             "Do not unpack it with another program either")  # fmt: skip

    def _manifest(self) -> dict:
        last = self.members[-1] if self.members else None
        if last is None or last.name != MANIFEST:
            raise InputError(f"{self.name} has no {MANIFEST} at its end", "a file that `loupe pack` wrote")
        if last.size > MOST_MANIFEST:
            raise UnsafeFile(
                f"{self.name} has a {MANIFEST} of {last.size:,} bytes", f"at most {MOST_MANIFEST:,}"
            )
        try:
            found = json.loads(b"".join(self.pieces(last)))
            if found["format"] != FORMAT or not isinstance(found["version"], int):
                raise ValueError("another format")
            if found["version"] > VERSION:
                raise NewerSchema(f"{self.name} has version {found['version']}", f"at most {VERSION}",
                                  "Update Feature Loupe")  # fmt: skip
            sound = found["checksum"] == checksum_of(found) and found["digest"] == digest_of(found["files"])
            sizes = {name: int(size) for name, (size, _) in found["files"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._damaged(f"its {MANIFEST} cannot be read ({error})") from None
        if not sound:
            raise self._damaged(f"its {MANIFEST} does not match its own checksum")
        if sizes != {m.name: m.size for m in self.members[:-1]}:
            raise self._damaged(
                f"it does not hold the files that its {MANIFEST} names, in the sizes that it names"
            )
        return found

    def pieces(self, member: Member) -> Iterator[bytes]:
        """The bytes of a member, a block at a time. Raises StoreDamaged where they are not those of the manifest."""
        head = self._at(member.start, LOCAL.size)
        if len(head) < LOCAL.size or head[:4] != b"PK\x03\x04":
            raise self._damaged(f"{member.name} does not begin where it should")
        _, _, flags, method, *_, size, names, extra = LOCAL.unpack(head)
        start = member.start + LOCAL.size
        same = self._at(start, names) == member.name.encode() and size in (member.size, 0xFFFFFFFF)
        if not same or method != 0 or flags != member.flags:
            raise UnsafeFile(f"{self.name} says two things about {member.name}", "one", WHOLE)
        place, stop = start + names + extra, start + names + extra + member.size
        if stop != self._next(member):
            raise UnsafeFile(f"{self.name} holds {member.name} beside a gap, or inside of another file",
                             "files one behind the other", WHOLE)  # fmt: skip
        sha = hashlib.sha256()
        while place < stop:
            block = self._at(place, min(BLOCK, stop - place))
            if not block:
                raise StoreDamaged(f"{self.name} ends inside of {member.name}", "the whole file", WHOLE)
            place += len(block)
            sha.update(block)
            yield block
        if member.name != MANIFEST and sha.hexdigest() != self.files[member.name][1]:
            raise self._damaged(f"{member.name} does not match its checksum")

    def _next(self, member: Member) -> int:
        if self._places is None:
            starts = [0, *(m.start for m in self.members[1:]), self.directory]
            if self.members[0].start != 0:
                raise self._damaged("something lies before its first file")
            self._places = {m.start: after for m, after in zip(self.members, starts[1:], strict=True)}
        return self._places[member.start]

    _places: dict[int, int] | None = None

    def _at(self, place: int, n: int) -> bytes:
        self._file.seek(place)
        return self._file.read(n)

    def _damaged(self, why: str) -> StoreDamaged:
        return StoreDamaged(f"{self.name}: {why}", "the file as it was packed", WHOLE)


def _parts(name: str) -> list[str]:
    return name.split("/")
