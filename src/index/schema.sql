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

-- One row for each tool call, put together from all that was seen of it. The first sighting of each
-- side stays, so entries that stand twice in the ledger, or come in another order, change nothing.
-- A mark is the first half of the commitment to a content.
CREATE TABLE tool_calls (
    session           TEXT NOT NULL,     -- '' where the client names none
    id                TEXT NOT NULL,     -- the API's: tool_use.id
    sequence          INTEGER NOT NULL,  -- of the first sighting
    told              INTEGER NOT NULL,  -- who names the tool: 0 a hook, 1 a request, 2 an answer
    team              TEXT,              -- NULL where only hooks speak of it
    agent             TEXT,              -- NULL for the main agent
    tool              TEXT,
    server            TEXT,              -- the MCP server, where the API or a hook names it
    skill             TEXT,              -- the skill that it starts
    kind              TEXT,              -- client, server, mcp; NULL where no answer asked for it
    mode              TEXT,              -- the permission mode, as a hook says
    denied            TEXT,              -- by whom: rule, client
    asked_at          INTEGER,           -- nanoseconds since 1970 (UTC), as all moments
    asked_exchange    TEXT,
    asked_cut         INTEGER,           -- 1 where the answer was cut before the input was whole
    asked_bytes       INTEGER,
    asked_mark        BLOB,
    announced_at      INTEGER,
    announced_bytes   INTEGER,
    announced_mark    BLOB,
    done_at           INTEGER,
    done_failed       INTEGER,
    done_ms           INTEGER,           -- by the client's clock
    done_bytes        INTEGER,           -- of the input it was given in the end
    done_mark         BLOB,
    batched_bytes     INTEGER,           -- of the output, as the client says
    batched_mark      BLOB,
    returned_at       INTEGER,
    returned_exchange TEXT,
    returned_failed   INTEGER,
    returned_bytes    INTEGER,
    returned_mark     BLOB,
    PRIMARY KEY (session, id)
) STRICT, WITHOUT ROWID;

-- Which results an exchange carried: every attempt that carried one, not only the first.
CREATE TABLE carried (
    exchange TEXT NOT NULL,
    id       TEXT NOT NULL,              -- of the tool call
    place    INTEGER NOT NULL,           -- rises in the order of the ledger
    PRIMARY KEY (exchange, id)
) STRICT, WITHOUT ROWID;

-- Events of the client's hooks, each once however often it was sent.
CREATE TABLE hooks (
    sequence   INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    event      TEXT NOT NULL,
    session    TEXT,
    agent      TEXT,
    agent_type TEXT,
    prompt     TEXT,
    tool_use   TEXT,
    mode       TEXT,
    reason     TEXT,
    model      TEXT,
    denied     INTEGER,                  -- 1 where we denied what it announced
    duration   INTEGER,                  -- of the tool, in milliseconds
    digest     BLOB NOT NULL UNIQUE
) STRICT;

CREATE INDEX hooks_session ON hooks (session, at);

-- What hooks say of agents.
CREATE TABLE agents (
    session    TEXT NOT NULL,
    agent      TEXT NOT NULL,            -- '' for the main agent
    agent_type TEXT,
    started_at INTEGER,
    PRIMARY KEY (session, agent)
) STRICT, WITHOUT ROWID;

-- What came of rules.
CREATE TABLE rules (
    sequence INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    action   TEXT NOT NULL,
    rule     TEXT NOT NULL,
    layer    TEXT NOT NULL,
    policy   TEXT NOT NULL,
    team     TEXT NOT NULL,
    session  TEXT,
    agent    TEXT,
    exchange TEXT,
    tool     TEXT,
    tool_use TEXT
) STRICT;

CREATE INDEX rules_session ON rules (session);
