//! `[otlp]`: where traces, metrics and logs go. The standard `OTEL_*` variables are its defaults.

use std::borrow::Cow;
use std::time::Duration;

use super::file::File;
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
    /// `name=value` pairs with commas between, as in `OTEL_EXPORTER_OTLP_HEADERS`, kept elsewhere.
    pub headers: Option<SecretRef>,
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

/// The `OTEL_*` variables.
#[derive(Clone, Debug, Default)]
pub struct OtelVariables(pub Vec<(String, String)>);

impl OtelVariables {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// The base endpoint, unless it is for gRPC, which is not spoken here.
    fn endpoint(&self) -> &str {
        let grpc = self.get("OTEL_EXPORTER_OTLP_PROTOCOL") == Some("grpc");
        let off = self.get("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let endpoint = self.get("OTEL_EXPORTER_OTLP_ENDPOINT").filter(|_| !grpc && !off);
        endpoint.unwrap_or_default()
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

const SIGNALS: [&str; 3] = ["traces", "metrics", "logs"];

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
    let address = |signal: &str| -> Option<String> {
        let base = base.as_ref().filter(|_| signals.iter().any(|wanted| wanted == signal))?;
        let own = format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", signal.to_ascii_uppercase());
        // The base's own variable is a default, so the signal's is one, too.
        let own = variables.get(&own).filter(|_| base == variables.endpoint());
        Some(own.map_or_else(|| format!("{base}/v1/{signal}"), str::to_owned))
    };
    Ok(OtlpConfig {
        traces: address("traces"),
        metrics: address("metrics"),
        logs: address("logs"),
        headers,
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
