//! Configuration: raw text in, a validated [`Config`] out. Pure.
//!
//! Three layers are laid over the defaults, each a [`File`]: the configuration file, then
//! `WEIGHBRIDGE_*` variables, then flags. Unknown keys are refused with their path. Secrets are
//! written by reference only, so a configuration can be shown and logged whole.

mod audit;
mod budget;
mod file;
mod log;
mod notify;
mod otlp;
mod policy;
mod reader;
mod redaction;
mod settings;

pub use audit::{AuditConfig, WitnessConfig, WitnessKind};
pub use budget::BudgetConfig;
pub use file::{File, Layer, LayerError, Source, environment_layer, parse_file};
pub use log::{LogConfig, LogFormat, LogLevel};
pub use notify::{ChannelConfig, ChannelKind, ChannelUrl, check_kept_url};
pub use otlp::{OtelVariables, OtlpConfig, SIGNALS, Semconv};
pub use policy::{PolicyConfig, parse_project_file};
pub use reader::{ConfigError, SecretRef, Setting};
pub use redaction::{CaptureConfig, CaptureLevel, RedactionConfig};
pub use settings::{
    Config, DurabilityName, LedgerConfig, LedgerModeName, ListenConfig, PricingConfig,
    Surroundings, UpstreamConfig,
};
