//! `[otlp]`: where traces, metrics and logs go. The standard `OTEL_*` variables are its defaults.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::file::{File, Source};
use super::reader::{ConfigError, Reader, SecretRef, Setting, duration, is_private, secret, url};

/// Which names the GenAI conventions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Semconv {
    /// Those of the conventions' own repository, which are still in development.
    Latest,
    /// Those of semantic conventions 1.41, the last that held them.
    V141,
    /// Both, for the time of a move.
    Both,
}

impl Semconv {
    /// Whether the newer names are wanted.
    #[must_use]
    pub const fn is_latest(self) -> bool {
        matches!(self, Semconv::Latest | Semconv::Both)
    }

    /// Whether the names of 1.41 are wanted.
    #[must_use]
    pub const fn is_v1_41(self) -> bool {
        matches!(self, Semconv::V141 | Semconv::Both)
    }
}

/// Where telemetry goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfig {
    /// Where spans are posted; absent where none are wanted.
    pub traces: Option<String>,
    /// Where metrics are posted.
    pub metrics: Option<String>,
    /// Where log records are posted.
    pub logs: Option<String>,
    /// `name=value` pairs with commas between, kept elsewhere.
    pub headers: Option<SecretRef>,
    /// Those of `OTEL_EXPORTER_OTLP_HEADERS`, or of the signal's own variable, in the order of
    /// [`SIGNALS`]: where the endpoint is the environment's, too, and the configuration has none.
    pub environment_headers: [Hidden; 3],
    /// Whether posts are compressed.
    pub gzip: bool,
    /// Which attribute and metric names.
    pub semconv: Semconv,
    /// For one post, answer included.
    pub timeout: Duration,
    /// How long spans are gathered into one post.
    pub delay: Duration,
    /// Between two posts of metrics.
    pub metrics_interval: Duration,
}

impl OtlpConfig {
    /// Whether anything is wanted.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.traces.is_some() || self.metrics.is_some() || self.logs.is_some()
    }
}

/// A text that is not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

/// The `OTEL_*` variables. They are meant for every program that exports, so what cannot be used
/// here is left alone and refuses nothing.
#[derive(Clone, Default)]
pub struct OtelVariables(pub Vec<(String, String)>);

/// They may hold secrets.
impl fmt::Debug for OtelVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OtelVariables")
    }
}

impl OtelVariables {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    fn is_off(&self) -> bool {
        self.get("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    /// An address, unless it is for gRPC, which is not spoken here, or none that can be used.
    fn address(&self, variable: &str, protocols: &[&str]) -> Option<&str> {
        let protocol = protocols.iter().find_map(|name| self.get(name));
        let usable = protocol != Some("grpc") && !self.is_off();
        self.get(variable).filter(|value| usable && url(value).is_ok())
    }

    /// The base endpoint.
    fn endpoint(&self) -> &str {
        let protocol = ["OTEL_EXPORTER_OTLP_PROTOCOL"];
        self.address("OTEL_EXPORTER_OTLP_ENDPOINT", &protocol).unwrap_or_default()
    }

    /// The endpoint of one signal, as it is.
    fn endpoint_of(&self, signal: &str) -> Option<&str> {
        let own = |what: &str| format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.to_ascii_uppercase());
        let protocols = [&*own("PROTOCOL"), "OTEL_EXPORTER_OTLP_PROTOCOL"];
        self.address(&own("ENDPOINT"), &protocols)
    }

    /// Whether a signal is asked for over gRPC alone.
    fn is_grpc(&self, signal: &str) -> bool {
        let own = format!("OTEL_EXPORTER_OTLP_{}_PROTOCOL", signal.to_ascii_uppercase());
        self.get(&own) == Some("grpc")
    }

    /// The signals whose exporter is none other than OTLP.
    fn signals(&self) -> String {
        let wanted = |signal: &&str| {
            let variable = format!("OTEL_{}_EXPORTER", signal.to_ascii_uppercase());
            let exporters = self.get(&variable).unwrap_or("otlp");
            exporters.split(',').any(|name| name.trim() == "otlp")
        };
        SIGNALS.into_iter().filter(wanted).collect::<Vec<_>>().join(",")
    }

    fn semconv(&self) -> &'static str {
        let opted = self.get("OTEL_SEMCONV_STABILITY_OPT_IN").unwrap_or_default();
        let has = |name: &str| opted.split(',').any(|word| word.trim() == name);
        // The default is the newest already; `/dup` asks for both, as with other conventions.
        if has("gen_ai_latest_experimental/dup") { "both" } else { "latest" }
    }

    fn milliseconds(&self, name: &str, default: &str) -> String {
        match self.get(name).and_then(|text| text.parse::<u64>().ok()).filter(|ms| *ms > 0) {
            Some(milliseconds) => format!("{milliseconds}ms"),
            None => default.to_owned(),
        }
    }
}

/// The signals, in the order of every list of them here.
pub const SIGNALS: [&str; 3] = ["traces", "metrics", "logs"];

pub(super) fn read_otlp(
    reader: &mut Reader<'_>,
    variables: &OtelVariables,
) -> Result<OtlpConfig, ConfigError> {
    let endpoint =
        reader.optional_or("otlp.endpoint", variables.endpoint(), |f| f.otlp.endpoint.clone());
    let base = match &endpoint {
        None => None,
        Some(setting) => Some(url(&setting.value).map_err(|problem| setting.error(problem))?),
    };
    let signals = read_signals(reader, variables)?;
    let headers = read_headers(reader, endpoint.as_ref(), base.as_deref())?;
    let semconv = reader.parsed(
        "otlp.semconv",
        variables.semconv(),
        |f| f.otlp.semconv.clone(),
        |text| match text {
            "latest" => Ok(Semconv::Latest),
            "v1_41" => Ok(Semconv::V141),
            "both" => Ok(Semconv::Both),
            _ => Err("write latest, v1_41 or both".to_owned()),
        },
    )?;
    let timeout = variables.milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT", "10s");
    let delay = variables.milliseconds("OTEL_BSP_SCHEDULE_DELAY", "1s");
    let interval = variables.milliseconds("OTEL_METRIC_EXPORT_INTERVAL", "60s");
    let by_environment = endpoint.as_ref().is_none_or(|e| e.source == Source::Default);
    let address = |signal: &str| -> Option<String> {
        if !signals.iter().any(|wanted| wanted == signal) {
            return None;
        }
        let base = base.as_ref().map(|base| format!("{base}/v1/{signal}"));
        if !by_environment {
            return base;
        }
        let own = variables.endpoint_of(signal).map(str::to_owned);
        own.or(base.filter(|_| !variables.is_grpc(signal)))
    };
    let environment_headers = SIGNALS.map(|signal| {
        let own = format!("OTEL_EXPORTER_OTLP_{}_HEADERS", signal.to_ascii_uppercase());
        let inherited = variables.get(&own).or_else(|| variables.get("OTEL_EXPORTER_OTLP_HEADERS"));
        let inherited = inherited.filter(|_| by_environment && headers.is_none());
        Hidden(inherited.unwrap_or_default().to_owned())
    });
    let compression = variables.get("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION");
    let compression = compression.or_else(|| variables.get("OTEL_EXPORTER_OTLP_COMPRESSION"));
    Ok(OtlpConfig {
        traces: address("traces"),
        metrics: address("metrics"),
        logs: address("logs"),
        headers,
        environment_headers,
        gzip: compression == Some("gzip"),
        semconv,
        timeout: reader.parsed("otlp.timeout", &timeout, |f| f.otlp.timeout.clone(), duration)?,
        delay: reader.parsed("otlp.delay", &delay, |f| f.otlp.delay.clone(), duration)?,
        metrics_interval: reader.parsed(
            "otlp.metrics_interval",
            &interval,
            |f| f.otlp.metrics_interval.clone(),
            duration,
        )?,
    })
}

fn read_signals(
    reader: &mut Reader<'_>,
    variables: &OtelVariables,
) -> Result<Vec<String>, ConfigError> {
    let written = |f: &File| f.otlp.signals.as_ref().map(|signals| signals.join(","));
    reader.parsed("otlp.signals", &variables.signals(), written, |text| {
        let signals = text.split(',').map(str::trim).filter(|signal| !signal.is_empty());
        let signals: Vec<String> = signals.map(str::to_owned).collect();
        match signals.iter().find(|signal| !SIGNALS.contains(&signal.as_str())) {
            None => Ok(signals),
            Some(_) => Err("write any of traces, metrics and logs".to_owned()),
        }
    })
}

fn read_headers(
    reader: &mut Reader<'_>,
    endpoint: Option<&Setting>,
    base: Option<&str>,
) -> Result<Option<SecretRef>, ConfigError> {
    let Some(setting) = reader.optional("otlp.headers", |f| f.otlp.headers.clone()) else {
        return Ok(None);
    };
    let reference = secret(&setting.value).map_err(|problem| setting.error(problem))?;
    match (endpoint, base) {
        (Some(endpoint), Some(base)) if !is_private(base) => {
            Err(endpoint.error("headers are sent over https:// or to a loopback address only"))
        }
        _ => Ok(Some(reference)),
    }
}

impl Reader<'_> {
    /// A text that may be absent, with a default.
    pub(super) fn optional_or(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        default: &str,
        get: impl Fn(&File) -> Option<String>,
    ) -> Option<Setting> {
        Some(self.text(key, default, get)).filter(|setting| !setting.value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::{Layer, parse_file};
    use super::super::settings::{Config, Surroundings};
    use super::*;

    fn otlp(file: &str, variables: &[(&str, &str)]) -> Result<OtlpConfig, ConfigError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let layers: Vec<Layer> = vec![parse_file("w.toml", file).unwrap()];
        let surroundings = Surroundings {
            state_dir: "state".to_owned(),
            otel: OtelVariables(variables.iter().map(owned).collect()),
            ..Surroundings::default()
        };
        Ok(Config::merge(&layers, &surroundings)?.otlp)
    }

    #[test]
    fn nothing_is_exported_unless_asked_for() {
        assert!(!otlp("", &[]).unwrap().is_on());
        let grpc = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ];
        assert!(!otlp("", &grpc).unwrap().is_on());
    }

    #[test]
    fn the_standard_variables_are_defaults() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://127.0.0.1:3100/otlp/v1/logs"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_BSP_SCHEDULE_DELAY", "250"),
        ];
        let one = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/spans")];
        let config = otlp("", &one).unwrap();
        assert_eq!(config.traces.as_deref(), Some("http://127.0.0.1:4318/spans"));
        assert_eq!((config.metrics, config.logs), (None, None));
        for unusable in ["127.0.0.1:4318", "http://user:secret@127.0.0.1:4318"] {
            let config = otlp("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", unusable)]).unwrap();
            assert!(!config.is_on(), "{unusable}");
        }
        let config = otlp("", &variables).unwrap();
        assert_eq!(config.traces.as_deref(), Some("http://127.0.0.1:4318/v1/traces"));
        assert_eq!(config.logs.as_deref(), Some("http://127.0.0.1:3100/otlp/v1/logs"));
        assert_eq!((config.metrics, config.delay), (None, Duration::from_millis(250)));
        let file = "[otlp]\nendpoint = 'http://127.0.0.1:9/x/'\nsignals = ['traces']\n";
        let config = otlp(file, &variables).unwrap();
        assert_eq!(config.traces.as_deref(), Some("http://127.0.0.1:9/x/v1/traces"));
        assert_eq!(config.logs, None);
    }

    #[test]
    fn bad_values_say_what_would_do() {
        for (file, key) in [
            ("[otlp]\nendpoint = 'collector:4318'", "otlp.endpoint"),
            ("[otlp]\nsignals = ['spans']", "otlp.signals"),
            ("[otlp]\nsemconv = '1.41'", "otlp.semconv"),
            ("[otlp]\nheaders = 'authorization=x'", "otlp.headers"),
            ("[otlp]\nendpoint='http://c.example'\nheaders = 'env:H'", "otlp.endpoint"),
        ] {
            assert_eq!(otlp(file, &[]).unwrap_err().key, key);
        }
    }
}
