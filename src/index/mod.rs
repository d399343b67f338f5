//! A view of the ledger in SQLite. Can be deleted and rebuilt at any time.
