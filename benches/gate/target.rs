//! The programs of a run, and how each is started.

use std::{
    env, fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::Stdio,
};

use crate::{
    CPU_LOAD, CPU_TARGET,
    process::{self, Process, role},
};

/// Which program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Upstream,
    Passthrough,
    Nginx,
    Weighbridge,
    /// The same with traces, metrics and logs exported to a collector.
    Exporting,
    /// The pass-through once more: what a figure is worth shows in how far it is from itself.
    Control,
}

impl Kind {
    pub(crate) const UNDER_TEST: [Self; 5] =
        [Self::Passthrough, Self::Nginx, Self::Weighbridge, Self::Exporting, Self::Control];

    /// Whether the case says something about it: what the export costs shows in short calls.
    pub(crate) fn visits(self, case: &str) -> bool {
        self != Self::Exporting || case == "sat2k"
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Passthrough => "passthrough",
            Self::Nginx => "nginx",
            Self::Weighbridge => "weighbridge",
            Self::Exporting => "exporting",
            Self::Control => "control",
        }
    }
}

/// A program that was started and is ready; it is ended when this goes out of scope.
pub(crate) struct Running {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    process: Process,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// Starts a program in front of `upstream`, with an empty environment and a directory of its own,
/// and waits until it is ready; or says why it cannot be had.
pub(crate) fn start(kind: Kind, upstream: Option<SocketAddr>) -> Result<Running, String> {
    let upstream = upstream.map(|address| address.to_string()).unwrap_or_default();
    let url = format!("http://{upstream}");
    // The made-up API answers 200 to whatever is posted, which is all a collector has to do.
    let export = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())];
    let process = match kind {
        Kind::Upstream => role(CPU_LOAD, &["upstream"])?,
        Kind::Passthrough | Kind::Control => role(CPU_TARGET, &["passthrough", &upstream])?,
        Kind::Nginx => nginx(&upstream)?,
        Kind::Weighbridge => process::weighbridge(&url, &[])?.0,
        Kind::Exporting => process::weighbridge(&url, &export)?.0,
    };
    Ok(Running { kind, address: process.address, process })
}

/// One worker, nothing logged, nothing buffered, connections kept on both sides.
fn nginx(upstream: &str) -> Result<Process, String> {
    let directory = process::directory()?;
    let program = in_path("nginx").ok_or("nginx is not installed (Debian: nginx-light)")?;
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.map_err(|error| error.to_string())?;
    let configuration = format!(
        "daemon off; worker_processes 1; pid nginx.pid; error_log error.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 100000000;
  client_max_body_size 64m; client_body_buffer_size 2m;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream api {{ server {upstream}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen {address} backlog=4096;
    location / {{
      proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection \"\";
      proxy_buffering off; proxy_request_buffering off;
    }}
  }}
}}
"
    );
    let file = directory.path().join("nginx.conf");
    fs::write(&file, configuration).map_err(|error| error.to_string())?;
    let mut command = process::pinned(CPU_TARGET, &program, &["-e", "stderr", "-p"]);
    command.arg(directory.path()).arg("-c").arg(&file).stderr(Stdio::null());
    let child = command.spawn().map_err(|error| format!("taskset: {error}"))?;
    process::ready(child, || TcpStream::connect(address).ok().map(|_| address), directory)
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
