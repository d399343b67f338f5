//! Rows as text: table, CSV, JSON. Pure.
