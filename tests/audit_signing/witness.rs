//! A witness that speaks C2SP `tlog-witness`, and can be told to misbehave.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use weighbridge::audit::checkpoint::Checkpoint;
use weighbridge::audit::merkle::Hash;
use weighbridge::audit::note::{KeyKind, Note, SigningKey};
use weighbridge::audit::proof::verify_consistency;

const NAME: &str = "witness.test/1";
const SECONDS: u64 = 1_790_000_000;

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Honest,
    /// Answers in no language of witnesses.
    Garbage,
    /// Signs with a key that nobody was told.
    WrongKey,
    /// Names a size that cannot be.
    Far,
    /// Says nothing until the client leaves.
    Hangs,
    /// Does not know the instance.
    Unknown,
}

#[derive(Debug)]
pub struct State {
    pub manner: Manner,
    /// What it cosigned last.
    pub held: Option<Checkpoint>,
    /// Status of every answer.
    pub answers: Vec<u16>,
    pub posts: usize,
}

pub struct Witness {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(NAME, KeyKind::Cosignature, &[seed; 32]).unwrap()
}

impl Witness {
    pub fn start(manner: Manner) -> Witness {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { manner, held: None, answers: Vec::new(), posts: 0 };
        let witness = Witness { address, state: Arc::new(Mutex::new(state)) };
        let state = Arc::clone(&witness.state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&state);
                std::thread::spawn(move || serve(&mut stream.unwrap(), &state));
            }
        });
        witness
    }

    pub fn config(&self) -> String {
        let (address, verifier) = (self.address, Witness::verifier(7));
        format!("[witness.far]\nto = 'http://{address}/log'\nverifier = '{verifier}'\n")
    }

    /// What it gives to those who check its cosignatures.
    pub fn verifier(seed: u8) -> String {
        key(seed).verifier().to_string()
    }

    pub fn webhook(&self) -> String {
        format!("[witness.hook]\nkind = 'webhook'\nto = 'http://{}/hook'\n", self.address)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn held(&self) -> u64 {
        self.state().held.as_ref().map_or(0, |held| held.size)
    }
}

fn serve(stream: &mut TcpStream, state: &Mutex<State>) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let (target, body) = loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase();
            let length = length.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                break (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned());
            }
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => bytes.extend(&piece[..count]),
            _ => return,
        }
    };
    let manner = {
        let mut state = state.lock().unwrap();
        state.posts += 1;
        state.manner
    };
    let (status, answer) = match manner {
        Manner::Hangs => {
            while stream.read(&mut piece).is_ok_and(|count| count > 0) {}
            return;
        }
        Manner::Garbage => (200, "<html>hello\n\n\u{2014}".to_owned()),
        Manner::Far => (409, "99999999\n".to_owned()),
        Manner::Unknown => (404, String::new()),
        Manner::Honest | Manner::WrongKey if target == "/hook" => {
            Note::parse(&body).unwrap();
            (204, String::new())
        }
        Manner::Honest => add(&target, &body, &mut state.lock().unwrap(), 7),
        Manner::WrongKey => add(&target, &body, &mut state.lock().unwrap(), 8),
    };
    state.lock().unwrap().answers.push(status);
    let length = answer.len();
    let head =
        format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(format!("{head}{answer}").as_bytes());
}

/// `add-checkpoint`, as the specification has it.
fn add(target: &str, body: &str, state: &mut State, seed: u8) -> (u16, String) {
    assert_eq!(target, "/log/add-checkpoint");
    let (head, note) = body.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
    let hash = |line| Hash::new(STANDARD.decode(line).unwrap().try_into().unwrap());
    let proof: Vec<Hash> = lines.map(hash).collect();
    let note = Note::parse(note).unwrap();
    let new = Checkpoint::parse(&note.text).unwrap();
    let held = state.held.as_ref().map_or(0, |held| held.size);
    if held != old || old > new.size {
        return (409, format!("{held}\n"));
    }
    if let Some(held) = &state.held {
        if held.size == new.size && held.root != new.root {
            return (409, format!("{}\n", held.size));
        }
        if !verify_consistency((held.size, held.root), (new.size, new.root), &proof) {
            return (422, String::new());
        }
    }
    if new.size > 0 {
        state.held = Some(new);
    }
    (200, format!("{}\n", key(seed).cosign_text(&note.text, SECONDS)))
}
