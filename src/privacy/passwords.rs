//! Passwords where no field names them: arguments of commands, statements of SQL, sentences.

use super::cue::Cues;
use super::finding::Finding;
use super::label::Label;
use super::secrets;
use super::text::Text;
use super::token::{Gap, Kind};

/// How a command takes its password.
enum Takes {
    /// In one piece with its option: `-pX`.
    Joined(&'static str),
    /// In one piece with its option, or behind it.
    Behind(&'static str),
    /// Behind its option, after the user: `-u a:b`.
    AfterUser(&'static str),
}

/// What the manuals of these commands say.
const COMMANDS: [(&str, &[Takes]); 9] = [
    ("mysql", &[Takes::Joined("-p")]),
    ("mysqldump", &[Takes::Joined("-p")]),
    ("mysqladmin", &[Takes::Joined("-p")]),
    ("mariadb", &[Takes::Joined("-p")]),
    ("sshpass", &[Takes::Behind("-p")]),
    ("mongosh", &[Takes::Behind("-p")]),
    ("ldapsearch", &[Takes::Behind("-w")]),
    ("curl", &[Takes::AfterUser("-u"), Takes::AfterUser("--user"), Takes::AfterUser("-U")]),
    ("smbclient", &[Takes::AfterUser("-U")]),
];

/// The longest command that is read for a password, in bytes.
const COMMAND_BYTES_MAX: usize = 512;

/// The longest password, in bytes.
const PASSWORD_BYTES_MAX: usize = 128;

/// Passwords that a token announces without a sign.
pub fn find(text: &Text<'_>, at: usize, found: &mut Vec<Finding>) {
    let Some(token) = text.get(at) else { return };
    if token.cues.has(Cues::COMMAND) {
        arguments(text, at, found);
    } else if token.cues.has(Cues::PASSWORD.or(Cues::IDENTIFIED)) {
        found.extend(in_statement(text, at).or_else(|| in_sentence(text, at)));
    }
}

/// The arguments of a command, to the end of its line or the next command.
fn arguments(text: &Text<'_>, at: usize, found: &mut Vec<Finding>) {
    let Some(token) = text.get(at) else { return };
    let name = text.str(token);
    let Some((_, takes)) = COMMANDS.iter().find(|(command, _)| *command == name) else { return };
    let mut end = text.text.len().min(token.end + COMMAND_BYTES_MAX);
    while !text.text.is_char_boundary(end) {
        end -= 1;
    }
    let line = text.text.get(token.end..end).unwrap_or("");
    let line = line.split(['\n', '\r', '|']).next().unwrap_or("");
    let mut from = 0;
    let mut option = "";
    while let Some((start, length)) = word(line, from) {
        let argument = line.get(start..start + length).unwrap_or("");
        from = start + length;
        for takes in *takes {
            let user = matches!(takes, Takes::AfterUser(_));
            let (Takes::Joined(own) | Takes::Behind(own) | Takes::AfterUser(own)) = takes;
            let joined = argument.strip_prefix(own).filter(|rest| !rest.is_empty());
            let behind = option == *own && !matches!(takes, Takes::Joined(_));
            let value = if behind { Some(argument) } else { joined.filter(|_| own.len() == 2) };
            let Some(value) = value.map(|value| value.trim_matches(['\'', '"'])) else { continue };
            let secret =
                if user { value.split_once([':', '%']).map(|it| it.1) } else { Some(value) };
            let Some(secret) = secret.filter(|it| is_secret(it)) else { continue };
            let place = argument.rfind(secret).unwrap_or(0);
            let begin = token.end + start + place;
            let finding =
                Finding::new(begin, begin + secret.len(), Label::Secret, "password-of-command");
            found.push(finding);
        }
        option = argument;
    }
}

/// Neither a variable nor what was masked before.
fn is_secret(value: &str) -> bool {
    (1..=PASSWORD_BYTES_MAX).contains(&value.len()) && !value.starts_with(['$', '[', '<', '{', '-'])
}

/// The next word of a command, quotes and all: where it begins and how long it is.
fn word(line: &str, from: usize) -> Option<(usize, usize)> {
    let rest = line.get(from..)?;
    let start = from + rest.find(|sign: char| sign != ' ' && sign != '\t')?;
    let mut quote = None;
    let mut length = 0;
    for byte in line.get(start..)?.bytes() {
        match (quote, byte) {
            (None, b' ' | b'\t') => break,
            (None, b'\'' | b'"') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
        length += 1;
    }
    Some((start, length))
}

/// `IDENTIFIED BY '…'`, `WITH PASSWORD '…'`, `PASSWORD('…')`: between quotes.
fn in_statement(text: &Text<'_>, at: usize) -> Option<Finding> {
    const WORDS_MAX: usize = 4;
    let identified = text.get(at)?.cues.has(Cues::IDENTIFIED);
    let mut place = at + 1;
    if identified {
        place = (place..place + WORDS_MAX)
            .find(|place| text.get(*place).is_some_and(|by| by.cues.has(Cues::BY)))?
            + 1;
    } else if text.get(place).is_some_and(|sign| sign.is_sign(b'(') && sign.gap == Gap::None) {
        place += 1;
    }
    let quote = text.get(place).filter(|quote| quote.gap <= Gap::Space)?;
    let Kind::Sign(sign @ (b'\'' | b'"')) = quote.kind else { return None };
    let rest = text.text.get(quote.end..)?;
    let length = rest.find(['\n', char::from(sign)])?;
    let closed = text.byte(quote.end + length) == Some(sign);
    let value = rest.get(..length)?;
    (closed && is_secret(value)).then(|| {
        Finding::new(quote.end, quote.end + length, Label::Secret, "password-in-statement")
    })
}

/// `the pwd is hunter22`: a word that is no word.
fn in_sentence(text: &Text<'_>, at: usize) -> Option<Finding> {
    let verb = text.get(at + 1).filter(|verb| verb.gap == Gap::Space)?;
    if !matches!(text.str(verb), "is" | "was" | "to") {
        return None;
    }
    let start = text.get(at + 2)?.start;
    let rest = text.text.get(start..)?;
    let value = rest.split_whitespace().next()?.trim_end_matches(['.', ',', ';', '"', '\'', ')']);
    let is = value.len() <= PASSWORD_BYTES_MAX && secrets::is_like_password(value);
    is.then(|| Finding::new(start, start + value.len(), Label::Secret, "password-in-sentence"))
}
