"""The tables of the file of evidence, and how those of older ones are read."""

from __future__ import annotations

from types import MappingProxyType

from holdfast.values._sqlite import Schema

_CAUSES = ("cold", "expired", "evicted", "invalidated", "other_version", "unreadable")
_NO_AGES = "CREATE TEMP VIEW evictions AS SELECT '' AS task, 0 AS hour, 0 AS age, 0 AS entries WHERE 0;"
_NO_CAUSES = f"CREATE TEMP VIEW counts AS SELECT *, {', '.join(f'0 AS {name}' for name in _CAUSES)} FROM main.counts;"  # noqa: S608 - constants
_NO_HOT_KEYS = "CREATE TEMP VIEW segments AS SELECT *, x'' AS hot FROM main.segments;"
_NO_WINDOWS = "CREATE TEMP VIEW policies AS SELECT *, 0.0 AS revalidated, 0.0 AS spare FROM main.policies;"
_OLD_POLICIES = "CREATE TEMP VIEW policies AS SELECT *, 0.0 AS since, 0.0 AS revalidated, 0.0 AS spare FROM main.policies;"
SCHEMA = Schema(
    name="recording",
    application_id=0x48465245,  # "HFRE"
    migrations=(
        """
        CREATE TABLE segments (
            id INTEGER PRIMARY KEY AUTOINCREMENT,      -- rises with time
            task TEXT NOT NULL,
            what TEXT NOT NULL,                        -- times or answers
            salt INTEGER NOT NULL,                     -- tells which salt its hashes were made with
            shift INTEGER NOT NULL,                    -- of each 2 ** shift keys one was kept
            first INTEGER NOT NULL, last INTEGER NOT NULL, -- microseconds since the epoch
            number INTEGER NOT NULL,                   -- how many it holds
            data BLOB NOT NULL
        );
        CREATE TABLE counts (
            task TEXT NOT NULL, hour INTEGER NOT NULL, -- the hour's first second since the epoch
            gets INTEGER NOT NULL, fills INTEGER NOT NULL, refreshes INTEGER NOT NULL, probes INTEGER NOT NULL,
            errors INTEGER NOT NULL, seconds REAL NOT NULL, bytes INTEGER NOT NULL,
            PRIMARY KEY (task, hour)
        ) WITHOUT ROWID;
        CREATE TABLE policies (                        -- what the code said when the task was last used
            task TEXT PRIMARY KEY, ttl REAL, least REAL, most REAL, seen REAL NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE size (bytes INTEGER NOT NULL);
        INSERT INTO size VALUES (0);
        """,
        """
        CREATE TABLE turns (                           -- when the source of a task may next be asked only to look
            task TEXT PRIMARY KEY, next REAL NOT NULL  -- seconds since the epoch
        ) WITHOUT ROWID;
        ALTER TABLE policies ADD COLUMN since REAL NOT NULL DEFAULT 0; -- from when on it has had this ttl
        """,
        "\n".join(f"ALTER TABLE counts ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0;" for name in _CAUSES),
        """
        ALTER TABLE policies ADD COLUMN revalidated REAL NOT NULL DEFAULT 0; -- seconds past its ttl in which an old value is served while it is renewed
        ALTER TABLE policies ADD COLUMN spare REAL NOT NULL DEFAULT 0;       -- the same while it is served if computing fails
        """,
        """
        CREATE TABLE evictions (
            task TEXT NOT NULL, hour INTEGER NOT NULL, -- the hour's first second since the epoch
            age INTEGER NOT NULL,                      -- the class of their ages: below 2 ** age seconds, and not below half of that
            entries INTEGER NOT NULL,
            PRIMARY KEY (task, hour, age)
        ) WITHOUT ROWID;
        ALTER TABLE segments ADD COLUMN hot BLOB NOT NULL DEFAULT x''; -- which keys were kept beside the sample: a HotNote
        """,
    ),
    views=MappingProxyType(
        {
            1: f"{_OLD_POLICIES}\n{_NO_CAUSES}\n{_NO_AGES}\n{_NO_HOT_KEYS}",
            2: f"{_NO_WINDOWS}\n{_NO_CAUSES}\n{_NO_AGES}\n{_NO_HOT_KEYS}",
            3: f"{_NO_WINDOWS}\n{_NO_AGES}\n{_NO_HOT_KEYS}",
            4: f"{_NO_AGES}\n{_NO_HOT_KEYS}",
        }
    ),
)
