//! The layers merged, typed and checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::audit::{self, AuditConfig};
use super::budget::{self, BudgetConfig};
use super::file::{File, Layer};
use super::log::{self, LogConfig};
use super::notify::{self, ChannelConfig};
use super::otlp::{OtelVariables, OtlpConfig, read_otlp};
use super::policy::{self, PolicyConfig};
use super::reader::{
    ConfigError, Reader, SecretRef, Setting, address, duration, is_private, non_empty, number,
    secret, size, url,
};
use super::redaction::{CaptureConfig, RedactionConfig, read_capture, read_redaction};
use crate::accounting::price_book::{Override, Platform};

/// Everything `serve` needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[upstream]`
    pub upstream: UpstreamConfig,
    /// `[listen]`
    pub listen: ListenConfig,
    /// `[ledger]`
    pub ledger: LedgerConfig,
    /// `[pricing]`
    pub pricing: PricingConfig,
    /// `[otlp]`
    pub otlp: OtlpConfig,
    /// `[log]`
    pub log: LogConfig,
    /// `[capture]`
    pub capture: CaptureConfig,
    /// `[redaction]`
    pub redaction: RedactionConfig,
    /// `[audit]` and `[witness.NAME]`
    pub audit: AuditConfig,
    /// `[budget.NAME]`, by name.
    pub budgets: Vec<BudgetConfig>,
    /// `[notify.NAME]`, by name.
    pub channels: Vec<ChannelConfig>,
    /// `[org]`, `[project.NAME]`, `[team.NAME]`, `[task.NAME]`
    pub policy: PolicyConfig,
    /// Every key with its effective value and source, in the order of the documentation.
    pub settings: Vec<Setting>,
}

/// What the environment gives as defaults; empty where it says nothing.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The default data directory.
    pub state_dir: String,
    /// `HTTPS_PROXY`.
    pub proxy: String,
    /// `NO_PROXY`.
    pub no_proxy: String,
    /// The standard variables of OpenTelemetry.
    pub otel: OtelVariables,
}

/// Where calls go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Scheme, host and an optional path prefix, without a slash at the end.
    pub url: String,
    /// The key that replaces virtual keys.
    pub key: Option<SecretRef>,
    /// To open a connection, name lookup and TLS included.
    pub connect_timeout: Duration,
    /// From the request's last byte to the response's head.
    pub head_timeout: Duration,
    /// Silence between two frames.
    pub idle_timeout: Duration,
    /// An HTTP proxy to go through.
    pub proxy: Option<String>,
    /// Hosts that are reached without it.
    pub no_proxy: Option<String>,
    /// More certificate authorities (PEM) beside the platform's.
    pub ca_file: Option<PathBuf>,
    /// Tokens of OAuth logins belong to subscriptions, which are not billed by the token.
    pub oauth_is_subscription: bool,
    /// Where all models behind this upstream run; `None` leaves it to path and model name.
    pub platform: Option<Platform>,
}

/// Where the sidecar listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenConfig {
    /// Clients' calls.
    pub api: SocketAddr,
    /// The operator's HTTP.
    pub admin: SocketAddr,
    /// Metrics and health for a scraper, on any address.
    pub telemetry: Option<SocketAddr>,
    /// Certificate chain and key (PEM) for the API listener.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Refuse callers whose credential is not mapped.
    pub require_key: bool,
    /// Connections open at the same time.
    pub connections_max: usize,
    /// The largest request body that is collected.
    pub body_bytes_max: usize,
    /// How long running calls may take to finish after SIGTERM.
    pub drain_timeout: Duration,
}

/// What happens when the ledger cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerModeName {
    /// The reserve first, then refuse.
    Closed,
    /// Refuse at once, and wait for the disk on every entry.
    Strict,
    /// Go on without a record and write the gap down.
    Observe,
}

/// What an acknowledged entry survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurabilityName {
    /// `kill -9`; a power cut loses at most the last 250 ms.
    Process,
    /// A power cut.
    Power,
}

/// What is written down, and how surely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// When the ledger cannot be written.
    pub mode: LedgerModeName,
    /// What an acknowledged entry survives.
    pub durability: DurabilityName,
    /// Size at which a segment is sealed.
    pub segment_bytes: u64,
    /// Whole months (UTC) before the current one for which lines are kept; all where absent.
    pub retention_months: Option<u64>,
}

/// Months for which lines may be kept: a month's budget and report are never without their lines,
/// and nor is a batch whose results are fetched late.
const RETENTION_MONTHS: std::ops::RangeInclusive<u64> = 3..=600;

/// What calls cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricingConfig {
    /// Files of prices: at most one whole table, which takes the place of the built-in one, and
    /// any number with overrides only.
    pub files: Vec<PathBuf>,
    /// Negotiated prices.
    pub overrides: Vec<Override>,
}

impl Config {
    /// Merges layers, lowest first, over the defaults.
    ///
    /// # Errors
    ///
    /// The first value that does not do, with its key, its layer and what would do.
    pub fn merge(layers: &[Layer], surroundings: &Surroundings) -> Result<Config, ConfigError> {
        let mut reader = Reader { layers, settings: Vec::new() };
        let Surroundings { state_dir, proxy, no_proxy, otel } = surroundings;
        let upstream = read_upstream(&mut reader, proxy, no_proxy)?;
        let listen = read_listen(&mut reader)?;
        let ledger = read_ledger(&mut reader, state_dir)?;
        let pricing = read_pricing(&mut reader);
        let otlp = read_otlp(&mut reader, otel)?;
        let log = log::read(&mut reader)?;
        let capture = read_capture(&mut reader)?;
        let redaction = read_redaction(&mut reader)?;
        let audit = audit::read(&mut reader)?;
        let channels = notify::read(&mut reader)?;
        let budgets = budget::read(&mut reader, &channels)?;
        let policy = policy::read(&mut reader)?;
        let settings = reader.settings;
        Ok(Config {
            upstream,
            listen,
            ledger,
            pricing,
            otlp,
            log,
            capture,
            redaction,
            audit,
            budgets,
            channels,
            policy,
            settings,
        })
    }
}

fn read_upstream(
    reader: &mut Reader<'_>,
    proxy: &str,
    no_proxy: &str,
) -> Result<UpstreamConfig, ConfigError> {
    let at = reader.text("upstream.url", "https://api.anthropic.com", |f| f.upstream.url.clone());
    let address = url(&at.value).map_err(|problem| at.error(problem))?;
    let key = match reader.optional("upstream.key", |f| f.upstream.key.clone()) {
        None => None,
        Some(setting) => {
            if !is_private(&address) {
                let why = "a key is sent over https:// or to a loopback address only";
                return Err(at.error(why));
            }
            Some(secret(&setting.value).map_err(|problem| setting.error(problem))?)
        }
    };
    let connect = |f: &File| f.upstream.connect_timeout.clone();
    Ok(UpstreamConfig {
        url: address,
        key,
        connect_timeout: reader.parsed("upstream.connect_timeout", "10s", connect, duration)?,
        head_timeout: reader.parsed(
            "upstream.head_timeout",
            "900s",
            |f| f.upstream.head_timeout.clone(),
            duration,
        )?,
        idle_timeout: reader.parsed(
            "upstream.idle_timeout",
            "330s",
            |f| f.upstream.idle_timeout.clone(),
            duration,
        )?,
        proxy: non_empty(reader.text("upstream.proxy", proxy, |f| f.upstream.proxy.clone())),
        no_proxy: non_empty(
            reader.text("upstream.no_proxy", no_proxy, |f| f.upstream.no_proxy.clone()),
        ),
        ca_file: reader
            .optional("upstream.ca_file", |f| f.upstream.ca_file.clone())
            .map(|setting| PathBuf::from(setting.value)),
        oauth_is_subscription: reader.parsed(
            "upstream.oauth_tokens",
            "subscription",
            |f| f.upstream.oauth_tokens.clone(),
            |text| match text {
                "subscription" => Ok(true),
                "billed" => Ok(false),
                _ => Err("write subscription or billed".to_owned()),
            },
        )?,
        platform: reader.parsed(
            "upstream.platform",
            "auto",
            |f| f.upstream.platform.clone(),
            platform,
        )?,
    })
}

fn platform(text: &str) -> Result<Option<Platform>, String> {
    match (text, Platform::named(text)) {
        ("auto", _) => Ok(None),
        (_, Some(platform)) => Ok(Some(platform)),
        _ => Err("write auto, list, bedrock_global, bedrock_regional, bedrock_gov, \
                  vertex_regional or foundry_us_data_zone"
            .to_owned()),
    }
}

fn read_listen(reader: &mut Reader<'_>) -> Result<ListenConfig, ConfigError> {
    let api = reader.parsed("listen.api", "127.0.0.1:8484", |f| f.listen.api.clone(), address)?;
    let admin = |f: &File| f.listen.admin.clone();
    let admin = reader.parsed("listen.admin", "127.0.0.1:8485", admin, |text| {
        let parsed = address(text)?;
        if parsed.ip().is_loopback() {
            Ok(parsed)
        } else {
            Err("the admin listener stays on loopback; use listen.telemetry for scrapers".into())
        }
    })?;
    let telemetry = match reader.optional("listen.telemetry", |f| f.listen.telemetry.clone()) {
        None => None,
        Some(setting) => Some(address(&setting.value).map_err(|p| setting.error(p))?),
    };
    let certificate =
        reader.optional("listen.tls_certificate", |f| f.listen.tls_certificate.clone());
    let key = reader.optional("listen.tls_key", |f| f.listen.tls_key.clone());
    let tls = match (certificate, key) {
        (None, None) => None,
        (Some(chain), Some(key)) => Some((chain.value.into(), key.value.into())),
        (Some(one), None) | (None, Some(one)) => {
            return Err(one.error("set both listen.tls_certificate and listen.tls_key"));
        }
    };
    let text = |value: Option<u64>| value.map(|v| v.to_string());
    Ok(ListenConfig {
        api,
        admin,
        telemetry,
        tls,
        require_key: reader.parsed(
            "listen.require_key",
            "false",
            |f| f.listen.require_key.map(|v| v.to_string()),
            |text| text.parse().map_err(|_| "write true or false".to_owned()),
        )?,
        connections_max: size(reader.parsed(
            "listen.connections_max",
            "4096",
            |f| text(f.listen.connections_max),
            number(1..=1_000_000),
        )?),
        body_bytes_max: size(reader.parsed(
            "listen.body_bytes_max",
            "33554432",
            |f| text(f.listen.body_bytes_max),
            number(1024..=1 << 32),
        )?),
        drain_timeout: reader.parsed(
            "listen.drain_timeout",
            "30s",
            |f| f.listen.drain_timeout.clone(),
            duration,
        )?,
    })
}

fn read_ledger(reader: &mut Reader<'_>, state_dir: &str) -> Result<LedgerConfig, ConfigError> {
    let dir = reader.text("ledger.dir", state_dir, |f| f.ledger.dir.clone());
    if dir.value.is_empty() {
        return Err(dir.error("name a data directory with --data-dir; no home directory is known"));
    }
    let mode = reader.parsed(
        "ledger.mode",
        "closed",
        |f| f.ledger.mode.clone(),
        |text| match text {
            "closed" => Ok(LedgerModeName::Closed),
            "strict" => Ok(LedgerModeName::Strict),
            "observe" => Ok(LedgerModeName::Observe),
            _ => Err("write closed, strict or observe".to_owned()),
        },
    )?;
    let durability = |f: &File| f.ledger.durability.clone();
    let durability =
        reader.parsed("ledger.durability", "process", durability, |text| match text {
            "process" => Ok(DurabilityName::Process),
            "power" => Ok(DurabilityName::Power),
            _ => Err("write process or power".to_owned()),
        })?;
    let segment = |f: &File| f.ledger.segment_bytes.map(|v| v.to_string());
    let segment_bytes =
        reader.parsed("ledger.segment_bytes", "67108864", segment, number(65_536..=1 << 34))?;
    let retention = |f: &File| f.ledger.retention_months.map(|v| v.to_string());
    let retention =
        reader.parsed("ledger.retention_months", "0", retention, |text| match text {
            "0" => Ok(None),
            text => number(RETENTION_MONTHS)(text).map(Some).map_err(|why| format!("{why}, or 0")),
        })?;
    let dir = PathBuf::from(dir.value);
    Ok(LedgerConfig { dir, mode, durability, segment_bytes, retention_months: retention })
}

/// The lists are taken from the same layer as their text.
fn read_pricing(reader: &mut Reader<'_>) -> PricingConfig {
    let files = reader.list(|f| f.pricing.files.clone());
    let overrides = reader.list(|f| f.pricing.overrides.clone());
    reader.text("pricing.files", "", |f| f.pricing.files.as_ref().map(|files| files.join(", ")));
    reader.text("pricing.override", "", |f| {
        let texts = f.pricing.overrides.as_ref()?.iter().map(Override::to_string);
        Some(texts.collect::<Vec<_>>().join("; "))
    });
    PricingConfig { files: files.into_iter().map(PathBuf::from).collect(), overrides }
}

#[cfg(test)]
mod tests {
    use super::super::file::{Source, environment_layer, parse_file};
    use super::*;

    fn merge(layers: &[Layer]) -> Result<Config, ConfigError> {
        let state_dir = "state".to_owned();
        Config::merge(layers, &Surroundings { state_dir, ..Surroundings::default() })
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let config = merge(&[]).unwrap();
        assert_eq!(config.upstream.url, "https://api.anthropic.com");
        assert_eq!(config.listen.api.to_string(), "127.0.0.1:8484");
        assert_eq!(config.upstream.idle_timeout, Duration::from_secs(330));
        assert!(config.settings.iter().all(|setting| setting.source == Source::Default));
    }

    #[test]
    fn higher_layers_win_and_are_named() {
        let file = parse_file("w.toml", "[upstream]\nurl = 'http://127.0.0.1:1/'\n").unwrap();
        let variables = [("WEIGHBRIDGE_UPSTREAM_URL".to_owned(), "http://127.0.0.1:2".to_owned())];
        let environment = environment_layer(variables).unwrap();
        let config = merge(&[file.clone(), environment]).unwrap();
        assert_eq!(config.upstream.url, "http://127.0.0.1:2");
        assert_eq!(config.settings[0].source, Source::Environment);
        assert_eq!(merge(&[file]).unwrap().upstream.url, "http://127.0.0.1:1");
    }

    #[test]
    fn bad_input_names_key_value_and_remedy() {
        let unknown = parse_file("w.toml", "[upstream]\nurll = 'x'\n").unwrap_err().to_string();
        assert!(unknown.contains("w.toml") && unknown.contains("urll"), "{unknown}");
        let variable = [("WEIGHBRIDGE_LISTEN_APPI".to_owned(), "x".to_owned())];
        assert!(environment_layer(variable).unwrap_err().to_string().contains("LISTEN_APPI"));
        for (text, key) in [
            ("[upstream]\nurl = 'ftp://x'", "upstream.url"),
            ("[upstream]\nidle_timeout = '0s'", "upstream.idle_timeout"),
            ("[upstream]\nkey = 'sk-ant-123'", "upstream.key"),
            ("[upstream]\nurl = 'http://api.example'\nkey = 'env:K'", "upstream.url"),
            ("[listen]\nadmin = '0.0.0.0:1'", "listen.admin"),
            ("[listen]\ntls_key = 'k.pem'", "listen.tls_key"),
            ("[ledger]\nmode = 'open'", "ledger.mode"),
            ("[ledger]\nretention_months = 2", "ledger.retention_months"),
            ("[log]\nlevel = 'loud'", "log.level"),
            ("[log]\nformat = 'xml'", "log.format"),
        ] {
            let error = merge(&[parse_file("w.toml", text).unwrap()]).unwrap_err();
            assert_eq!(error.key, key);
        }
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_repeated() {
        for text in [
            "[upstream]\nkey = 'PLANTED'",
            "[upstream]\nurl = 'https://user:PLANTED@api.example/?x'",
            "[otlp]\nendpoint = 'http://user:PLANTED@c.example'",
            "[otlp]\nheaders = 'authorization=PLANTED'",
            "[notify.a]\nurl = 'http://user:PLANTED@hooks.example/'",
            "[notify.a]\nurl = 'hooks.example/PLANTED'",
            "[upstream]\nurl = 'user:PLANTED@api.example'",
            "[notify.a]\nurl = 'https://hooks.example/x'\ntoken = 'PLANTED'",
            "[upstream]\nkkey = 'PLANTED'",
        ] {
            let said = match parse_file("w.toml", text) {
                Ok(layer) => merge(&[layer]).unwrap_err().to_string(),
                Err(error) => error.to_string(),
            };
            assert!(!said.contains("PLANTED"), "{text}: {said}");
        }
        let shown = |text: &str| {
            let config = merge(&[parse_file("w.toml", text).unwrap()]).unwrap();
            format!("{:?}", config.settings)
        };
        let proxy = shown("[upstream]\nproxy = 'http://user:PLANTED@127.0.0.1:1'");
        assert!(!proxy.contains("PLANTED") && proxy.contains("http://…@127.0.0.1:1"), "{proxy}");
        let bare = shown("[upstream]\nproxy = 'user:PLANTED@proxy.example:1'");
        assert!(!bare.contains("PLANTED") && bare.contains("…@proxy.example:1"), "{bare}");
        let hook = shown("[notify.a]\nkind = 'slack'\nurl = 'https://hooks.example/PLANTED'");
        assert!(!hook.contains("PLANTED") && hook.contains("https://hooks.example/…"), "{hook}");
    }
}
