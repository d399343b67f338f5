//! What a call costs and who pays for it, seen from outside: logins, batches, clouds, prices that
//! change, and spend that is moved.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod batches;
mod clouds;
mod logins;
mod reload;

use serde_json::Value;
use support::api::Fake;
use support::client::{Request, Response};
use support::sidecar::{Options, Sidecar, Site};

/// A sidecar in front of a fake API.
struct Rig {
    site: Site,
    fake: Fake,
    sidecar: Sidecar,
}

impl Rig {
    async fn new() -> Rig {
        Rig::with(Site::new(), "").await
    }

    async fn with(site: Site, config: &str) -> Rig {
        let fake = Fake::start("burst").await;
        let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(config));
        Rig { site, fake, sidecar }
    }

    /// A call, and everything that is known of it.
    async fn call(&self, request: &Request) -> (Response, Value) {
        let response = self.sidecar.call(request).await;
        let detail = self.site.ok(&["exchanges", &response.exchange(), "--format", "jsonl"]);
        (response, serde_json::from_str(&detail).unwrap())
    }
}
