//! Posts to the hook intake, as Claude Code makes them.

use std::net::SocketAddr;

use super::client::{self, Request, Response};
use super::sidecar::Sidecar;

/// Where the sidecar takes them.
pub fn admin(sidecar: &Sidecar) -> SocketAddr {
    let url = sidecar.ready["admin"].as_str().unwrap();
    url.trim_start_matches("http://").parse().unwrap()
}

/// A post as Claude Code makes it.
pub fn post(sidecar: &Sidecar, body: &[u8]) -> Request {
    let token = sidecar.ready["hook_token"].as_str().unwrap();
    Request::new("POST", "/hooks")
        .header("Accept", "application/json, text/plain, */*")
        .header("Content-Type", "application/json")
        .header("Authorization", &format!("Bearer {token}"))
        .without("User-Agent")
        .header("User-Agent", "axios/1.15.2")
        .body(body)
}

pub async fn send(sidecar: &Sidecar, request: &Request) -> Response {
    client::call(admin(sidecar), request).await
}
