//! A whole document: its structure first, then the text in it, then the names it has told.

use std::cell::RefCell;
use std::collections::HashMap;

use super::cue::{ByHash, Cues};
use super::finding::{Finding, merged};
use super::identifier;
use super::key::Field;
use super::known::{self, Known};
use super::label::Label;
use super::lexicon;
use super::logins;
use super::names;
use super::rules::{Mode, Rules};
use super::scan::{self, Lists, Scanned};
use super::secrets;
use super::structure;
use super::text::Text;
use super::token::{Case, Kind, Token};
use super::view::View;

/// How deep documents may stand in documents (JSON in a string of JSON, a table in that).
pub const DEPTH_MAX: usize = 12;

/// One word in so many bytes may be a name told elsewhere.
const LATER_BYTES: usize = 32;

/// Finds everything in one document.
pub struct Document<'a> {
    pub(super) rules: &'a Rules,
    text: &'a str,
    found: Vec<Finding>,
    known: &'a mut Known,
    /// Words that may turn out to be names told elsewhere, and where they stand.
    later: Vec<Later>,
    /// Names, if the document turns out to be about a person.
    perhaps: Vec<Finding>,
    /// The quote that belongs about what is told, where a number without quotes is read.
    quote: Option<(usize, usize)>,
    /// Lists that scans share.
    lists: Lists,
    /// What names of fields say, by their hash: lists repeat the same few.
    fields: RefCell<HashMap<u64, Option<Field>, ByHash>>,
    /// Says that nobody waits any more; asked before each part is scanned.
    stop: &'a dyn Fn() -> bool,
    stopped: bool,
}

/// A word that is a name if the session tells it as one.
struct Later {
    start: usize,
    end: usize,
    hash: u64,
    /// Written as names are; another one is a name if the operator says so.
    nameable: bool,
}

/// Findings in a document, in order and without overlap. Names that it tells are remembered in
/// `known`, and names that `known` holds already are found. `None` where `stop` said so before all
/// was read.
#[must_use]
pub fn findings(
    text: &str,
    rules: &Rules,
    known: &mut Known,
    stop: &dyn Fn() -> bool,
) -> Option<Vec<Finding>> {
    let mut document = Document {
        rules,
        text,
        found: Vec::new(),
        known,
        later: Vec::with_capacity(text.len() / LATER_BYTES),
        perhaps: Vec::new(),
        fields: RefCell::default(),
        lists: Lists::default(),
        quote: None,
        stop,
        stopped: false,
    };
    let view = View::normalised(text).unwrap_or_else(|| View::document(text));
    structure::read(&mut document, &view, 0);
    if document.stopped {
        return None;
    }
    document.found.retain(|finding| !rules.allows(finding, text));
    if is_about_a_person(&document.found) {
        document.found.append(&mut document.perhaps);
    }
    for Later { start, end, hash, nameable } in &document.later {
        if *nameable && document.known.has(*hash) || rules.names(*hash) {
            document.found.push(Finding::new(*start, *end, Label::Name, "name-told-before"));
        }
    }
    document.found.retain(|finding| !rules.allows(finding, text));
    Some(merged(document.found))
}

/// What is found says that the document is about a person.
fn is_about_a_person(found: &[Finding]) -> bool {
    found.iter().any(|finding| {
        matches!(
            finding.label,
            Label::Name | Label::Mrn | Label::Ssn | Label::HealthPlanId | Label::Phone | Label::Age
        )
    })
}

impl Document<'_> {
    /// What the field with this name holds.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Field> {
        let hash = lexicon::hash(name.as_bytes());
        *self.fields.borrow_mut().entry(hash).or_insert_with(|| self.rules.field(name))
    }

    /// Tells a finding in a view.
    pub fn tell(&mut self, view: &View<'_>, finding: Finding) {
        let finding = Finding { quote: self.quote, ..finding };
        view.tell(finding, self.text, &mut self.found);
    }

    /// Reads the value of a field that has no quotes about it; `quote` is one of its key's.
    pub fn bare_value(
        &mut self,
        view: &View<'_>,
        field: Option<Field>,
        quote: Option<(usize, usize)>,
        depth: usize,
    ) {
        self.quote = quote;
        self.value(view, field, depth);
        self.quote = None;
    }

    /// Where a part of a view stands in the document.
    #[must_use]
    pub fn bounds(&self, view: &View<'_>, start: usize, end: usize) -> (usize, usize) {
        view.bounds(start, end, self.text)
    }

    /// Tells a whole view, but for white space about it.
    pub fn tell_all(&mut self, view: &View<'_>, label: Label, rule: &'static str) {
        let text = view.text.as_ref();
        let start = text.len() - text.trim_start().len();
        let end = text.trim_end().len();
        if start < end {
            self.tell(view, Finding::new(start, end, label, rule));
        }
    }

    /// Reads a text that has no structure.
    pub fn plain(&mut self, view: &View<'_>) {
        self.stopped = self.stopped || (self.stop)();
        if self.stopped {
            return;
        }
        let scanned = scan::scan(&view.text, self.rules, std::mem::take(&mut self.lists));
        for finding in &scanned.found {
            if finding.label == Label::Name {
                self.known.learn(scanned.text.within(finding.start, finding.end));
            } else if matches!(finding.rule, "login" | "home-folder") {
                self.known.learn_login(scanned.text.within(finding.start, finding.end));
            }
            self.tell(view, *finding);
        }
        for finding in &scanned.perhaps {
            view.tell(*finding, self.text, &mut self.perhaps);
        }
        self.remember(view, &scanned);
        if self.rules.mode == Mode::Strict {
            self.strict(view, &scanned);
        }
        self.lists = scanned.into_lists();
    }

    /// Keeps the words that may turn out to be names.
    fn remember(&mut self, view: &View<'_>, scanned: &Scanned<'_>) {
        for (token, taken) in scanned.text.tokens.iter().zip(&scanned.taken) {
            let word = token.kind == Kind::Word && token.len() >= 3 && !taken;
            if word
                && (token.case != Case::Lower || token.flags.is_name() || token.flags.is_strange())
            {
                let (start, end) = view.bounds(token.start, token.end, self.text);
                let nameable = known::may_recall(token);
                self.later.push(Later { start, end, hash: token.hash, nameable });
            }
        }
    }

    /// Everything that is on no list of words, and every word with four digits.
    fn strict(&mut self, view: &View<'_>, scanned: &Scanned<'_>) {
        const DIGITS_MIN: usize = 4;
        let rules = self.rules;
        for (token, taken) in scanned.text.tokens.iter().zip(&scanned.taken) {
            let written = scanned.text.str(token);
            let digits = written.bytes().filter(u8::is_ascii_digit).count();
            let year = token.kind == Kind::Number
                && written.parse().is_ok_and(|year: u32| (1900..2100).contains(&year));
            let capital = token.kind == Kind::Word
                && token.len() > 1
                && matches!(token.case, Case::Title | Case::Upper | Case::Inner)
                && !token.flags.is_known()
                && !token.cues.has(Cues::STOP.or(Cues::MONTH).or(Cues::WEEKDAY));
            let text = &scanned.text;
            let machine = digits >= DIGITS_MIN && is_made_by_machine(text, token)
                || capital && is_error_class(written);
            let finding = if machine {
                continue;
            } else if digits >= DIGITS_MIN && !year {
                Finding::new(token.start, token.end, Label::Id, "strict-digits")
            } else if capital {
                Finding::new(token.start, token.end, Label::Name, "strict-capital")
            } else {
                continue;
            };
            if !taken && !rules.allows(&finding, scanned.text.text) {
                self.tell(view, finding);
            }
        }
    }

    /// Reads the value of a field.
    pub fn value(&mut self, view: &View<'_>, field: Option<Field>, depth: usize) {
        let text = view.text.trim();
        if text.is_empty() || is_nothing(text) {
            return;
        }
        let whole = match field {
            None => return structure::read(self, view, depth + 1),
            Some(field) => self.whole(text, field),
        };
        match whole {
            Some(Some(label)) => {
                if label == Label::Name {
                    self.known.learn(&Text::new(text).tokens);
                } else if matches!(field, Some(Field::Login | Field::MaybeLogin)) {
                    self.known.learn_login(&Text::new(text).tokens);
                }
                self.tell_all(view, label, "field");
            }
            Some(None) => {}
            None => structure::read(self, view, depth + 1),
        }
    }

    /// What a whole value is: a label, nothing (`Some(None)`), or a text to be read (`None`).
    fn whole(&self, text: &str, field: Field) -> Option<Option<Label>> {
        const NUMBER_BYTES_MAX: usize = 40;
        const SECRET_BYTES_MIN: usize = 4;
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        let letters = text.chars().any(char::is_alphabetic);
        let short = text.len() <= NUMBER_BYTES_MAX;
        match field {
            Field::Sure(Label::Name) if letters => Some(Some(Label::Name)),
            Field::Sure(Label::Email) => None,
            Field::Sure(label) if letters || digits > 0 => Some(Some(label)),
            Field::MaybeName => {
                names::reads_like_name(&Text::new(text)).then_some(Some(Label::Name))
            }
            Field::Login if logins::is_login(text, true) => Some(Some(Label::Id)),
            Field::MaybeLogin if logins::is_login(text, false) => Some(Some(Label::Id)),
            Field::Login if short && digits > 0 && !text.contains(' ') => Some(Some(Label::Id)),
            Field::Login | Field::MaybeLogin => {
                names::reads_like_name(&Text::new(text)).then_some(Some(Label::Name))
            }
            Field::Cookie => text.contains('=').then_some(Some(Label::Secret)),
            Field::MaybeSecret => secrets::is_like_password(text).then_some(Some(Label::Secret)),
            Field::Number(Label::Secret) => {
                let (scheme, rest) = text.split_once(' ').unwrap_or(("", text));
                let secret = if secrets::is_scheme(scheme) { rest } else { text };
                let one = secret.len() >= SECRET_BYTES_MIN && !secret.contains(' ');
                one.then_some(Some(Label::Secret))
            }
            Field::Number(label) => {
                let shortest = if matches!(label, Label::Id | Label::Mrn) { 1 } else { 3 };
                let spaces = text.bytes().filter(|byte| *byte == b' ').count();
                let words = label != Label::Phone && spaces > 4;
                (digits >= shortest && short && !words).then_some(Some(label))
            }
            Field::Date => {
                let year = digits == 4 && text.len() == 4;
                let month = Text::new(text).tokens.iter().any(|token| token.cues.has(Cues::MONTH));
                let fits =
                    short && !year && (digits >= 3 && is_date_like(text) || month && digits > 0);
                if year { Some(None) } else { fits.then_some(Some(Label::Date)) }
            }
            Field::Age => {
                let age = text.trim_end_matches(|sign: char| !sign.is_ascii_digit()).parse::<u32>();
                Some(age.is_ok_and(|age| (90..=130).contains(&age)).then_some(Label::Age))
            }
            Field::LogTime => {
                let number = !letters || is_date_like(text) && short && digits >= 8;
                number.then_some(None)
            }
            Field::Code => {
                let single = short && !text.contains(char::is_whitespace);
                let machine = single && self.rules.mode == Mode::Standard && !text.contains('@');
                machine.then_some(None)
            }
            Field::Sure(_) => None,
        }
    }
}

/// `req_…`, `toolu_…`: an id that the API made; `claude-sonnet-4-5-20250929`: the date of a model.
fn is_made_by_machine(text: &Text<'_>, token: &Token) -> bool {
    const RUN_BYTES_MAX: usize = 64;
    let inside = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let bytes = text.text.as_bytes();
    let before = bytes.get(token.start.saturating_sub(RUN_BYTES_MAX)..token.start).unwrap_or(&[]);
    let start = token.start - before.iter().rev().take_while(inside).count();
    let run = text.text.get(start..token.end).unwrap_or("");
    let models = ["claude-", "anthropic.claude-"];
    let model = token.kind == Kind::Number
        && token.len() == 8
        && models.iter().any(|model| run.starts_with(model));
    model || identifier::is_of_api(run)
}

/// `NullPointerException`, `Traceback`: what programs call their failures.
fn is_error_class(word: &str) -> bool {
    ["Error", "Exception", "Warning", "Traceback"].iter().any(|end| word.ends_with(end))
}

/// Digits and the signs of dates and times, with at most a `T`, a `Z` or a zone.
fn is_date_like(text: &str) -> bool {
    text.bytes().all(|byte| {
        byte.is_ascii_digit()
            || matches!(
                byte,
                b'-' | b'/'
                    | b'.'
                    | b':'
                    | b' '
                    | b'T'
                    | b'Z'
                    | b'+'
                    | b','
                    | b'A'
                    | b'P'
                    | b'M'
                    | b't'
                    | b'z'
            )
    })
}

/// A value that says there is none, or that was redacted before.
#[must_use]
pub fn is_nothing(text: &str) -> bool {
    if Label::placeholder_at(text) == Some(text.len()) {
        return true;
    }
    const NOTHINGS: [&str; 14] = [
        "null",
        "none",
        "n/a",
        "na",
        "unknown",
        "true",
        "false",
        "yes",
        "no",
        "-",
        "--",
        "nil",
        "undefined",
        "None",
    ];
    text.len() <= 9 && NOTHINGS.iter().any(|nothing| text.eq_ignore_ascii_case(nothing))
}
