-- A view of the ledger. Every figure here follows from the ledger's lines; delete the file and it
-- is built again. Amounts are whole numbers: usd = usd_nano * 1e-9 + usd_atto * 1e-18, so that sums
-- stay exact. NULL means unknown or absent, never zero.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE exchanges (
    sequence        INTEGER PRIMARY KEY, -- of the opening; of the closing where the opening is lost
    closed_seq      INTEGER,             -- NULL while open; = sequence where the opening is lost
    opened_at       INTEGER NOT NULL,    -- nanoseconds since 1970 (UTC)
    closed_at       INTEGER,
    -- What reports add up comes first: a scan reads no further. Tokens that are billed, summed over
    -- the charge's lines; what the API reported is in usage.
    input           INTEGER,
    output          INTEGER,
    cache_read      INTEGER,
    write_5m        INTEGER,
    write_1h        INTEGER,
    usd_nano        INTEGER,             -- NULL where nothing was billed or the price is unknown
    usd_atto        INTEGER,
    unpriced        INTEGER NOT NULL,    -- 1 where usage was billed and no rate is known
    notional        INTEGER,             -- 1 where a subscription paid: usd is not billed
    list_nano       INTEGER,             -- at list prices; NULL where that is usd
    list_atto       INTEGER,
    max_nano        INTEGER,             -- the upper end where usd is the lower end of a range
    max_atto        INTEGER,
    estimated_nano  INTEGER,             -- what a cut stream may have cost beyond usd
    estimated_atto  INTEGER,
    estimated_max_nano INTEGER,          -- the upper end of that; NULL where it is no range
    estimated_max_atto INTEGER,
    moved_seq       INTEGER,             -- of the correction that moved it to another team
    flags           TEXT,                -- JSON array of names; NULL where there are none
    pricing         TEXT,
    outcome         TEXT,                -- NULL while open
    status          INTEGER,
    team            TEXT,                -- NULL only where the opening is lost
    user            TEXT,
    project         TEXT,
    model           TEXT,                -- that answered, else the one asked for
    session         TEXT,
    agent           TEXT,
    key             TEXT,
    instance        TEXT NOT NULL,
    tags            TEXT,                -- JSON object
    id              TEXT NOT NULL,
    call            TEXT,                -- id of the first attempt; NULL where this is the first
    attempt         INTEGER,
    endpoint        TEXT,
    model_requested TEXT,
    parent_agent    TEXT,
    streamed        INTEGER,
    duration_us     INTEGER,
    first_token_us  INTEGER,
    request_id      TEXT,
    stop_reason     TEXT,
    error_class     TEXT,                -- what the error is where error_type does not say it
    error_type      TEXT,
    savings_nano    INTEGER,             -- what the cache saved; negative where it cost more
    savings_atto    INTEGER,
    moved_from      TEXT,                -- the team before the first correction
    usage           TEXT,                -- JSON, as it stands in the ledger
    lines           TEXT,                -- JSON array of the charge's line items
    batch           TEXT                 -- JSON: what a fetch of a batch's results held
) STRICT;

-- Who made a batch: its results are theirs, whoever fetches them.
CREATE TABLE batches (
    batch      TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,         -- nanoseconds since 1970 (UTC)
    team       TEXT NOT NULL,
    user       TEXT,
    project    TEXT,
    key        TEXT
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX exchanges_id ON exchanges (id);

-- Corrections that were applied: one that stands in the ledger twice, after a crash, counts once.
CREATE TABLE corrections (
    id       TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What was worth telling somebody: crossings of budgets, classes of errors. Learned from here at a
-- start: what has fired, and what is not delivered yet.
CREATE TABLE notices (
    sequence INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,           -- nanoseconds since 1970 (UTC)
    kind     TEXT NOT NULL,
    body     TEXT NOT NULL               -- JSON, as it stands in the ledger
) STRICT;
