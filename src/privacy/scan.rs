//! A plain text put to all rules, in the order in which they may rely on each other.

use memchr::memchr3;
use smallvec::SmallVec;

use super::ages;
use super::begins;
use super::contact;
use super::cue::Cues;
use super::dates;
use super::encoded;
use super::finding::Finding;
use super::key::{self, Field};
use super::label::Label;
use super::logins;
use super::names;
use super::numbers;
use super::passwords;
use super::places;
use super::rules::Rules;
use super::secrets;
use super::series;
use super::text::Text;
use super::token::{Case, Gap, Kind, Token};

/// The lists of a scan, empty, for the next one: documents hold many short texts.
#[derive(Default)]
pub struct Lists {
    tokens: Vec<Token>,
    found: Vec<Finding>,
    perhaps: Vec<Finding>,
    taken: Vec<bool>,
    begins: Vec<u32>,
}

/// Findings in a text, and which of its tokens they take.
pub struct Scanned<'a> {
    /// The text.
    pub text: Text<'a>,
    /// In offsets of the text.
    pub found: Vec<Finding>,
    /// Names, if the document is about a person.
    pub perhaps: Vec<Finding>,
    /// Tokens that are found, or known to be nothing.
    pub taken: Vec<bool>,
    /// The places of the tokens at which something may begin: about a third of a text's.
    begins: Vec<u32>,
}

/// Puts a text to the rules.
#[must_use]
pub fn scan<'a>(text: &'a str, rules: &Rules, lists: Lists) -> Scanned<'a> {
    let Lists { tokens, found, perhaps, mut taken, mut begins } = lists;
    let text = Text::reusing(text, tokens);
    taken.resize(text.tokens.len(), false);
    begins::read(&text, &mut begins);
    let mut scanned = Scanned { text, found, perhaps, taken, begins };
    secrets::find(scanned.text.text, &mut scanned.found);
    encoded::find(scanned.text.text, &mut scanned.found);
    contact::find(scanned.text.text, &rules.own_hosts, &mut scanned.found);
    rules.find_own(scanned.text.text, &mut scanned.found);
    scanned.take(0);
    scanned.walk();
    let before = scanned.found.len();
    let Scanned { text, found, perhaps, taken, begins } = &mut scanned;
    names::find(text, (begins, taken), found, perhaps);
    scanned.found.retain(|finding| !rules.allows(finding, scanned.text.text));
    scanned.take(before.min(scanned.found.len()));
    scanned
}

impl Scanned<'_> {
    /// Gives its lists back.
    #[must_use]
    pub fn into_lists(self) -> Lists {
        let Scanned { text, mut found, mut perhaps, mut taken, begins } = self;
        found.clear();
        perhaps.clear();
        taken.clear();
        Lists { tokens: text.tokens, found, perhaps, taken, begins }
    }

    /// Takes the tokens of the findings from a place of the list on.
    fn take(&mut self, from: usize) {
        for finding in self.found.get(from..).unwrap_or(&[]) {
            let tokens = &self.text.tokens;
            let first = tokens.partition_point(|token| token.end <= finding.start);
            let rest = tokens.iter().skip(first).zip(self.taken.iter_mut().skip(first));
            for (token, taken) in rest {
                if token.start >= finding.end {
                    break;
                }
                *taken = true;
            }
        }
    }

    /// Numbers, places and fields, from the first token to the last.
    fn walk(&mut self) {
        for place in 0..self.begins.len() {
            let at = self.begins[place] as usize;
            if !self.taken[at] {
                let before = self.found.len();
                self.step(at);
                self.take(before);
            }
        }
    }

    fn step(&mut self, at: usize) {
        let token = self.text.tokens[at];
        if let Kind::Sign(sign) = token.kind {
            let field = if matches!(sign, b':' | b'=') { self.field_before(at) } else { None };
            if let Some(field) = field {
                return self.value(at + 1, field);
            }
            if !matches!(sign, b'+' | b'(' | b'-') {
                return;
            }
        }
        let text = &self.text;
        let found = &mut self.found;
        let before = found.len();
        if token.cues.has(Cues::HOME.or(Cues::LOGIN).or(Cues::USER)) {
            found.extend(logins::home(text, at).or_else(|| logins::behind_word(text, at)));
        }
        if token.cues.has(Cues::COMMAND.or(Cues::PASSWORD).or(Cues::IDENTIFIED)) {
            passwords::find(text, at, found);
        }
        found.extend(secrets::of_issuer(text, at));
        if token.has_digits() || token.is_capital() || token.case == Case::Initial {
            places::find(text, at, found);
        }
        if found.len() == before && token.is_capital() {
            let _ = places::lived_in(text, at, found)
                .or_else(|| places::town_and_state(text, at, found));
        }
        if found.len() > before {
            return;
        }
        let number = match token.kind {
            Kind::Word if token.cues.has(Cues::OLD) => ages::age_in_words(text, at),
            Kind::Word => numbers::find(text, at).or_else(|| numbers::prefixed_word(text, at)),
            _ if places::zip_after_state(text, at, found).is_some() => None,
            _ => ages::age(text, at).or_else(|| numbers::find(text, at)),
        };
        found.extend(number);
        if let Some(first) = number {
            series::rest(text, &first, at, found);
        } else if token.kind == Kind::Word && found.len() == before {
            found.extend(series::handle(text, at));
        }
    }

    /// What the words before a `:` or `=` say of what follows.
    fn field_before(&self, sign: usize) -> Option<Field> {
        let separator = self.text.get(sign)?;
        let value = self.text.get(sign + 1)?;
        let time = separator.is_sign(b':') && value.gap == Gap::None && value.kind == Kind::Number;
        if time && self.text.before(sign).is_some_and(Token::has_digits) {
            return None;
        }
        let mut words: SmallVec<[Cues; key::KEY_WORDS_MAX]> = SmallVec::new();
        let mut gap = separator.gap;
        for token in self.text.tokens[..sign].iter().rev() {
            if gap >= Gap::Wide || words.len() >= key::KEY_WORDS_MAX {
                break;
            }
            match token.kind {
                Kind::Word => words.push(token.cues),
                Kind::Number | Kind::Mixed => {}
                Kind::Sign(
                    b'_' | b'-' | b'/' | b'#' | b'.' | b'\'' | b'"' | b'(' | b')' | b'*' | b'`',
                ) => {}
                _ => break,
            }
            gap = token.gap;
        }
        // `MR#` is a medical record; `Mr` is not.
        let hash_sign = self.text.before(sign).is_some_and(|hash| hash.is_sign(b'#'));
        let record = sign.checked_sub(2).and_then(|word| self.text.get(word));
        if hash_sign && record.is_some_and(|word| self.text.str(word) == "MR") {
            return Some(Field::Number(Label::Mrn));
        }
        if let Some(cues) = self.text.spelled_before(sign) {
            words.insert(0, cues);
        }
        // The last words name the field; those before may be a sentence.
        let last: SmallVec<[Cues; 3]> = words.iter().take(3).rev().copied().collect();
        let alone = Cues::NAME_PART.or(Cues::ADDRESSEE);
        (0..last.len()).find_map(|from| {
            // `(most recent call last):` is no label of a name.
            let part = from > 0 && from + 1 == last.len() && last[from].has(alone);
            let field = key::of_words(&last[from..])?;
            let clear = last[from].has(Cues::PERSON.or(Cues::ROLE).or(Cues::RELATIVE));
            (!(part && field == Field::MaybeName) || clear).then_some(field)
        })
    }

    /// Tells the value of a field that begins at a token.
    fn value(&mut self, at: usize, field: Field) {
        let mut at = at;
        while self.text.get(at).is_some_and(|token| {
            matches!(token.kind, Kind::Sign(b'"' | b'\'' | b'*' | b'#' | b'(' | b'=' | b'_'))
        }) {
            at += 1;
        }
        let Some(token) = self.text.get(at).copied() else { return };
        // `Name: ______  Date:`: a blank to be filled in by hand.
        let blank = self.text.before(at).is_some_and(|sign| sign.is_sign(b'_'));
        if blank && token.gap > Gap::None {
            return;
        }
        if token.gap == Gap::Line && !self.text.before(at).is_some_and(|sign| sign.is_sign(b':')) {
            return;
        }
        if self.is_annotation(at, field) {
            return;
        }
        let sign = at.checked_sub(2).and_then(|word| self.text.get(word));
        if field == Field::Number(Label::Mrn) && sign.is_some_and(|it| self.text.is_process(it, at))
        {
            return;
        }
        match field {
            Field::Sure(Label::Name) => self.name(at, true),
            Field::MaybeName => self.name(at, false),
            Field::Login | Field::MaybeLogin => self.login(at, field == Field::Login),
            Field::Sure(Label::Address) => self.address(at),
            Field::Sure(Label::Location) => self.location(at),
            Field::Sure(Label::Secret) => self.password(at),
            Field::Number(Label::Secret) => self.secret(at, |_| true),
            Field::Cookie => self.cookies(at),
            Field::MaybeSecret => self.secret(at, secrets::is_like_password),
            Field::Number(label) => self.number(at, label),
            Field::Date => {
                let date = (at..at + 3).find_map(|place| {
                    let token = self.text.get(place)?;
                    let near = place == at || token.gap < Gap::Line;
                    near.then(|| dates::find_date(&self.text, place)).flatten()
                });
                let date = date.or_else(|| dates::birth_in_digits(&self.text, at));
                self.found.extend(date);
            }
            Field::Age => {
                if let Some(age) = ages::age_in_words(&self.text, at) {
                    return self.found.push(age);
                }
                let age: Option<u32> = self.text.str(&token).parse().ok();
                if age.is_some_and(|age| (90..=120).contains(&age)) {
                    self.found.push(Finding::new(token.start, token.end, Label::Age, "age-field"));
                }
            }
            Field::Sure(_) | Field::LogTime | Field::Code => {}
        }
    }

    /// `name: String`, `owner: Owner`, `token: AuthToken`: the type of a program's field, which is
    /// known, or says again what the field is.
    fn is_annotation(&self, at: usize, field: Field) -> bool {
        let Some(token) = self.text.get(at).filter(|token| token.kind == Kind::Word) else {
            return false;
        };
        let quoted = matches!(self.text.byte_before(token.start), Some(b'"' | b'\''));
        let behind = self.text.byte(token.end).unwrap_or(b'\n');
        let ends = b";,)}<[>|=?&\r\n".contains(&behind)
            || behind == b' ' && matches!(self.text.byte(token.end + 1), Some(b'=' | b'|' | b'}'));
        if quoted || !ends {
            return false;
        }
        let again = match field {
            Field::Sure(Label::Secret) | Field::Number(Label::Secret) => Cues::SECRET,
            _ => Cues::NAME
                .or(Cues::FULL_NAME)
                .or(Cues::PERSON)
                .or(Cues::ROLE)
                .or(Cues::OWNER)
                .or(Cues::CITY)
                .or(Cues::ADDRESS),
        };
        let capital = matches!(token.case, Case::Title | Case::Inner);
        let named = token.flags.is_first() || token.flags.is_last();
        logins::is_type(self.text.str(token)) || capital && token.cues.has(again) && !named
    }

    /// What somebody logs in by, or who it is.
    fn login(&mut self, at: usize, sure: bool) {
        if let Some(login) = logins::behind_sign(&self.text, at, sure) {
            return self.found.push(login);
        }
        match self.text.get(at) {
            Some(token) if token.has_digits() && sure => self.number(at, Label::Id),
            _ => self.name(at, false),
        }
    }

    /// The words of a name behind its label.
    fn name(&mut self, at: usize, sure: bool) {
        const WORDS_MAX: usize = 6;
        let mut end = at;
        let mut named = false;
        while let Some(token) = self.text.get(end) {
            let first = end == at;
            if !first && token.gap >= Gap::Wide || end >= at + WORDS_MAX || self.taken[end] {
                break;
            }
            let stop = token.cues.has(Cues::STOP.or(Cues::NONE)) && !token.flags.is_first()
                || self
                    .text
                    .get(end + 1)
                    .is_some_and(|next| next.is_sign(b':') || next.is_sign(b'='));
            let joins = !first
                && (token.is_sign(b'.')
                    || token.is_sign(b',')
                    || token.is_sign(b'-')
                    || token.is_sign(b'^'))
                && self
                    .text
                    .get(end + 1)
                    .is_some_and(|next| next.is_capital() || next.case == Case::Initial);
            let small = token.case == Case::Lower
                && (sure && token.flags.is_name() && !token.cues.has(Cues::STOP)
                    || token.cues.has(Cues::PARTICLE));
            let part = token.is_capital() || token.case == Case::Initial || small;
            if stop || !(part && token.kind == Kind::Word || joins) {
                break;
            }
            let credential = token.cues.has(Cues::CREDENTIAL) && token.case == Case::Upper;
            if credential {
                break;
            }
            // A title alone is nobody's name.
            named |= token.flags.is_name() && !token.cues.has(Cues::ORGANISATION.or(Cues::TITLE))
                || token.flags.is_strange() && token.len() > 2 && !token.cues.has(Cues::TITLE);
            end += 1;
        }
        while end > at && self.text.get(end - 1).is_some_and(|token| !token.is_alphanumeric()) {
            end -= 1;
        }
        if end == at || !sure && !named {
            return;
        }
        self.found.extend(self.text.finding(at, end, Label::Name, "name-field"));
    }

    /// A street behind its label, to the end of the field.
    fn address(&mut self, at: usize) {
        if places::find(&self.text, at, &mut self.found).is_some() {
            return;
        }
        const TOKENS_MAX: usize = 14;
        let mut end = at;
        while let Some(token) = self.text.get(end) {
            let stop = end > at && token.gap >= Gap::Wide
                || end >= at + TOKENS_MAX
                || matches!(token.kind, Kind::Sign(b';' | b'|' | b'"' | b'&' | b'@'))
                || self
                    .text
                    .get(end + 1)
                    .is_some_and(|next| next.is_sign(b':') || next.is_sign(b'='));
            if stop {
                break;
            }
            end += 1;
        }
        let has_digits = self.text.tokens[at..end].iter().any(Token::has_digits);
        if has_digits {
            self.found.extend(self.text.finding(at, end, Label::Address, "address-field"));
        }
    }

    fn location(&mut self, at: usize) {
        let mut end = at;
        while let Some(token) = self.text.get(end) {
            let gap = end > at && token.gap >= Gap::Wide;
            let part = token.is_capital() && !numbers::is_state(token)
                || end > at
                    && token.gap == Gap::None
                    && matches!(token.kind, Kind::Sign(b'.' | b'\'' | b'-'));
            if gap || !part || end >= at + 4 {
                break;
            }
            end += 1;
        }
        self.found.extend(self.text.finding(at, end, Label::Location, "place-field"));
    }

    /// A password is what stands between its quotes, whatever that is.
    fn password(&mut self, at: usize) {
        const PASSWORD_BYTES_MAX: usize = 128;
        let Some(token) = self.text.get(at) else { return };
        let rest = self.text.text.get(token.start..).unwrap_or("");
        let quote = self.text.byte_before(token.start).filter(|sign| matches!(sign, b'"' | b'\''));
        let line = rest.lines().next().unwrap_or("");
        let close = quote.and_then(|quote| line.find(char::from(quote)));
        match close.filter(|close| (1..=PASSWORD_BYTES_MAX).contains(close)) {
            Some(close) if line.get(..close).is_some_and(|inner| inner.contains(' ')) => {
                let (start, end) = (token.start, token.start + close);
                self.found.push(Finding::new(start, end, Label::Secret, "password-in-quotes"));
            }
            _ => self.secret(at, |_| true),
        }
    }

    /// The values of cookies, each to its `;`: `sid=…; theme=…; Path=/`.
    fn cookies(&mut self, at: usize) {
        const COOKIES_MAX: usize = 64;
        const COOKIES_BYTES_MAX: usize = 4 * 1_024;
        const ATTRIBUTES: [&str; 7] =
            ["path", "domain", "expires", "max-age", "samesite", "version", "priority"];
        let Some(token) = self.text.get(at) else { return };
        let mut end = self.text.text.len().min(token.start + COOKIES_BYTES_MAX);
        while !self.text.text.is_char_boundary(end) {
            end -= 1;
        }
        let line = self.text.text.get(token.start..end).unwrap_or("");
        let close = memchr3(b'\n', b'"', b'\'', line.as_bytes()).unwrap_or(line.len());
        let line = line.get(..close).unwrap_or("");
        let mut start = token.start;
        for pair in line.split(';').take(COOKIES_MAX) {
            if let Some((name, value)) = pair.split_once('=') {
                let attribute = ATTRIBUTES.iter().any(|it| it.eq_ignore_ascii_case(name.trim()));
                let from = start + name.len() + 1;
                let value = value.split(char::is_whitespace).next().unwrap_or("");
                if !attribute && !value.is_empty() && Label::placeholder_at(value).is_none() {
                    let end = from + value.len();
                    self.found.push(Finding::new(from, end, Label::Secret, "cookie"));
                }
            }
            start += pair.len() + 1;
        }
    }

    /// What a password or key is, to the next space or sign that ends it.
    fn secret(&mut self, at: usize, is: fn(&str) -> bool) {
        const SECRET_BYTES_MIN: usize = 6;
        const SECRET_SIGNS_MAX: usize = 1_024;
        // `Authorization: Bearer …`: the scheme is no secret, the word behind it is.
        let scheme = self.text.get(at).is_some_and(|word| secrets::is_scheme(self.text.str(word)));
        let behind = self.text.get(at + 1).is_some_and(|word| word.gap == Gap::Space);
        let at = at + usize::from(scheme && behind);
        let Some(token) = self.text.get(at) else { return };
        let rest = self.text.text.get(token.start..).unwrap_or("");
        let length = rest
            .char_indices()
            .take(SECRET_SIGNS_MAX)
            .take_while(|(_, sign)| {
                !sign.is_whitespace()
                    && !matches!(sign, '"' | '\'' | ',' | ';' | '&' | ')' | '}' | '`')
            })
            .last()
            .map_or(0, |(at, sign)| at + sign.len_utf8());
        let written = rest.get(..length).unwrap_or("");
        let word = written
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'_' | b'(' | b')'));
        let variable = written.starts_with(['$', '<', '[', '{']) || written.starts_with("env:");
        if length >= SECRET_BYTES_MIN && !word && !variable && is(written) {
            let (start, end) = (token.start, token.start + length);
            self.found.push(Finding::new(start, end, Label::Secret, "secret-field"));
        }
    }

    /// A number behind its label, with the groups that hang together.
    fn number(&mut self, at: usize, label: Label) {
        let Some(token) = self.text.get(at).copied() else { return };
        if let Some(finding) = numbers::find(&self.text, at) {
            let label = if finding.label == Label::Id { label } else { finding.label };
            let first = Finding { label, ..finding };
            self.found.push(first);
            return series::rest(&self.text, &first, at, &mut self.found);
        }
        let (mut end, mut digits) = numbers::code_end(&self.text, at);
        let mut next = self.text.place_from(at, end);
        // Groups that are set apart by spaces, as cards and telephones are.
        while let Some(group) = self.text.get(next) {
            let letters = self.text.str(&token).len() <= 4 && digits == 0;
            let beside = group.gap == Gap::Space
                && (group.kind == Kind::Number || letters && group.has_digits());
            if !beside || label == Label::Zip {
                break;
            }
            let more;
            (end, more) = numbers::code_end(&self.text, next);
            digits += more;
            next = self.text.place_from(next, end);
        }
        let shortest = if label == Label::Zip { 5 } else { 3 };
        let plain = token.is_alphanumeric() && (token.has_digits() || token.case != Case::Lower);
        if digits >= shortest && plain {
            let first = Finding::new(token.start, end, label, "number-field");
            self.found.push(first);
            series::rest(&self.text, &first, at, &mut self.found);
        }
    }
}
