"""Every row that the journal of a killed agent's card shows to have been committed since it last began anew, those deleted since among them.

A row leaves the card when a collector has acknowledged it. So what the journal shows and the log has not was lost after its commit, though
nothing of it is left on the card. Read here is SQLite's write-ahead log (https://www.sqlite.org/fileformat2.html, 4): of its frames those
that SQLite itself takes for committed, and of these the leaves of tables, whose cells begin with their row's number."""
import pathlib
import shutil
import sqlite3
import struct
import sys
import tempfile
from array import array

WAL_MAGIC = 0x377F0682  # the last bit: checksums of big-endian words
HEADER, FRAME = 32, 24
TABLE_LEAF = 0x0D
SEQ_BITS, EPOCH_BITS = 38, 24  # of a place: lane, epoch, seq (edge/buffer/store.h)


def _sum(data, big, s0, s1):
    words = array("I", data)
    if big == (sys.byteorder == "little"):
        words.byteswap()
    for n in range(0, len(words), 2):
        s0 = (s0 + words[n] + s1) & 0xFFFFFFFF
        s1 = (s1 + words[n + 1] + s0) & 0xFFFFFFFF
    return s0, s1


def committed_pages(wal):
    """Each page of each committed frame, oldest first."""
    if len(wal) < HEADER:
        return []
    magic, _, size, _, salt0, salt1, *told = struct.unpack_from(">8I", wal)
    if magic & ~1 != WAL_MAGIC:
        return []
    big = bool(magic & 1)
    s0, s1 = _sum(wal[:24], big, 0, 0)
    if [s0, s1] != told:
        return []
    pages, committed = [], 0
    for at in range(HEADER, len(wal) - FRAME - size + 1, FRAME + size):
        _, after, *salts, c0, c1 = struct.unpack_from(">6I", wal, at)
        page = wal[at + FRAME:at + FRAME + size]
        s0, s1 = _sum(page, big, *_sum(wal[at:at + 8], big, s0, s1))
        if salts != [salt0, salt1] or (s0, s1) != (c0, c1):
            break
        pages.append(page)
        if after:
            committed = len(pages)
    return pages[:committed]


def _varint(data, at):
    value = 0
    for n in range(9):
        byte = data[at + n]
        if n == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + n + 1
    raise AssertionError


def row_numbers(page):
    if page[0] != TABLE_LEAF:
        return
    for n in range(struct.unpack_from(">H", page, 3)[0]):
        _, at = _varint(page, struct.unpack_from(">H", page, 8 + 2 * n)[0])
        yield _varint(page, at)[0]


def rows_ever(wal, stores):
    """{(lane, store, seq)}. `stores`: {epoch: store}; rows of other epochs are left out. No other table has row numbers so large."""
    out = set()
    for page in committed_pages(wal):
        for place in row_numbers(page):
            epoch, seq = place >> SEQ_BITS & (1 << EPOCH_BITS) - 1, place & (1 << SEQ_BITS) - 1
            if epoch in stores and seq:
                out.add((place >> SEQ_BITS + EPOCH_BITS, stores[epoch], seq))
    return out


def rows_that_were_on_card(buffer):
    """The same of the agent's file `buffer`, read from a copy: the agent finds its card as it left it."""
    buffer = pathlib.Path(buffer)
    wal = buffer.with_name(buffer.name + "-wal")
    if not wal.exists():
        return set()
    with tempfile.TemporaryDirectory(prefix="card-", dir=buffer.parent) as copy:
        for file in (buffer, wal):
            shutil.copy(file, copy)
        frames = (pathlib.Path(copy) / wal.name).read_bytes()
        db = sqlite3.connect(pathlib.Path(copy) / buffer.name)
        try:
            if not db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'epochs'").fetchone()[0]:
                return set()  # killed before it had made its first file
            stores = {epoch: store & (1 << 64) - 1 for epoch, store in db.execute("SELECT epoch, store FROM epochs")}
        finally:
            db.close()
    return rows_ever(frames, stores)
