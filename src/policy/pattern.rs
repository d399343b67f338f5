//! Patterns: names with `*`, and MCP servers by name, by where their configuration comes from, or
//! by address.

/// A pattern cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(&'static str);

/// A name; `*` stands for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// It is empty, or has a form that only the client's own permissions know.
    pub fn new(text: &str) -> Result<Pattern, PatternError> {
        if text.is_empty() {
            return Err(PatternError("write a name; * stands for any characters"));
        }
        if text.contains(['(', ')']) {
            return Err(PatternError(
                "write the tool's name alone, without (…): what it is given is not looked at",
            ));
        }
        Ok(Pattern(text.to_owned()))
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether a name fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        glob(self.0.as_bytes(), name.as_bytes())
    }
}

/// Goes back to the last `*` where it does not go on: no recursion, no blow-up.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, t) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// What is known of an MCP server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Server<'a> {
    /// Its name, as whoever configured it chose.
    pub name: Option<&'a str>,
    /// Where the client has its configuration from: `managed`, `user`, `project`, …
    pub source: Option<&'a str>,
    /// Where it is.
    pub url: Option<&'a str>,
}

/// Which MCP servers are meant. A name alone is what anybody can give to any server; a source or an
/// address is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerPattern {
    /// By name.
    Name(Pattern),
    /// By name and by where its configuration comes from: `github@managed`.
    From(Pattern, Pattern),
    /// By address.
    Url(Url),
}

/// An address: scheme and host without regard to case, path by pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    written: String,
    scheme: String,
    host: Pattern,
    /// Absent: any path.
    path: Option<Pattern>,
}

/// Scheme, host with port, and path; `None` where there is no such address or it names a user.
fn split(url: &str) -> Option<(String, String, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let is_plain = !host.is_empty() && !host.contains(['@', '\\', ' ']);
    is_plain.then(|| (scheme.to_ascii_lowercase(), host.to_ascii_lowercase(), path))
}

impl Url {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// It is no address.
    pub fn new(text: &str) -> Result<Url, PatternError> {
        let wrong = PatternError("write an address like https://mcp.example.com/*, without a user");
        let (scheme, host, path) = split(text).ok_or(wrong.clone())?;
        let pattern = |text: &str| Pattern::new(text).map_err(|_| wrong.clone());
        let path = if path.is_empty() { None } else { Some(pattern(path)?) };
        Ok(Url { written: text.to_owned(), scheme, host: pattern(&host)?, path })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.written
    }

    /// Whether an address fits.
    #[must_use]
    pub fn matches(&self, url: &str) -> bool {
        let Some((scheme, host, path)) = split(url) else { return false };
        // What climbs up in a path is not where it says it is.
        let climbs = path.split(['/', '\\']).any(|part| matches!(part, ".." | "%2e%2e"));
        let path = if path.is_empty() { "/" } else { path };
        let fits = self.path.as_ref().is_none_or(|pattern| {
            pattern.matches(path) || pattern.text().strip_suffix("/*") == Some(path)
        });
        scheme == self.scheme && self.host.matches(&host) && fits && !climbs
    }
}

impl ServerPattern {
    /// Reads one: a name, `name@source`, or an address.
    ///
    /// # Errors
    ///
    /// It is none of these.
    pub fn new(text: &str) -> Result<ServerPattern, PatternError> {
        if text.contains("://") {
            return Url::new(text).map(ServerPattern::Url);
        }
        if text.starts_with("command:") {
            return Err(PatternError(
                "no client tells the command of a server; write name@managed, a name or an address",
            ));
        }
        match text.split_once('@') {
            Some((name, source)) => {
                Ok(ServerPattern::From(Pattern::new(name)?, Pattern::new(source)?))
            }
            None => Pattern::new(text).map(ServerPattern::Name),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            ServerPattern::Name(name) => name.text().to_owned(),
            ServerPattern::From(name, source) => format!("{}@{}", name.text(), source.text()),
            ServerPattern::Url(url) => url.text().to_owned(),
        }
    }

    /// Whether a server fits. What is not known of it does not.
    #[must_use]
    pub fn matches(&self, server: &Server<'_>) -> bool {
        let fits = |pattern: &Pattern, text: Option<&str>| text.is_some_and(|t| pattern.matches(t));
        match self {
            ServerPattern::Name(name) => fits(name, server.name),
            ServerPattern::From(name, source) => {
                fits(name, server.name) && fits(source, server.source)
            }
            ServerPattern::Url(url) => server.url.is_some_and(|at| url.matches(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_of_characters() {
        let matches = |pattern: &str, text| Pattern::new(pattern).unwrap().matches(text);
        for (pattern, text, fits) in [
            ("Bash", "Bash", true),
            ("Bash", "bash", false),
            ("Bash", "BashOutput", false),
            ("*", "", true),
            ("mcp__github__*", "mcp__github__get_pr", true),
            ("mcp__github__*", "mcp__githubx__get_pr", false),
            ("claude-*-4*", "claude-sonnet-4-5", true),
            ("*ab*ab", "abaab", true),
            ("*ab*abc", "abaab", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
        let (long, deep) = ("a".repeat(20_000), "*a".repeat(200) + "b");
        assert!(!matches(&deep, &long));
        assert!(Pattern::new("Bash(git *)").is_err() && Pattern::new("").is_err());
    }

    #[test]
    fn a_server_is_more_than_its_name() {
        let matches = |pattern: &str, server: Server<'_>| {
            ServerPattern::new(pattern).unwrap().matches(&server)
        };
        let at = |url| Server { name: Some("github"), url: Some(url), source: None };
        let url = "https://mcp.example.com/*";
        for (address, fits) in [
            ("https://mcp.example.com/v1", true),
            ("HTTPS://MCP.Example.com/v1?x=1", true),
            ("https://mcp.example.com", true),
            ("https://mcp.example.com.evil.org/v1", false),
            ("https://user@mcp.example.com/v1", false),
            ("https://evil.org/https://mcp.example.com/", false),
            ("https://mcp.example.com:444/v1", false),
            ("http://mcp.example.com/v1", false),
            ("https://mcp.example.com\\@evil.org/", false),
            ("mcp.example.com", false),
        ] {
            assert_eq!(matches(url, at(address)), fits, "{address}");
        }
        assert!(!matches("https://x.org/a/*", at("https://x.org/a/../b")));
        assert!(!matches("https://x.org/a/*", at("https://x.org/ab")));
        assert!(matches("https://*.x.org", at("https://a.x.org/b")));
        let named = |source| Server { name: Some("github"), url: None, source };
        assert!(!matches(url, named(None)), "a name says nothing of the address");
        assert!(matches("github@managed", named(Some("managed"))));
        assert!(!matches("github@managed", named(Some("project"))));
        assert!(!matches("github@managed", named(None)));
        assert!(matches("git*", named(None)));
        assert!(ServerPattern::new("command:npx x").is_err());
        assert!(ServerPattern::new("https://u@x/").is_err());
    }
}
