//! `[audit]` and `[witness.NAME]`: how checkpoints are signed, and who holds them besides.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::file::File;
use super::reader::{ConfigError, Reader, duration, keyed, table_names, url};
use crate::audit::note::{KeyKind, VerifierKey};

/// The most witnesses.
const WITNESSES_MAX: usize = 16;

/// `[audit]` as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditTable {
    heartbeat: Option<String>,
    key_age: Option<String>,
}

/// `[witness.NAME]` as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WitnessTable {
    kind: Option<String>,
    to: Option<String>,
    verifier: Option<String>,
}

/// By name.
pub(super) type Tables = BTreeMap<String, WitnessTable>;

/// How checkpoints are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// Nothing was appended for so long: an entry says so.
    pub heartbeat: Duration,
    /// A key that is older is replaced.
    pub key_age: Duration,
    /// Who holds checkpoints besides, by name.
    pub witnesses: Vec<WitnessConfig>,
    /// Start on a ledger that is older than a checkpoint says. Never from a file: a flag of one
    /// start.
    pub accept_rollback: bool,
}

/// Somebody else who holds checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessConfig {
    /// Its name in the configuration.
    pub name: String,
    /// What it is.
    pub kind: WitnessKind,
}

/// What a witness is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WitnessKind {
    /// A file that is only appended to, best on a disk that takes nothing else (WORM).
    File(PathBuf),
    /// A server that speaks C2SP `tlog-witness`, and the key of its cosignatures.
    Http(String, VerifierKey),
    /// A server that takes each note as a post.
    Webhook(String),
}

/// Reads `[audit]` and every `[witness.NAME]`.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<AuditConfig, ConfigError> {
    let heartbeat =
        reader.parsed("audit.heartbeat", "60s", |f| f.audit.heartbeat.clone(), duration)?;
    let key_age = reader.parsed("audit.key_age", "2160h", |f| f.audit.key_age.clone(), duration)?;
    let names = table_names(reader, "witness", |file| file.witness.keys())?;
    if let Some(name) = names.get(WITNESSES_MAX) {
        let setting = reader.text(keyed("witness.NAME", name), "", |_| None);
        return Err(setting.error(format!("write at most {WITNESSES_MAX} witnesses")));
    }
    let witnesses = names.iter().map(|name| read_one(reader, name)).collect::<Result<_, _>>()?;
    Ok(AuditConfig { heartbeat, key_age, witnesses, accept_rollback: false })
}

fn read_one(reader: &mut Reader<'_>, name: &str) -> Result<WitnessConfig, ConfigError> {
    let get = |field: fn(&WitnessTable) -> Option<String>| {
        move |file: &File| file.witness.get(name).and_then(field)
    };
    let kind = reader.text(keyed("witness.NAME.kind", name), "http", get(|t| t.kind.clone()));
    let to = reader.text(keyed("witness.NAME.to", name), "", get(|t| t.to.clone()));
    let verifier =
        reader.optional(keyed("witness.NAME.verifier", name), get(|t| t.verifier.clone()));
    let address = |text: &str| url(text).map_err(|problem| to.error(problem));
    let kind = match kind.value.as_str() {
        "file" if to.value.is_empty() => return Err(to.error("name the file to append to")),
        "file" => WitnessKind::File(PathBuf::from(&to.value)),
        "webhook" => WitnessKind::Webhook(address(&to.value)?),
        "http" => {
            let address = address(&to.value)?;
            let why = "a witness's key is written name+id+base64, of type 0x04 (cosignature/v1)";
            let Some(verifier) = verifier else {
                let missing = reader.text(keyed("witness.NAME.verifier", name), "", |_| None);
                return Err(missing.error(why));
            };
            let key = VerifierKey::parse(&verifier.value).ok();
            let key = key.filter(|key| key.kind() == KeyKind::Cosignature);
            WitnessKind::Http(address, key.ok_or_else(|| verifier.error(why))?)
        }
        _ => return Err(kind.error("write file, http or webhook")),
    };
    Ok(WitnessConfig { name: name.to_owned(), kind })
}

#[cfg(test)]
mod tests {
    use super::super::file::parse_file;
    use super::super::settings::{Config, Surroundings};
    use super::*;

    fn merge(text: &str) -> Result<AuditConfig, ConfigError> {
        let surroundings =
            Surroundings { state_dir: "state".to_owned(), ..Surroundings::default() };
        Config::merge(&[parse_file("w.toml", text).unwrap()], &surroundings).map(|c| c.audit)
    }

    const KEY: &str = "w.example/1+19b68e1c+BFA3BADHEgdcJmlfx9zRwGkvPDMYoZY0UjdnHiuckQbO";

    #[test]
    fn a_witness_is_a_file_or_an_address() {
        let key = VerifierKey::new("w.example/1", KeyKind::Cosignature, [9; 32]).unwrap();
        let text = format!(
            "[witness.a]\nkind = 'file'\nto = '/mnt/worm/w.notes'\n\
             [witness.b]\nto = 'https://w.example/log/'\nverifier = '{key}'\n\
             [witness.c]\nkind = 'webhook'\nto = 'http://127.0.0.1:9/x'\n"
        );
        let kinds: Vec<_> = merge(&text).unwrap().witnesses.into_iter().map(|w| w.kind).collect();
        assert_eq!(kinds[0], WitnessKind::File("/mnt/worm/w.notes".into()));
        assert_eq!(kinds[1], WitnessKind::Http("https://w.example/log".into(), key));
        assert_eq!(kinds[2], WitnessKind::Webhook("http://127.0.0.1:9/x".into()));
    }

    #[test]
    fn bad_input_names_its_key() {
        let note = VerifierKey::new("w.example/1", KeyKind::Note, [9; 32]).unwrap();
        for (text, key) in [
            ("[witness.a]\nkind = 'file'".to_owned(), "witness.a.to"),
            ("[witness.a]\nto = 'x'".to_owned(), "witness.a.to"),
            ("[witness.a]\nto = 'https://x'".to_owned(), "witness.a.verifier"),
            (format!("[witness.a]\nto = 'https://x'\nverifier = '{KEY}'"), "witness.a.verifier"),
            (format!("[witness.a]\nto = 'https://x'\nverifier = '{note}'"), "witness.a.verifier"),
            ("[witness.a]\nkind = 'fax'\nto = 'x'".to_owned(), "witness.a.kind"),
            ("[audit]\nheartbeat = '0s'".to_owned(), "audit.heartbeat"),
        ] {
            assert_eq!(merge(&text).unwrap_err().key, key, "{text}");
        }
    }
}
