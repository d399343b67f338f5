//! Our own answers, in the API's error shape, so that every client shows them as it shows the
//! API's. Messages say what to do next and never repeat anything from the request.

/// Why the sidecar answers instead of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request is not one the sidecar can relay; the text names the fault.
    BadRequest(&'static str),
    /// HTTP/1.1 without `host`.
    MissingHost,
    /// A method that this path does not have.
    MethodNotAllowed,
    /// The request's body is longer than the configured bound.
    BodyTooLarge {
        /// The bound, in bytes.
        limit: u64,
    },
    /// The request's head is longer than the bound.
    HeadersTooLarge,
    /// A virtual key that no team has.
    UnknownKey,
    /// A virtual key that was taken back.
    RevokedKey,
    /// A credential that is not a virtual key, where the configuration asks for one.
    KeyRequired,
    /// A valid virtual key, and no upstream key to put in its place.
    NoUpstreamKey,
    /// A rule does not allow the call; what is said names it.
    NotAllowed,
    /// A rule's limit is reached; what is said names it.
    LimitReached,
    /// The client sent its request too slowly.
    RequestTimedOut,
    /// Bodies of other requests take all the room there is.
    NoRoom,
    /// The ledger cannot take an entry, so nothing may be sent upstream (R1).
    LedgerUnavailable,
    /// No connection to the upstream.
    UpstreamUnreachable,
    /// The upstream took the request and broke off before its head.
    UpstreamBrokeOff,
    /// The upstream gave no head, or fell silent, within the bound.
    UpstreamTimedOut,
}

/// Seconds to wait before asking again where the ledger cannot write: an operator must act.
const LEDGER_RETRY_AFTER_S: u32 = 5;
/// Seconds to wait before asking again where bodies of others are on their way.
const ROOM_RETRY_AFTER_S: u32 = 1;

impl Refusal {
    /// The name counted in `weighbridge_refusals_total`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::BadRequest(_) => "bad_request",
            Refusal::MissingHost => "missing_host",
            Refusal::MethodNotAllowed => "method_not_allowed",
            Refusal::BodyTooLarge { .. } => "body_too_large",
            Refusal::HeadersTooLarge => "headers_too_large",
            Refusal::UnknownKey => "unknown_key",
            Refusal::RevokedKey => "revoked_key",
            Refusal::KeyRequired => "key_required",
            Refusal::NoUpstreamKey => "no_upstream_key",
            Refusal::NotAllowed => "not_allowed",
            Refusal::LimitReached => "limit_reached",
            Refusal::RequestTimedOut => "request_timed_out",
            Refusal::NoRoom => "no_room",
            Refusal::LedgerUnavailable => "ledger_unavailable",
            Refusal::UpstreamUnreachable => "upstream_unreachable",
            Refusal::UpstreamBrokeOff => "upstream_broke_off",
            Refusal::UpstreamTimedOut => "upstream_timed_out",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Refusal::BadRequest(_) | Refusal::MissingHost => 400,
            Refusal::UnknownKey | Refusal::RevokedKey | Refusal::KeyRequired => 401,
            Refusal::NoUpstreamKey | Refusal::NotAllowed => 403,
            Refusal::LimitReached => 429,
            Refusal::MethodNotAllowed => 405,
            Refusal::RequestTimedOut => 408,
            Refusal::BodyTooLarge { .. } => 413,
            Refusal::HeadersTooLarge => 431,
            Refusal::UpstreamUnreachable | Refusal::UpstreamBrokeOff => 502,
            Refusal::LedgerUnavailable | Refusal::NoRoom => 503,
            Refusal::UpstreamTimedOut => 504,
        }
    }

    /// The error type, one of the API's own names.
    #[must_use]
    pub const fn error_type(self) -> &'static str {
        match self {
            Refusal::BadRequest(_)
            | Refusal::MissingHost
            | Refusal::MethodNotAllowed
            | Refusal::HeadersTooLarge => "invalid_request_error",
            Refusal::BodyTooLarge { .. } => "request_too_large",
            Refusal::UnknownKey | Refusal::RevokedKey | Refusal::KeyRequired => {
                "authentication_error"
            }
            Refusal::NoUpstreamKey | Refusal::NotAllowed => "permission_error",
            Refusal::LimitReached => "rate_limit_error",
            Refusal::RequestTimedOut | Refusal::UpstreamTimedOut => "timeout_error",
            Refusal::NoRoom => "overloaded_error",
            Refusal::LedgerUnavailable
            | Refusal::UpstreamUnreachable
            | Refusal::UpstreamBrokeOff => "api_error",
        }
    }

    /// What happened and what to do next.
    #[must_use]
    pub fn message(self) -> String {
        let fixed = match self {
            Refusal::BadRequest(fault) => {
                return format!("Weighbridge cannot relay this request: {fault}.");
            }
            Refusal::BodyTooLarge { limit } => {
                return format!(
                    "The request body is longer than the {limit} bytes Weighbridge takes. \
                     Shorten the context, or have the operator raise the bound."
                );
            }
            Refusal::MissingHost => "The request has no host header. Send one.",
            Refusal::MethodNotAllowed => "This path does not have this method. Use POST.",
            Refusal::HeadersTooLarge => {
                "The request's headers are longer than Weighbridge takes. Send fewer or shorter \
                 headers."
            }
            Refusal::UnknownKey => {
                "This Weighbridge key is not known. Check it for typing errors, or ask the \
                 operator for a new one."
            }
            Refusal::RevokedKey => {
                "This Weighbridge key was revoked. Ask the operator for a new one."
            }
            Refusal::KeyRequired => {
                "A Weighbridge key (wbk_...) is required here. Ask the operator for one and set it \
                 as the API key."
            }
            Refusal::NoUpstreamKey => {
                "This Weighbridge key is valid, but no upstream key is configured to put in its \
                 place. The operator must set upstream.key."
            }
            Refusal::NotAllowed => "A rule of Weighbridge does not allow this call.",
            Refusal::LimitReached => "A limit that Weighbridge keeps is reached.",
            Refusal::RequestTimedOut => {
                "The request did not arrive in time. Send it again over a faster connection."
            }
            Refusal::NoRoom => {
                "Weighbridge holds as many request bodies as it may. Nothing was sent to the API; \
                 retry."
            }
            Refusal::LedgerUnavailable => {
                "Weighbridge cannot write its ledger, so nothing was sent to the API. The operator \
                 must free disk space or repair the volume; then retry."
            }
            Refusal::UpstreamUnreachable => {
                "Weighbridge cannot reach the API. Retry; the operator can check the upstream \
                 address, DNS and egress."
            }
            Refusal::UpstreamBrokeOff => {
                "The API closed the connection without an answer. It may still bill the request; \
                 retry."
            }
            Refusal::UpstreamTimedOut => {
                "The API did not answer in time. It may still bill the request; retry with care."
            }
        };
        fixed.to_owned()
    }

    /// The body: `{"type":"error","error":{"type":…,"message":…}}`.
    #[must_use]
    pub fn body(self) -> String {
        self.body_saying(&self.message())
    }

    /// The body with a message of its own.
    #[must_use]
    pub fn body_saying(self, message: &str) -> String {
        serde_json::json!({
            "type": "error",
            "error": { "type": self.error_type(), "message": message },
        })
        .to_string()
    }

    /// The value of `x-should-retry`. Without `false`, Claude Code repeats a 401 for over a minute.
    /// `None` leaves it to the client's own rule for the status.
    #[must_use]
    pub const fn should_retry(self) -> Option<bool> {
        match self {
            Refusal::LedgerUnavailable | Refusal::NoRoom => Some(true),
            Refusal::UpstreamUnreachable
            | Refusal::UpstreamBrokeOff
            | Refusal::UpstreamTimedOut
            | Refusal::RequestTimedOut => None,
            _ => Some(false),
        }
    }

    /// The value of `retry-after`, in seconds.
    #[must_use]
    pub const fn retry_after_s(self) -> Option<u32> {
        match self {
            Refusal::LedgerUnavailable => Some(LEDGER_RETRY_AFTER_S),
            Refusal::NoRoom => Some(ROOM_RETRY_AFTER_S),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Refusal; 17] = [
        Refusal::BadRequest("the target is not a path"),
        Refusal::MissingHost,
        Refusal::MethodNotAllowed,
        Refusal::BodyTooLarge { limit: 33_554_432 },
        Refusal::HeadersTooLarge,
        Refusal::UnknownKey,
        Refusal::RevokedKey,
        Refusal::KeyRequired,
        Refusal::NoUpstreamKey,
        Refusal::NotAllowed,
        Refusal::LimitReached,
        Refusal::RequestTimedOut,
        Refusal::NoRoom,
        Refusal::LedgerUnavailable,
        Refusal::UpstreamUnreachable,
        Refusal::UpstreamBrokeOff,
        Refusal::UpstreamTimedOut,
    ];

    #[test]
    fn every_body_has_the_error_shape() {
        for refusal in ALL {
            let body: serde_json::Value = serde_json::from_str(&refusal.body()).unwrap();
            assert_eq!(body["type"], "error");
            assert_eq!(body["error"]["type"], refusal.error_type());
            assert!(body["error"]["message"].as_str().unwrap().ends_with('.'), "{refusal:?}");
            assert!((400..=529).contains(&refusal.status()));
        }
        assert!(Refusal::BodyTooLarge { limit: 33_554_432 }.message().contains("33554432"));
    }

    #[test]
    fn clients_do_not_repeat_what_cannot_succeed() {
        for refusal in ALL {
            if matches!(refusal.status(), 400..=405 | 413 | 431) {
                assert_eq!(refusal.should_retry(), Some(false), "{refusal:?}");
                assert_eq!(refusal.retry_after_s(), None);
            }
        }
        assert_eq!(Refusal::LedgerUnavailable.should_retry(), Some(true));
        assert!(Refusal::LedgerUnavailable.retry_after_s().is_some());
    }
}
