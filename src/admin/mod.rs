//! The operator's HTTP: health and metrics.
