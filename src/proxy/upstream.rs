//! The API side: where calls go, and what replaces a virtual key on the way.

use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Request, Response, Uri, Version};
use hyper_util::client::legacy::Error;

use super::body::RequestBody;
use crate::accounting::price_book::Platform;
use crate::config::UpstreamConfig;
use crate::outbound::{self, Client, OutboundError, Route};

/// The API side.
pub struct Upstream {
    client: Client<RequestBody>,
    scheme: Scheme,
    authority: Authority,
    /// A path in front of every request's own, mostly empty.
    prefix: String,
    /// What replaces a virtual key.
    key: Option<HeaderValue>,
    /// From the request's last byte to the head.
    pub head_timeout: Duration,
    /// Silence between two frames.
    pub idle_timeout: Duration,
    /// Tokens of OAuth logins belong to subscriptions.
    pub oauth_is_subscription: bool,
    /// Where all models run, where the configuration says it.
    pub platform: Option<Platform>,
}

impl Upstream {
    /// Sets the client up.
    ///
    /// # Errors
    ///
    /// An address that is none, or certificate authorities that cannot be loaded.
    pub fn new(
        config: &UpstreamConfig,
        key: Option<HeaderValue>,
        route: &Route,
    ) -> Result<Upstream, OutboundError> {
        let uri = outbound::parse("upstream.url", &config.url)?;
        let client = Client::new(&uri, route)?;
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            let detail = "scheme and host are needed".to_owned();
            return Err(OutboundError::Address { key: "upstream.url".to_owned(), detail });
        };
        Ok(Upstream {
            client,
            scheme,
            authority,
            prefix,
            key,
            head_timeout: config.head_timeout,
            idle_timeout: config.idle_timeout,
            oauth_is_subscription: config.oauth_is_subscription,
            platform: config.platform,
        })
    }

    /// What replaces a virtual key, where one is configured.
    pub fn key(&self) -> Option<HeaderValue> {
        self.key.clone()
    }

    /// Sends a request to the same path and query; gives the head as soon as it is there.
    /// Dropping the future or the body cancels the request upstream.
    pub async fn send(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Error> {
        let path = request.uri().path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = self.address(path);
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().remove(header::HOST);
        self.client.request(request).await
    }

    fn address(&self, path: PathAndQuery) -> Uri {
        let path = if self.prefix.is_empty() {
            path
        } else {
            PathAndQuery::try_from(format!("{}{path}", self.prefix)).unwrap_or(path)
        };
        let mut parts = hyper::http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        // All three parts are present and were valid before, so this cannot fail.
        Uri::from_parts(parts).unwrap_or_default()
    }
}
