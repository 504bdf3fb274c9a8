"""The tables of a checkpoint store.

Theory of operation. ``threads`` says who may write, ``runs`` and ``steps`` hold one row per record, ``blobs`` the values that are too
large to stand in one. A value column holds the encoded value itself (BLOB), the id of a blob (INTEGER), or NULL.

- A blob is named by a digest of its content within its thread, so a state that is saved unchanged 200 times is stored once. ``uses`` says
  which runs refer to it: it goes with the last of them.
- Every row carries a checksum over all that identifies it and all that it holds (``_rows``). A row that is lost altogether, because a
  page of an index was damaged, leaves a trace elsewhere: ``threads.newest`` names the newest run, ``threads.runs`` and ``runs.steps``
  count what must be found, and a thread that ``threads`` does not know must have no runs.
- Steps are stored in the order of their arrival, because that is how they are read; their index is on a digest of their name.
"""

from __future__ import annotations

from holdfast.values._sqlite import Schema

SCHEMA = Schema(
    name="checkpoint store",
    application_id=0x48464350,  # "HFCP"
    migrations=(
        """
        CREATE TABLE meta (
            epoch INTEGER NOT NULL                     -- the highest of all threads that are gone: no lease is valid twice
        );
        INSERT INTO meta (epoch) VALUES (0);
        CREATE TABLE threads (
            thread_id TEXT PRIMARY KEY,
            epoch INTEGER NOT NULL,                    -- how many times it has been claimed
            owner TEXT,                                -- name of a file that its owner keeps locked; NULL for nobody
            newest INTEGER NOT NULL,                   -- runs.id of the newest run; 0 for none
            runs INTEGER NOT NULL                      -- how many there are
        ) WITHOUT ROWID;
        CREATE TABLE runs (
            id INTEGER PRIMARY KEY,                    -- rises with time
            run_id TEXT NOT NULL UNIQUE,
            thread_id TEXT NOT NULL,
            status TEXT NOT NULL,
            base TEXT NOT NULL,
            created REAL NOT NULL, updated REAL NOT NULL,
            steps INTEGER NOT NULL,                    -- how many there are
            size INTEGER NOT NULL,                     -- bytes of their values that stand in their rows
            checksum BLOB NOT NULL,
            entry TEXT NOT NULL, code TEXT NOT NULL,
            input, output, saved, error                -- values
        );
        CREATE INDEX runs_by_thread ON runs (thread_id, id);
        CREATE TABLE steps (
            id INTEGER PRIMARY KEY,                    -- rises with time
            run INTEGER NOT NULL,
            step BLOB NOT NULL,                        -- digest of the four that name it
            scope BLOB NOT NULL, name TEXT NOT NULL, fingerprint BLOB NOT NULL, occurrence INTEGER NOT NULL,
            kind TEXT NOT NULL, history BLOB NOT NULL, code TEXT NOT NULL, at REAL NOT NULL,
            checksum BLOB NOT NULL,
            payload                                    -- a value
        );
        CREATE UNIQUE INDEX steps_by_name ON steps (run, step);
        CREATE TABLE blobs (
            id INTEGER PRIMARY KEY,
            thread_id TEXT NOT NULL,
            digest BLOB NOT NULL,
            size INTEGER NOT NULL,
            content BLOB NOT NULL
        );
        CREATE UNIQUE INDEX blobs_by_content ON blobs (thread_id, digest);
        CREATE TABLE uses (
            run INTEGER NOT NULL, blob INTEGER NOT NULL, PRIMARY KEY (run, blob)
        ) WITHOUT ROWID;
        CREATE INDEX uses_by_blob ON uses (blob);
        """,
        """
        ALTER TABLE runs ADD COLUMN trace TEXT NOT NULL DEFAULT '';  -- of the last execution
        """,
    ),
)

VIEWS = {
    1: """
    CREATE TEMP VIEW runs AS SELECT
        id, run_id, thread_id, status, base, created, updated, steps, size, checksum, entry, code, input, output, saved, error,
        '' AS trace
    FROM main.runs;
    """
}
"""For tools that look at an older file for a moment, without upgrading it; see `Schema.views`."""
