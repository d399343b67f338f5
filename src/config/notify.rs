//! `[notify.NAME]`: where budgets' crossings and classes of errors are told.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::file::File;
use super::reader::{
    ConfigError, Reader, SecretRef, Setting, is_private, keyed, secret, table_names,
};

/// The most error classes that one channel watches.
const CLASSES_MAX: usize = 32;

/// As it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyTable {
    kind: Option<String>,
    url: Option<String>,
    token: Option<String>,
    errors: Option<Vec<String>>,
}

/// By name.
pub(super) type Tables = BTreeMap<String, NotifyTable>;

/// What the other side understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// JSON of our own.
    Webhook,
    /// A Slack incoming webhook, and what takes the same.
    Slack,
    /// Alertmanager's API v2.
    Alertmanager,
}

/// Where a channel's address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelUrl {
    /// Here.
    Plain(String),
    /// It holds a secret and is kept elsewhere.
    Kept(SecretRef),
}

/// Where to tell something, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelConfig {
    /// Its name in the configuration.
    pub name: String,
    /// What the other side understands.
    pub kind: ChannelKind,
    /// Its address.
    pub url: ChannelUrl,
    /// A bearer token.
    pub token: Option<SecretRef>,
    /// The API's error types whose first occurrence is told.
    pub errors: Vec<String>,
}

/// Reads every `[notify.NAME]`.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Vec<ChannelConfig>, ConfigError> {
    let names = table_names(reader, "notify", |file| file.notify.keys())?;
    names.iter().map(|name| read_one(reader, name)).collect()
}

fn read_one(reader: &mut Reader<'_>, name: &str) -> Result<ChannelConfig, ConfigError> {
    let get = |field: fn(&NotifyTable) -> Option<String>| {
        move |file: &File| file.notify.get(name).and_then(field)
    };
    let key = |key: &'static str| keyed(key, name);
    let kind = get(|table| table.kind.clone());
    let kind = reader.parsed(key("notify.NAME.kind"), "webhook", kind, |text| match text {
        "webhook" => Ok(ChannelKind::Webhook),
        "slack" => Ok(ChannelKind::Slack),
        "alertmanager" => Ok(ChannelKind::Alertmanager),
        _ => Err("write webhook, slack or alertmanager".to_owned()),
    })?;
    let at = reader.text(key("notify.NAME.url"), "", get(|table| table.url.clone()));
    let url = address(&at)?;
    let token = match reader.optional(key("notify.NAME.token"), get(|table| table.token.clone())) {
        None => None,
        Some(setting) => {
            if matches!(&url, ChannelUrl::Plain(url) if !is_private(url)) {
                let why = "a token is sent over https:// or to a loopback address only";
                return Err(at.error(why));
            }
            Some(secret(&setting.value).map_err(|problem| setting.error(problem))?)
        }
    };
    let errors = get(|table| table.errors.as_ref().map(|list| list.join(", ")));
    let errors = reader.parsed(key("notify.NAME.errors"), "", errors, classes)?;
    Ok(ChannelConfig { name: name.to_owned(), kind, url, token, errors })
}

/// An address, or where one is kept. An Alertmanager's is where it listens.
fn address(setting: &Setting) -> Result<ChannelUrl, ConfigError> {
    let text = setting.value.as_str();
    let Some((_, rest)) = text.split_once("://") else {
        let kept = secret(text).map(ChannelUrl::Kept);
        return kept.map_err(|_| {
            let why = "write an URL like http://127.0.0.1:9093, or where one with a secret in it \
                       is kept: env:NAME, file:PATH or command:PROGRAM";
            setting.error(why)
        });
    };
    check_url(text, rest).map_err(|problem| setting.error(problem))?;
    Ok(ChannelUrl::Plain(text.trim_end_matches('/').to_owned()))
}

fn check_url(text: &str, rest: &str) -> Result<(), String> {
    let known = text.starts_with("https://") || text.starts_with("http://");
    if !known || rest.is_empty() || rest.starts_with('/') || rest.contains(['#', '@', ' ']) {
        return Err("write an URL like https://hooks.example/weighbridge".to_owned());
    }
    Ok(())
}

/// Checks an address that was kept elsewhere; what is wrong is said without showing it.
///
/// # Errors
///
/// It is none, or a token would go to it in the clear.
pub fn check_kept_url(text: &str, with_token: bool) -> Result<(), String> {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    check_url(text, rest).map_err(|_| "it holds no URL".to_owned())?;
    if with_token && !is_private(text) {
        return Err("a token is sent over https:// or to a loopback address only".to_owned());
    }
    Ok(())
}

fn classes(text: &str) -> Result<Vec<String>, String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let mut classes: Vec<String> = names.map(str::to_owned).collect();
    classes.sort_unstable();
    classes.dedup();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let known = |class: &String| class.len() <= 64 && class.bytes().all(plain);
    if classes.len() > CLASSES_MAX || !classes.iter().all(known) {
        return Err(format!("write at most {CLASSES_MAX} error types like overloaded_error"));
    }
    Ok(classes)
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
    fn an_address_is_written_or_kept_elsewhere() {
        let channel = |text: &str| merge(text).unwrap().channels.remove(0);
        let one = channel("[notify.ops]\nurl = 'http://127.0.0.1:9093/'\nkind = 'alertmanager'");
        assert_eq!(one.url, ChannelUrl::Plain("http://127.0.0.1:9093".into()));
        assert_eq!((one.kind, one.errors.len()), (ChannelKind::Alertmanager, 0));
        let one = channel("[notify.chat]\nurl = 'env:HOOK'\nkind = 'slack'\nerrors = ['b', 'a']");
        assert_eq!(one.url, ChannelUrl::Kept(SecretRef::Environment("HOOK".into())));
        assert_eq!(one.errors, ["a", "b"]);
        assert!(check_kept_url("https://hooks.example/T0/B0", true).is_ok());
        let wrong = check_kept_url("hunter2", false).unwrap_err();
        assert!(!wrong.contains("hunter2"));
        assert!(check_kept_url("http://hooks.example/", true).is_err());
    }

    #[test]
    fn bad_input_names_key_and_remedy() {
        for (text, key) in [
            ("[notify.a]", "notify.a.url"),
            ("[notify.a]\nurl = 'ftp://x'", "notify.a.url"),
            ("[notify.a]\nurl = 'https://u:p@x'", "notify.a.url"),
            ("[notify.a]\nurl = 'http://x'\ntoken = 'env:T'", "notify.a.url"),
            ("[notify.a]\nurl = 'https://x'\ntoken = 'T'", "notify.a.token"),
            ("[notify.a]\nurl = 'https://x'\nkind = 'pager'", "notify.a.kind"),
            ("[notify.a]\nurl = 'https://x'\nerrors = ['No!']", "notify.a.errors"),
            ("[notify.'a b']\nurl = 'https://x'", "notify.a b"),
        ] {
            assert_eq!(merge(text).unwrap_err().key, key, "{text}");
        }
    }
}
