//! A receiver of hook events that gives the answer it is told to give.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// One post: head in lower case, and body.
#[derive(Clone, Debug)]
pub struct Post {
    pub head: String,
    pub body: Vec<u8>,
}

impl Post {
    pub fn event(&self) -> String {
        let value: Value = serde_json::from_slice(&self.body).expect("an event is JSON");
        value["hook_event_name"].as_str().expect("an event has a name").to_owned()
    }
}

/// What it answers.
#[derive(Clone, Debug)]
pub enum Reply {
    With(u16, String),
    /// Nothing, until the client leaves.
    Never,
}

/// Answers one client after the other until the test ends.
pub struct Receiver {
    pub address: SocketAddr,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Receiver {
    pub fn start(reply: Reply) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let posts = Arc::default();
        let receiver = Receiver { address, posts: Arc::clone(&posts) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (posts, reply) = (Arc::clone(&posts), reply.clone());
                std::thread::spawn(move || answer(&mut stream.unwrap(), &posts, &reply));
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    pub fn admin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }
}

fn answer(stream: &mut TcpStream, posts: &Mutex<Vec<Post>>, reply: &Reply) {
    let mut bytes = Vec::new();
    let mut piece = [0; 64 * 1024];
    let end = |bytes: &[u8]| bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, length) = loop {
        if let Some(at) = end(&bytes) {
            let head = String::from_utf8_lossy(&bytes[..at]).to_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length = length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
            if bytes.len() >= at + 4 + length {
                bytes.drain(..at + 4);
                break (head, length);
            }
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => bytes.extend(&piece[..count]),
            _ => return,
        }
    };
    bytes.truncate(length);
    let is_post = head.starts_with("post ");
    let post = Post { head, body: bytes };
    let (status, body) = match reply {
        Reply::With(status, body) => (*status, body.as_str()),
        Reply::Never => {
            let _ = stream.read(&mut piece);
            return;
        }
    };
    if is_post {
        posts.lock().unwrap().push(post);
    }
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n"
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}
