//! What is sent: pure, from a notice to JSON.

use serde_json::{Map, Value, json};

use crate::accounting::Money;
use crate::accounting::budget::{NS_PER_SECOND, Threshold, Tier};
use crate::record::{BudgetCrossed, ErrorClassSeen, Notice, Noticed};
use crate::report::period::{instant as time, readable};

/// Version of the `webhook` payload.
const VERSION: u32 = 1;
/// A burn alert that is not sent again ends after this time, in seconds: it is sent every minute.
const BURN_SECONDS: i64 = 5 * 60;
/// What has no end of its own ends after an hour.
const ALERT_SECONDS: i64 = 60 * 60;
/// Decimals of amounts for people.
const DECIMALS: u32 = 2;

/// The id of a notice: the same in every attempt and channel.
#[must_use]
pub fn id(instance: &str, sequence: u64) -> String {
    format!("{instance}-{sequence}")
}

/// JSON of our own; docs/budgets.md lists the fields.
#[must_use]
pub fn webhook(noticed: &Noticed, instance: &str) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    put("version", VERSION.into());
    put("id", id(instance, noticed.sequence).into());
    put("instance", instance.into());
    put("sequence", noticed.sequence.into());
    put("at", time(noticed.at).into());
    put("severity", severity(&noticed.notice).into());
    put("summary", summary(&noticed.notice).into());
    match &noticed.notice {
        Notice::Crossed(crossed) => {
            put("kind", "budget_crossed".into());
            put("budget", crossed.budget.as_str().into());
            put("scope", crossed.scope.as_str().into());
            put("name", crossed.subject().into());
            put("period", crossed.period.as_str().into());
            put("period_start", time(crossed.period_start).into());
            put("period_end", time(crossed.period_end).into());
            put("threshold", crossed.threshold.as_str().into());
            put("limit_usd", crossed.limit_usd.to_string().into());
            put("used_usd", crossed.used_usd.to_string().into());
            put("forecast_usd", crossed.forecast_usd.to_string().into());
            if let Some(rate) = crossed.rate_usd_per_hour {
                put("rate_usd_per_hour", rate.to_string().into());
            }
            if let Some(session) = &crossed.session {
                put("session", session.as_str().into());
            }
            if let Some(usd) = crossed.session_usd {
                put("session_usd", usd.to_string().into());
            }
        }
        Notice::Error(ErrorClassSeen { class, count, team }) => {
            put("kind", "error_class_seen".into());
            put("class", class.as_str().into());
            put("count", (*count).into());
            put("team", team.as_str().into());
        }
        Notice::Rearmed(rearmed) => {
            put("kind", "budget_rearmed".into());
            put("budget", rearmed.budget.as_str().into());
        }
    }
    Value::Object(fields)
}

/// For a Slack incoming webhook: a line for the notification, blocks for the channel.
#[must_use]
pub fn slack(noticed: &Noticed, instance: &str) -> Value {
    let mark = match severity(&noticed.notice) {
        "critical" => ":red_circle:",
        "warning" => ":large_orange_circle:",
        _ => ":large_blue_circle:",
    };
    let (text, title) = (escape(&summary(&noticed.notice)), escape(&title(&noticed.notice)));
    let small = format!("{} · {}", time(noticed.at), id(instance, noticed.sequence));
    json!({
        "text": text,
        "blocks": [
            {"type": "section",
             "text": {"type": "mrkdwn", "text": format!("{mark} *{title}*\n{text}")}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": escape(&small)}]},
        ],
    })
}

/// One alert of Alertmanager's API v2 that holds at `now`.
#[must_use]
pub fn alert(noticed: &Noticed, instance: &str, now: i64) -> Value {
    let after =
        |from: i64, seconds: i64| from.saturating_add(seconds.saturating_mul(NS_PER_SECOND));
    let end = match &noticed.notice {
        Notice::Crossed(crossed) if crossed.is_of_period() => crossed.period_end,
        Notice::Crossed(crossed) if crossed.session.is_none() => {
            after(now, BURN_SECONDS).min(crossed.period_end)
        }
        _ => after(noticed.at, ALERT_SECONDS),
    };
    ending(noticed, instance, end)
}

/// The same alert, over at `now`.
#[must_use]
pub fn resolved(noticed: &Noticed, instance: &str, now: i64) -> Value {
    ending(noticed, instance, now)
}

fn ending(noticed: &Noticed, instance: &str, end: i64) -> Value {
    let mut labels = Map::new();
    let mut put = |name: &str, value: &str| {
        // To Alertmanager an empty label is none.
        if !value.is_empty() {
            labels.insert(name.to_owned(), value.into());
        }
    };
    put("instance", instance);
    put("severity", severity(&noticed.notice));
    match &noticed.notice {
        Notice::Crossed(crossed) => {
            put("alertname", "WeighbridgeBudget");
            put("budget", &crossed.budget);
            put("scope", &crossed.scope);
            put("name", crossed.subject());
            put("period", &crossed.period);
            put("threshold", &crossed.threshold);
            put("session", crossed.session.as_ref().map_or("", |session| session.as_str()));
        }
        Notice::Error(seen) => {
            put("alertname", "WeighbridgeApiErrors");
            put("error_type", seen.class.as_str());
        }
        Notice::Rearmed(_) => {}
    }
    let description = match &noticed.notice {
        Notice::Crossed(crossed) => format!(
            "used {} of {} USD, forecast {} USD; entry {} of {instance}",
            crossed.used_usd, crossed.limit_usd, crossed.forecast_usd, noticed.sequence
        ),
        _ => format!("entry {} of {instance}", noticed.sequence),
    };
    json!({
        "labels": labels,
        "annotations": {"summary": summary(&noticed.notice), "description": description},
        "startsAt": time(noticed.at),
        "endsAt": time(end.max(noticed.at)),
    })
}

/// `critical`, `warning` or `info`.
#[must_use]
pub fn severity(notice: &Notice) -> &'static str {
    match notice {
        Notice::Crossed(crossed) => match crossed.crossed() {
            Some(Threshold::Percent(100..)) => "critical",
            Some(Threshold::Percent(..80)) => "info",
            Some(Threshold::Burn(Tier::Fastest | Tier::Fast)) => "critical",
            _ => "warning",
        },
        Notice::Error(seen) => match seen.class.as_str() {
            "billing_error"
            | "authentication_error"
            | "permission_error"
            | "credit_balance_too_low" => "critical",
            _ => "warning",
        },
        Notice::Rearmed(_) => "info",
    }
}

fn title(notice: &Notice) -> String {
    match notice {
        Notice::Crossed(crossed) => {
            let what = match crossed.crossed() {
                Some(Threshold::Percent(percent)) => format!("{percent} % used"),
                Some(Threshold::Forecast) => "forecast above the limit".to_owned(),
                Some(Threshold::Burn(_)) => "burns too fast".to_owned(),
                Some(Threshold::Session) => "one session spends too much".to_owned(),
                None => crossed.threshold.clone(),
            };
            format!("Budget {}{}: {what}", crossed.budget, whose(crossed))
        }
        Notice::Error(seen) => format!("The API answers {}", seen.class),
        Notice::Rearmed(rearmed) => format!("Budget {}: quiet again", rearmed.budget),
    }
}

/// One sentence.
fn summary(notice: &Notice) -> String {
    let crossed = match notice {
        Notice::Crossed(crossed) => crossed,
        Notice::Error(seen) => {
            let ErrorClassSeen { class, count, team } = seen;
            return format!("The API answers {class} (team {team}, {count} so far).");
        }
        Notice::Rearmed(_) => return title(notice),
    };
    let budget = format!("Budget {}{}", crossed.budget, whose(crossed));
    let (used, limit) = (usd(crossed.used_usd), usd(crossed.limit_usd));
    let forecast = usd(crossed.forecast_usd);
    let end = format!("{} UTC", readable(crossed.period_end));
    let period = &crossed.period;
    match crossed.crossed() {
        Some(Threshold::Forecast) => format!(
            "{budget}: {forecast} expected by {end}, the limit is {limit} a {period}; {used} used."
        ),
        Some(Threshold::Burn(tier)) => {
            let rate = usd(crossed.rate_usd_per_hour.unwrap_or_default());
            let times = match tier {
                Tier::Fastest => "14.4 times",
                Tier::Fast => "6 times",
                Tier::Raised => "3 times",
                Tier::Above => "once",
            };
            let window = tier.windows().0.name();
            format!(
                "{budget}: {rate} an hour over {window}, more than {times} the rate that lasts \
                 until {end}; {used} of {limit} used."
            )
        }
        Some(Threshold::Session) => {
            let session = crossed.session.as_ref().map_or("unknown", |session| session.as_str());
            let spent = usd(crossed.session_usd.unwrap_or_default());
            format!("{budget}: session {session} spent {spent}; {used} of {limit} used.")
        }
        _ => format!("{budget}: {used} of {limit} a {period} used; {forecast} expected by {end}."),
    }
}

fn whose(crossed: &BudgetCrossed) -> String {
    match crossed.subject() {
        "" => String::new(),
        name => format!(" of {} {name}", crossed.scope),
    }
}

fn usd(money: Money) -> String {
    format!("${}", money.display_rounded(DECIMALS))
}

/// What Slack reads as markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
