//! `[log]`: how much is said on standard error, and how it is written.

use super::file::File;
use super::reader::{ConfigError, Reader};

/// How much is said: each level with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// What is lost or refused.
    Error,
    /// What an operator should look at.
    Warn,
    /// What happens to the sidecar.
    #[default]
    Info,
    /// What happens to each call.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// All, from the fewest lines to the most.
    pub const ALL: [LogLevel; 5] =
        [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];

    /// The name used in the configuration, in commands and in lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }

    /// The level of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<LogLevel> {
        LogLevel::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What is said on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LogConfig {
    /// How much.
    pub level: LogLevel,
    /// In which form.
    pub format: LogFormat,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<LogConfig, ConfigError> {
    let level = |f: &File| f.log.level.clone();
    let level = reader.parsed("log.level", "info", level, |text| {
        LogLevel::named(text).ok_or_else(|| "write error, warn, info, debug or trace".to_owned())
    })?;
    let format = |f: &File| f.log.format.clone();
    let format = reader.parsed("log.format", "auto", format, |text| match text {
        "auto" => Ok(LogFormat::Auto),
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        _ => Err("write auto, json or text".to_owned()),
    })?;
    Ok(LogConfig { level, format })
}
