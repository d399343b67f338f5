//! The API listener.
