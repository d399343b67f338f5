//! The limit of our stack: hyper on both sides, bodies streamed, nothing read, nothing recorded.
//! Whatever Weighbridge costs above this is the price of weighing.

use std::net::SocketAddr;

use hyper::{
    Request, Response, Uri, Version,
    body::Incoming,
    header::{
        CONNECTION, HOST, HeaderName, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
    http::uri::{Authority, Scheme},
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::net::TcpListener;

const HOP_BY_HOP: [HeaderName; 6] =
    [CONNECTION, TE, TRAILER, UPGRADE, PROXY_AUTHORIZATION, TRANSFER_ENCODING];

type Upstream = Client<HttpConnector, Incoming>;

/// The role: listens on a free port, prints the address, serves until it is ended.
pub(crate) fn run(upstream: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client: Upstream =
            Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        let authority: Authority = upstream.to_string().parse().unwrap();
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            stream.set_nodelay(true).unwrap();
            let (client, authority) = (client.clone(), authority.clone());
            let service =
                service_fn(move |request| forward(request, client.clone(), authority.clone()));
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
}

async fn forward(
    mut request: Request<Incoming>,
    client: Upstream,
    authority: Authority,
) -> Result<Response<Incoming>, Error> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    *request.uri_mut() = Uri::from_parts(parts).unwrap();
    *request.version_mut() = Version::HTTP_11;
    for name in HOP_BY_HOP {
        request.headers_mut().remove(name);
    }
    request.headers_mut().remove(HOST);
    let mut response = client.request(request).await?;
    for name in HOP_BY_HOP {
        response.headers_mut().remove(name);
    }
    Ok(response)
}
