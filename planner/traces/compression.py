"""Whether a compressed log is named as what it is, and a zst file is whole: DuckDB takes both as they come."""

from pathlib import Path
from typing import BinaryIO

from planner.errors import InputError
from planner.traces.files import not_packed

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_DICTIONARY_ID_BYTES = (0, 1, 2, 4)
_CONTENT_SIZE_BYTES = (0, 2, 4, 8)
_RLE = 1


def check_compression(path: Path) -> None:
    """Raise `InputError` for a compressed file with another name, or a zst file that breaks off.

    A reader that meets the end of the file within a zst frame gives what it has decoded so far, without a word.
    """
    with path.open("rb") as file:
        start = file.read(4)
        for magic, suffix in ((_GZIP_MAGIC, ".gz"), (_ZSTD_MAGIC, ".zst")):
            if start.startswith(magic) and path.suffix != suffix:
                raise InputError(f"the log {path} is compressed: give it a name that ends in {suffix}")
        if path.suffix == ".zst" and not _is_whole_zst(file, path.stat().st_size):
            raise InputError(not_packed(path))


def _is_whole_zst(file: BinaryIO, size: int) -> bool:
    """Whether the file is a chain of whole frames, by their headers alone. Source: RFC 8878, section 3.1."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(8)
        if len(head) < 5:
            return False
        if head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50:  # a frame to skip
            at += 8 + int.from_bytes(head[4:8], "little")
            continue
        if not head.startswith(_ZSTD_MAGIC):
            return False
        descriptor = head[4]
        is_single_segment, has_checksum = bool(descriptor & 0x20), bool(descriptor & 0x04)
        content_size_bytes = _CONTENT_SIZE_BYTES[descriptor >> 6] or int(is_single_segment)
        at += 5 + (not is_single_segment) + _DICTIONARY_ID_BYTES[descriptor & 0x03] + content_size_bytes
        is_last = False
        while not is_last:
            file.seek(at)
            block = file.read(3)
            if len(block) < 3:
                return False
            header = int.from_bytes(block, "little")
            is_last, kind, length = bool(header & 1), header >> 1 & 0x03, header >> 3
            at += 3 + (1 if kind == _RLE else length)
        at += 4 if has_checksum else 0
    return at == size
