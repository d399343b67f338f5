//! `[budget.NAME]`: limits on spend, and who is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::file::File;
use super::notify::ChannelConfig;
use super::reader::{ConfigError, Reader, Setting, keyed, table_names};
use crate::accounting::Money;
use crate::accounting::budget::{Budget, Period, Scope, zone};

/// The most percent that a threshold can be.
const PERCENT_MAX: u16 = 1000;
/// The most thresholds of one budget.
const PERCENTS_MAX: usize = 16;

/// As it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetTable {
    scope: Option<String>,
    name: Option<String>,
    period: Option<String>,
    timezone: Option<String>,
    usd: Option<String>,
    thresholds: Option<Vec<u64>>,
    forecast: Option<bool>,
    burn: Option<bool>,
    burn_floor_usd_per_hour: Option<String>,
    session_usd: Option<String>,
    notify: Option<Vec<String>>,
}

/// By name.
pub(super) type Tables = BTreeMap<String, BudgetTable>;

/// A budget, and the channels that hear of its crossings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetConfig {
    /// What is watched.
    pub budget: Arc<Budget>,
    /// Names of `[notify.NAME]` tables.
    pub notify: Vec<String>,
}

/// Reads every `[budget.NAME]`.
pub(super) fn read(
    reader: &mut Reader<'_>,
    channels: &[ChannelConfig],
) -> Result<Vec<BudgetConfig>, ConfigError> {
    let names = table_names(reader, "budget", |file| file.budget.keys())?;
    names.iter().map(|name| read_one(reader, name, channels)).collect()
}

fn read_one(
    reader: &mut Reader<'_>,
    name: &str,
    channels: &[ChannelConfig],
) -> Result<BudgetConfig, ConfigError> {
    let get = |field: fn(&BudgetTable) -> Option<String>| {
        move |file: &File| file.budget.get(name).and_then(field)
    };
    let key = |key: &'static str| keyed(key, name);
    let scope = get(|table| table.scope.clone());
    let scope = reader.parsed(key("budget.NAME.scope"), "total", scope, |text| {
        Scope::named(text).ok_or("write total, team, project, user or model".to_owned())
    })?;
    let subject = reader.optional(key("budget.NAME.name"), get(|table| table.name.clone()));
    if let Some(subject) = &subject {
        if scope == Scope::Total {
            let why = "a budget of scope total has no name; leave it out, or set a scope";
            return Err(subject.error(why));
        }
        if !is_subject(&subject.value) {
            return Err(subject.error("write 1 to 128 letters, digits or . _ : / @ -"));
        }
    }
    let period = get(|table| table.period.clone());
    let period = reader.parsed(key("budget.NAME.period"), "month", period, |text| {
        Period::named(text).ok_or("write day, week or month".to_owned())
    })?;
    let at = get(|table| table.timezone.clone());
    let zone = reader.parsed(key("budget.NAME.timezone"), "UTC", at, |text| {
        zone(text).ok_or("write a time zone like UTC, Europe/Berlin or America/New_York".to_owned())
    })?;
    let limit = reader.parsed(key("budget.NAME.usd"), "", get(|t| t.usd.clone()), |text| {
        amount(text).filter(|usd| *usd > Money::ZERO).ok_or(WANTED.to_owned())
    })?;
    let percents = get(|table| table.thresholds.as_ref().map(|list| join(list)));
    let percents =
        reader.parsed(key("budget.NAME.thresholds"), "50, 80, 95, 100", percents, percents_of)?;
    let forecast = get(|table| table.forecast.map(|value| value.to_string()));
    let forecast = reader.parsed(key("budget.NAME.forecast"), "true", forecast, truth)?;
    let burn = get(|table| table.burn.map(|value| value.to_string()));
    let burn = reader.parsed(key("budget.NAME.burn"), "true", burn, truth)?;
    let floor = get(|table| table.burn_floor_usd_per_hour.clone());
    let burn_floor =
        reader.parsed(key("budget.NAME.burn_floor_usd_per_hour"), "1", floor, |text| {
            amount(text).ok_or("write dollars an hour like \"0.5\"; 0 for none".to_owned())
        })?;
    let session = get(|table| table.session_usd.clone());
    let session_limit = match reader.optional(key("budget.NAME.session_usd"), session) {
        None => None,
        Some(setting) => match amount(&setting.value).filter(|usd| *usd > Money::ZERO) {
            Some(usd) => Some(usd),
            None => return Err(setting.error(WANTED)),
        },
    };
    let told = get(|table| table.notify.as_ref().map(|list| list.join(", ")));
    let notify = known(&reader.text(key("budget.NAME.notify"), "", told), channels)?;
    let (name, subject) = (name.to_owned(), subject.map(|setting| setting.value));
    let budget = Budget {
        name,
        scope,
        subject,
        period,
        zone,
        limit,
        percents,
        forecast,
        burn,
        burn_floor,
        session_limit,
    };
    Ok(BudgetConfig { budget: Arc::new(budget), notify })
}

/// The channels that a setting names.
fn known(told: &Setting, channels: &[ChannelConfig]) -> Result<Vec<String>, ConfigError> {
    let names = names_in(&told.value);
    let unknown = names.iter().find(|wanted| !channels.iter().any(|one| one.name == **wanted));
    match unknown {
        None => Ok(names),
        Some(name) => Err(told.error(format!("there is no channel {name}; add [notify.{name}]"))),
    }
}

/// What an amount looks like.
const WANTED: &str = "write dollars above zero as a text, like \"500\" or \"12.50\"";

/// Not negative.
pub(super) fn amount(text: &str) -> Option<Money> {
    text.parse().ok().filter(|usd| *usd >= Money::ZERO)
}

fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "write true or false".to_owned())
}

fn join(list: &[u64]) -> String {
    list.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

fn names_in(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn percents_of(text: &str) -> Result<Vec<u16>, String> {
    let wrong = || format!("write at most {PERCENTS_MAX} percents from 1 to {PERCENT_MAX}");
    let read = |text: &String| text.parse().ok().filter(|one| (1..=PERCENT_MAX).contains(one));
    let percents: Option<Vec<u16>> = names_in(text).iter().map(read).collect();
    let mut percents = percents.filter(|list| list.len() <= PERCENTS_MAX).ok_or_else(wrong)?;
    percents.sort_unstable();
    percents.dedup();
    Ok(percents)
}

/// What teams, users, projects and models are called.
pub(super) fn is_subject(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::super::file::parse_file;
    use super::super::settings::{Config, Surroundings};
    use super::*;

    fn merge(text: &str) -> Result<Config, ConfigError> {
        let surroundings =
            Surroundings { state_dir: "state".to_owned(), ..Surroundings::default() };
        Config::merge(&[parse_file("w.toml", text).unwrap()], &surroundings)
    }

    #[test]
    fn what_is_left_out_has_the_documented_default() {
        let config = merge("[budget.all]\nusd = '500'\n").unwrap();
        let [one] = &config.budgets[..] else { panic!("one budget") };
        let budget = &one.budget;
        assert_eq!((budget.scope, budget.period), (Scope::Total, Period::Month));
        assert_eq!(budget.percents, [50, 80, 95, 100]);
        assert!(budget.forecast && budget.burn && budget.session_limit.is_none());
        let shown = |key: &str| config.settings.iter().find(|s| s.key == key).unwrap();
        assert_eq!(shown("budget.all.usd").value, "500");
        assert_eq!(shown("budget.all.timezone").value, "UTC");
        assert!(merge("").unwrap().budgets.is_empty());
    }

    #[test]
    fn bad_input_names_key_and_remedy() {
        for (text, key, remedy) in [
            ("[budget.a]", "budget.a.usd", "dollars above zero"),
            ("[budget.a]\nusd='0'", "budget.a.usd", "dollars above zero"),
            ("[budget.a]\nusd='1'\nnotify=['x']", "budget.a.notify", "add [notify.x]"),
            ("[budget.a]\nusd='1'\nname='x'", "budget.a.name", "has no name"),
            ("[budget.a]\nusd='1'\nscope='team'\nname='x y'", "budget.a.name", "letters"),
            ("[budget.a]\nusd='1'\nscope='key'", "budget.a.scope", "write total, team"),
            ("[budget.a]\nusd='1'\ntimezone='Mars'", "budget.a.timezone", "Europe/Berlin"),
            ("[budget.a]\nusd='1'\nthresholds=[0]", "budget.a.thresholds", "from 1 to 1000"),
            ("[budget.A_b]\nusd='1'", "budget.A_b", "lower-case"),
        ] {
            let error = merge(text).unwrap_err();
            assert_eq!(error.key, key, "{text}");
            assert!(error.to_string().contains(remedy), "{error}");
        }
        let unknown = parse_file("w.toml", "[budget.a]\nusdd = '1'\n").unwrap_err().to_string();
        assert!(unknown.contains("line 2") && unknown.contains("usdd"), "{unknown}");
    }
}
