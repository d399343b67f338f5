//! Names by which people log in: `user=jroe`, `/home/jroe/`, `C:\Users\jroe`.
//!
//! A login is made of its owner's name more often than not, so it is masked as an `ID`; the
//! accounts that machines and distributions bring along are nobody's.

use super::cue::Cues;
use super::finding::Finding;
use super::label::Label;
use super::text::Text;
use super::token::{Case, Gap, Kind, Token};

/// Accounts of systems, images and services, and folders beside those of users.
const SERVICES: [&str; 67] = [
    "root",
    "ubuntu",
    "runner",
    "node",
    "app",
    "postgres",
    "data",
    "www",
    "www-data",
    "nobody",
    "admin",
    "administrator",
    "ec2-user",
    "vscode",
    "circleci",
    "jenkins",
    "git",
    "user",
    "users",
    "debian",
    "centos",
    "fedora",
    "alpine",
    "vagrant",
    "docker",
    "nginx",
    "apache",
    "httpd",
    "mysql",
    "redis",
    "mongodb",
    "elasticsearch",
    "grafana",
    "prometheus",
    "systemd",
    "daemon",
    "bin",
    "sys",
    "sync",
    "mail",
    "guest",
    "anonymous",
    "test",
    "tester",
    "default",
    "public",
    "shared",
    "all",
    "dev",
    "developer",
    "deploy",
    "build",
    "builder",
    "ci",
    "bot",
    "dependabot",
    "renovate",
    "github",
    "github-actions",
    "gitlab",
    "gitpod",
    "codespace",
    "codespaces",
    "jovyan",
    "linuxbrew",
    "coder",
    "pi",
];

/// What programs write where a value of some type will stand.
const TYPES: [&str; 40] = [
    "string",
    "str",
    "text",
    "char",
    "varchar",
    "int",
    "integer",
    "number",
    "float",
    "double",
    "bool",
    "boolean",
    "any",
    "unknown",
    "undefined",
    "null",
    "none",
    "nil",
    "true",
    "false",
    "optional",
    "required",
    "object",
    "array",
    "list",
    "map",
    "dict",
    "void",
    "never",
    "self",
    "this",
    "usize",
    "isize",
    "uuid",
    "bytes",
    "date",
    "datetime",
    "option",
    "promise",
    "vec",
];

/// The longest login, in bytes.
const LOGIN_BYTES_MAX: usize = 40;

/// A word that names a type of a program: `name: String`.
#[must_use]
pub fn is_type(word: &str) -> bool {
    TYPES.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// An account that comes with a system or a service, or says that it is a service's (`etl_svc`).
fn is_service(login: &str) -> bool {
    const PARTS: [&str; 14] = [
        "svc", "service", "srv", "bot", "robot", "etl", "system", "batch", "cron", "agent",
        "daemon", "api", "worker", "server",
    ];
    let is = |known: &[&str], word: &str| known.iter().any(|it| it.eq_ignore_ascii_case(word));
    let name = login.trim_end_matches(|sign: char| sign.is_ascii_digit());
    is(&SERVICES, name) || login.split(['.', '_', '-']).any(|part| is(&PARTS, part))
}

/// A value that a field of logins has. Where the field may hold other things, too (`owner`), a word
/// that is on no list, or a name, must be in it, in small letters.
#[must_use]
pub fn is_login(value: &str, sure: bool) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"._-\\".contains(&byte);
    let shape = (2..=LOGIN_BYTES_MAX).contains(&value.len())
        && value.bytes().all(|byte| inside(byte) || byte >= 0x80)
        && value.starts_with(|sign: char| sign.is_ascii_alphanumeric())
        && value.bytes().any(|byte| byte.is_ascii_alphabetic());
    if !shape || is_service(value) || is_type(value) {
        return false;
    }
    let text = Text::new(value);
    let code = text.tokens.iter().any(|token| token.cues.has(Cues::LOGIN.or(Cues::OWNER)));
    !code && (sure || is_persons(&text.tokens, value))
}

/// Tokens of which one is a name or strange, and none a thing.
fn is_persons(tokens: &[Token], value: &str) -> bool {
    const DIGITS_MAX: usize = 5;
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let thing = Cues::PROPER.or(Cues::ORGANISATION).or(Cues::THING).or(Cues::NONE);
    let odd = |token: &Token| {
        token.cues.has(thing) || !matches!(token.case, Case::Lower) && token.kind == Kind::Word
    };
    let own = |token: &Token| match token.kind {
        Kind::Word => {
            token.len() > 2
                && (token.flags.is_strange() || token.flags.is_name() && !is_small(token))
        }
        Kind::Mixed => value.starts_with(|sign: char| sign.is_ascii_lowercase()),
        _ => false,
    };
    digits <= DIGITS_MAX && !tokens.iter().any(odd) && tokens.iter().any(own)
}

/// A word that is a name on a rare list only, and common beside.
fn is_small(token: &Token) -> bool {
    token.flags.is_known() && !token.flags.is_first()
}

/// The bytes of a login from a place on.
fn written<'a>(text: &Text<'a>, start: usize) -> &'a str {
    let rest = text.text.get(start..).unwrap_or("");
    let length = rest
        .bytes()
        .take(LOGIN_BYTES_MAX + 1)
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
        .count();
    rest.get(..length).unwrap_or("").trim_end_matches(['.', '-'])
}

/// The login behind the sign of a field: `user=jroe`, `username: jroe`.
#[must_use]
pub fn behind_sign(text: &Text<'_>, at: usize, sure: bool) -> Option<Finding> {
    let token = text.get(at)?;
    let login = written(text, token.start);
    let end = token.start + login.len();
    let behind = text.byte(end);
    let quoted = matches!(text.byte_before(token.start), Some(b'"' | b'\''));
    let joined = token.gap == Gap::None && text.byte_before(token.start) == Some(b'=');
    // `uid=1000(jroe)`.
    if joined && token.kind == Kind::Number && behind == Some(b'(') {
        return behind_sign_at(text, at + 2);
    }
    let ends = match behind {
        None => true,
        Some(byte) if quoted || joined => b" \r\n\t,;&)]}\"'|\\/".contains(&byte),
        // `owner: usize,` is a program's; `user: jroe` is the last of its line.
        Some(byte) if sure => b" \r\n,;)]}|\t".contains(&byte),
        Some(byte) => b"\r\n,|".contains(&byte),
    };
    let small = quoted || joined || token.case == Case::Lower || token.kind == Kind::Mixed;
    let plain = quoted || joined || is_login(login, false) && login.len() > 3;
    let is = ends && small && plain && is_login(login, sure);
    is.then(|| Finding::new(token.start, end, Label::Id, "login"))
}

fn behind_sign_at(text: &Text<'_>, at: usize) -> Option<Finding> {
    let token = text.get(at).filter(|token| token.gap == Gap::None)?;
    let login = written(text, token.start);
    let end = token.start + login.len();
    (text.byte(end) == Some(b')') && is_login(login, true))
        .then(|| Finding::new(token.start, end, Label::Id, "login"))
}

/// `session opened for user jroe`, `login jroe`: a word on no list behind the word itself.
#[must_use]
pub fn behind_word(text: &Text<'_>, at: usize) -> Option<Finding> {
    const LOGIN_BYTES_MIN: usize = 5;
    let word = text.get(at).filter(|word| word.cues.has(Cues::LOGIN.or(Cues::USER)))?;
    let token = text.get(at + 1).filter(|token| token.gap == Gap::Space)?;
    let strange = token.case == Case::Lower && token.flags.is_strange() && token.cues.is_none();
    let login = written(text, token.start);
    let end = token.start + login.len();
    let ends = text.byte(end).is_none_or(|byte| b" \r\n,;.()\"'".contains(&byte));
    let is = word.case == Case::Lower
        && (strange || token.kind == Kind::Mixed && is_persons(std::slice::from_ref(token), login))
        && login.len() >= LOGIN_BYTES_MIN
        && ends
        && is_login(login, true);
    is.then(|| Finding::new(token.start, end, Label::Id, "login"))
}

/// `/home/jroe`, `/Users/jroe`, `C:\Users\jroe`, and `-Users-jroe-work`, as folders of projects are
/// named: the folder of a person.
#[must_use]
pub fn home(text: &Text<'_>, at: usize) -> Option<Finding> {
    let folder = text.get(at).filter(|folder| folder.cues.has(Cues::HOME))?;
    let separator = text.byte_before(folder.start)?;
    if !matches!(separator, b'/' | b'\\' | b'-') || text.byte(folder.end) != Some(separator) {
        return None;
    }
    let name = text.str(folder);
    let before = folder.start.checked_sub(2).and_then(|before| text.byte(before));
    let begins =
        !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || b".@_-".contains(&byte));
    let mounted = at.checked_sub(2).and_then(|place| text.get(place)).is_some_and(|root| {
        matches!(text.str(root), "export" | "mnt" | "var" | "nfs" | "net" | "c" | "private")
    });
    let is = match separator {
        b'/' => name == "Users" || name == "home" && (begins || mounted),
        b'-' => begins && matches!(name, "Users" | "home"),
        _ => name.eq_ignore_ascii_case("users") || name == "home",
    };
    if !is {
        return None;
    }
    // An escape that was left in the text doubles the sign.
    let twice = separator == b'\\' && text.byte(folder.end + 1) == Some(b'\\');
    let start = folder.end + 1 + usize::from(twice);
    let mut login = written(text, start);
    if separator == b'-' {
        login = login.split('-').next().unwrap_or("");
    } else if separator == b'\\' {
        login = with_space(text, start).unwrap_or(login);
    }
    let owned = login.contains(' ') || is_login(login, true) && is_nobodys_word(login);
    owned.then(|| Finding::new(start, start + login.len(), Label::Id, "home-folder"))
}

/// `Jane Roe` between two backslashes: users of Windows have spaces.
fn with_space<'a>(text: &Text<'a>, start: usize) -> Option<&'a str> {
    let rest = text.text.get(start..)?;
    let name = rest.get(..rest.bytes().take(LOGIN_BYTES_MAX).position(|byte| byte == b'\\')?)?;
    let letters = name.bytes().all(|byte| byte.is_ascii_alphabetic() || b" .'-".contains(&byte));
    let folders = ["All Users", "Default User"];
    (letters && name.contains(' ') && !folders.contains(&name)).then_some(name)
}

/// `/home/about` is a page: no folder of a person is named by words alone that are no names.
fn is_nobodys_word(login: &str) -> bool {
    Text::new(login).tokens.iter().any(|token| match token.kind {
        Kind::Word => {
            (!token.flags.is_known() || token.flags.is_name() && token.flags.is_first())
                && !matches!(token.case, Case::Inner | Case::Other)
        }
        Kind::Mixed => true,
        _ => false,
    })
}

/// `ssh jroe@host`, `jroe@laptop:~$`: the login before an `@` that no mail address has.
#[must_use]
pub fn before_host(text: &str, at: usize) -> Option<Finding> {
    let bytes = text.as_bytes();
    let inside = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let before = bytes.get(at.saturating_sub(LOGIN_BYTES_MAX)..at)?;
    let start = at - before.iter().rev().take_while(inside).count();
    let host = bytes.get(at + 1..)?.iter().take(64).take_while(inside).count();
    let end = at + 1 + host;
    let prompt = bytes.get(end) == Some(&b':') && matches!(bytes.get(end + 1), Some(b'~' | b'/'));
    let lead = bytes.get(start.saturating_sub(8)..start)?;
    let lead = lead.strip_suffix(b" ").unwrap_or(lead);
    let shell = [&b"ssh"[..], b"scp", b"sftp", b"rsync", b"mosh"];
    let shell = shell.iter().any(|command| lead.ends_with(command));
    let login = text.get(start..at)?;
    let is = host > 0 && (prompt || shell) && is_login(login, true);
    is.then(|| Finding::new(start, at, Label::Id, "login"))
}

/// The words of a login that may be known again: on no list, and long enough to be nobody else's.
pub fn told<'t>(tokens: &'t [Token]) -> impl Iterator<Item = u64> + 't {
    const WORD_BYTES_MIN: usize = 5;
    tokens
        .iter()
        .filter(|token| {
            let strange = token.kind == Kind::Word && token.flags.is_strange();
            strange && token.cues.is_none() && token.len() >= WORD_BYTES_MIN
        })
        .map(|token| token.hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_told_from_accounts_types_and_words() {
        for login in ["jalvarez", "kwong12", "z.quorv", "tammy_roe"] {
            assert!(is_login(login, true) && is_login(login, false), "{login}");
        }
        for other in ["root", "ubuntu", "user1", "string", "usize", "current_user", "a b", ""] {
            assert!(!is_login(other, true), "{other}");
        }
        for word in ["platform", "billing-team", "IBM", "MyComponent", "docker-image"] {
            assert!(!is_login(word, false), "{word}");
        }
    }
}
