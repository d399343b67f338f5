//! Usage times rates.
