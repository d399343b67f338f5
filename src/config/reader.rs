//! How keys are looked up through the layers, and how their texts are read.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::file::{File, Layer, Source};

/// A key, its effective value as text, and where it came from: what `weighbridge check` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `section.key`.
    pub key: Cow<'static, str>,
    /// The effective value; empty where nothing is set. Secrets are references, never values.
    pub value: String,
    /// Where it came from.
    pub source: Source,
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// `env:NAME`
    Environment(String),
    /// `file:PATH`
    File(PathBuf),
    /// `command:PROGRAM ARGUMENTS`
    Command(String),
}

/// A value does not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value:?} ({from}): {problem}", from = source_name.name())]
pub struct ConfigError {
    /// `section.key`.
    pub key: Cow<'static, str>,
    /// The value as it was written.
    pub value: String,
    /// Which layer it came from.
    pub source_name: Source,
    /// What is wrong, and what would do.
    pub problem: String,
}

/// Looks keys up through the layers, highest first, and keeps what it found.
pub(super) struct Reader<'a> {
    pub(super) layers: &'a [Layer],
    pub(super) settings: Vec<Setting>,
}

impl Reader<'_> {
    /// The text of the highest layer that sets the key, else the default.
    pub(super) fn text(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        default: &str,
        get: impl Fn(&File) -> Option<String>,
    ) -> Setting {
        let found = self.layers.iter().rev().find_map(|l| get(&l.file).map(|v| (v, l.source)));
        let (value, source) = found.unwrap_or_else(|| (default.to_owned(), Source::Default));
        let setting = Setting { key: key.into(), value, source };
        self.settings.push(Setting { value: setting.shown(), ..setting.clone() });
        setting
    }

    /// A list of the highest layer that has one, else none.
    pub(super) fn list<T>(&self, get: impl Fn(&File) -> Option<Vec<T>>) -> Vec<T> {
        self.layers.iter().rev().find_map(|layer| get(&layer.file)).unwrap_or_default()
    }

    /// A text that may be absent.
    pub(super) fn optional(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        get: impl Fn(&File) -> Option<String>,
    ) -> Option<Setting> {
        Some(self.text(key, "", get)).filter(|setting| !setting.value.is_empty())
    }

    /// A text that is read as something else.
    pub(super) fn parsed<T>(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        default: &str,
        get: impl Fn(&File) -> Option<String>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let setting = self.text(key, default, get);
        parse(&setting.value).map_err(|problem| setting.error(problem))
    }
}

impl Setting {
    pub(super) fn error(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError {
            key: self.key.clone(),
            value: self.shown_wrong(),
            source_name: self.source,
            problem: problem.into(),
        }
    }
}

impl Setting {
    /// The last part of its key.
    fn last(&self) -> &str {
        self.key.rsplit('.').next().unwrap_or_default()
    }

    fn is_address(&self) -> bool {
        self.value.contains("://")
    }

    /// The value as it may be shown: no password of an address, and of a channel's address, which
    /// is a secret as a whole with many services, the host alone.
    fn shown(&self) -> String {
        let is_channel = (self.key.starts_with("notify.") && self.last() == "url")
            || (self.key.starts_with("witness.") && self.last() == "to" && self.is_address());
        let Some((scheme, rest)) = self.value.split_once("://") else {
            // No address, but perhaps one whose beginning was forgotten.
            return match self.value.rsplit_once('@') {
                _ if self.value.is_empty() => String::new(),
                _ if is_channel && secret(&self.value).is_err() => "…".to_owned(),
                Some((_, host)) if ["url", "proxy", "endpoint"].contains(&self.last()) => {
                    format!("…@{host}")
                }
                _ => self.value.clone(),
            };
        };
        let rest = match rest.rsplit_once('@') {
            Some((_, host)) => format!("…@{host}"),
            None => rest.to_owned(),
        };
        match rest.split_once(['/', '?']) {
            Some((host, more)) if is_channel && !more.is_empty() => format!("{scheme}://{host}/…"),
            _ => format!("{scheme}://{rest}"),
        }
    }

    /// The same for a value that does not do. Where a reference belongs, anything else may be the
    /// secret itself.
    fn shown_wrong(&self) -> String {
        match self.last() {
            "key" | "token" | "headers" if !self.value.is_empty() => "…".to_owned(),
            _ => self.shown(),
        }
    }
}

/// A key of a table with a name of its own: `budget.NAME.usd` becomes `budget.search.usd`.
pub(super) fn keyed(key: &str, name: &str) -> Cow<'static, str> {
    Cow::Owned(key.replacen("NAME", name, 1))
}

/// The names of all `[section.NAME]` tables, each once, in order.
pub(super) fn table_names<'f, N: Iterator<Item = &'f String>>(
    reader: &Reader<'f>,
    section: &str,
    names: impl Fn(&'f File) -> N,
) -> Result<Vec<String>, ConfigError> {
    let mut found = std::collections::BTreeSet::new();
    for layer in reader.layers {
        for name in names(&layer.file) {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) {
                let (key, value) = (Cow::Owned(format!("{section}.{name}")), name.clone());
                let problem = "name it with 1 to 64 lower-case letters, digits or -".to_owned();
                return Err(ConfigError { key, value, source_name: layer.source, problem });
            }
            found.insert(name.clone());
        }
    }
    Ok(found.into_iter().collect())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = "write a time like 10s, 500ms or 15m, above zero";
    let signed = text.parse::<jiff::SignedDuration>().map_err(|_| wrong.to_owned())?;
    let duration = Duration::try_from(signed).map_err(|_| wrong.to_owned())?;
    if duration.is_zero() { Err(wrong.to_owned()) } else { Ok(duration) }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an IP address and a port, like 127.0.0.1:8484".to_owned())
}

pub(super) fn number(range: std::ops::RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> {
    move |text| {
        let value = text.parse::<u64>().ok().filter(|value| range.contains(value));
        value.ok_or_else(|| format!("write a number from {} to {}", range.start(), range.end()))
    }
}

pub(super) fn url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest)
            if !rest.starts_with('/') && !rest.is_empty() && !rest.contains(['?', '#', '@']) =>
        {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => {
            Err("write an URL like https://api.anthropic.com, without user name and query"
                .to_owned())
        }
    }
}

pub(super) fn secret(text: &str) -> Result<SecretRef, String> {
    match text.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Ok(SecretRef::Environment(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(SecretRef::File(PathBuf::from(path))),
        Some(("command", line)) if !line.is_empty() => Ok(SecretRef::Command(line.to_owned())),
        _ => Err("secrets are written by reference: env:NAME, file:PATH or command:PROGRAM".into()),
    }
}

pub(super) fn non_empty(setting: Setting) -> Option<String> {
    Some(setting.value).filter(|value| !value.is_empty())
}

/// Whether a secret may be sent there: TLS, or an address that does not leave the machine.
pub(super) fn is_private(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return true };
    let authority = rest.split('/').next().unwrap_or(rest);
    if authority == "localhost" || authority.starts_with("localhost:") {
        return true;
    }
    let ip = authority.parse::<SocketAddr>().map(|socket| socket.ip());
    ip.or_else(|_| authority.trim_matches(['[', ']']).parse()).is_ok_and(|ip| ip.is_loopback())
}

pub(super) fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
