"""What stands on the card of an agent that was killed."""
import pathlib
import shutil
import sqlite3
import tempfile


def rows_on_card(buffer):
    """The rows in the agent's file `buffer`: (lane, store, seq), 0 for the urgent lane. Read from a copy, so that the agent finds its card
    as it left it; committed is what SQLite finds after recovery."""
    buffer = pathlib.Path(buffer)
    with tempfile.TemporaryDirectory(prefix="card-", dir=buffer.parent) as copy:
        for end in ("", "-wal", "-journal"):
            if (part := buffer.with_name(buffer.name + end)).exists():
                shutil.copy(part, copy)
        db = sqlite3.connect(pathlib.Path(copy) / buffer.name)
        try:
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                return []  # killed before it had made its first file
            rows = db.execute("SELECT lane, store, seq FROM rows JOIN epochs USING (epoch)").fetchall()
        finally:
            db.close()
    return [(lane, store & (2**64 - 1), seq) for lane, store, seq in rows]
