//! Who pays: from a credential to a cost centre. Total: there is always an answer.
//!
//! Team, user and project come from the credential alone. Headers and bodies can say anything,
//! so what they say is an asserted tag and never gets here.

use std::collections::HashMap;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// What a virtual key starts with.
pub const VIRTUAL_KEY_PREFIX: &str = "wbk_";
/// The team of a caller nobody has mapped.
pub const UNATTRIBUTED: &str = "unattributed";

/// Who pays for an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostCentre {
    /// The team; [`UNATTRIBUTED`] where none is known.
    pub team: String,
    /// The user, where the key belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The project, where the key belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

impl CostCentre {
    /// The cost centre of callers nobody has mapped.
    #[must_use]
    pub fn unattributed() -> CostCentre {
        CostCentre { team: UNATTRIBUTED.to_owned(), user: None, project: None }
    }
}

/// The SHA-256 of a credential. The credential itself is never kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialHash([u8; 32]);

impl CredentialHash {
    /// Hashes a credential as it was sent.
    #[must_use]
    pub fn of(credential: &[u8]) -> CredentialHash {
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, credential).as_ref());
        CredentialHash(out)
    }

    /// From 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<CredentialHash> {
        crate::audit::merkle::Hash::from_hex(text).map(|hash| CredentialHash(*hash.as_bytes()))
    }

    /// 64 hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        crate::audit::merkle::Hash::new(self.0).to_string()
    }

    /// The name of a credential in entries, reports and `keys map`: the hash's first 16 digits.
    /// Credentials are random and long, so the hash cannot be turned back.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0.iter().take(8).fold(String::with_capacity(16), |mut text, byte| {
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(u32::from(digit), 16));
            }
            text
        })
    }

    /// Where the hash stands in the map. It is a part of a hash of a secret, so a lookup by it
    /// tells an attacker nothing about the secret; the rest is compared in constant time.
    fn slot(&self) -> u64 {
        self.0.iter().take(8).fold(0, |slot, byte| slot << 8 | u64::from(*byte))
    }
}

/// A virtual key: what is stored of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualKey {
    /// SHA-256 of the whole key.
    pub hash: CredentialHash,
    /// Who pays.
    pub centre: CostCentre,
    /// No longer valid.
    pub revoked: bool,
}

/// Who a caller is found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payer {
    /// A valid virtual key: it is replaced by the upstream's own key.
    Virtual(CostCentre),
    /// Any other credential, or none: passed through.
    Direct(CostCentre),
    /// A credential nobody has mapped: passed through unless a key is required.
    Unknown,
    /// A virtual key that never existed here.
    InvalidKey,
    /// A virtual key that was taken back, and who had it.
    RevokedKey(CostCentre),
}

/// The rules from credential to cost centre.
#[derive(Clone, Debug, Default)]
pub struct Attribution {
    virtual_keys: HashMap<u64, VirtualKey>,
    fingerprints: HashMap<String, CostCentre>,
}

impl Attribution {
    /// From all virtual keys and all mapped fingerprints.
    #[must_use]
    pub fn new(
        keys: impl IntoIterator<Item = VirtualKey>,
        fingerprints: impl IntoIterator<Item = (String, CostCentre)>,
    ) -> Attribution {
        Attribution {
            virtual_keys: keys.into_iter().map(|key| (key.hash.slot(), key)).collect(),
            fingerprints: fingerprints.into_iter().collect(),
        }
    }

    /// Who pays for a call with this credential.
    #[must_use]
    pub fn resolve(&self, credential: &[u8], hash: &CredentialHash) -> Payer {
        if !credential.starts_with(VIRTUAL_KEY_PREFIX.as_bytes()) {
            return match self.fingerprints.get(&hash.fingerprint()) {
                Some(centre) => Payer::Direct(centre.clone()),
                None => Payer::Unknown,
            };
        }
        match self.virtual_keys.get(&hash.slot()) {
            Some(key) if verify_slices_are_equal(&key.hash.0, &hash.0).is_ok() => {
                if key.revoked {
                    Payer::RevokedKey(key.centre.clone())
                } else {
                    Payer::Virtual(key.centre.clone())
                }
            }
            _ => Payer::InvalidKey,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn centre(team: &str) -> CostCentre {
        CostCentre { team: team.to_owned(), user: None, project: None }
    }

    fn resolve(attribution: &Attribution, credential: &[u8]) -> Payer {
        attribution.resolve(credential, &CredentialHash::of(credential))
    }

    #[test]
    fn virtual_keys_and_fingerprints_name_the_payer() {
        let live = VirtualKey {
            hash: CredentialHash::of(b"wbk_live"),
            centre: centre("cardiology"),
            revoked: false,
        };
        let gone =
            VirtualKey { hash: CredentialHash::of(b"wbk_gone"), revoked: true, ..live.clone() };
        let mapped = (CredentialHash::of(b"sk-ant-1").fingerprint(), centre("radiology"));
        let attribution = Attribution::new([live, gone], [mapped]);
        assert_eq!(resolve(&attribution, b"wbk_live"), Payer::Virtual(centre("cardiology")));
        assert_eq!(resolve(&attribution, b"wbk_gone"), Payer::RevokedKey(centre("cardiology")));
        assert_eq!(resolve(&attribution, b"wbk_liv"), Payer::InvalidKey);
        assert_eq!(resolve(&attribution, b"sk-ant-1"), Payer::Direct(centre("radiology")));
        assert_eq!(resolve(&attribution, b"sk-ant-2"), Payer::Unknown);
    }
}
