//! Values of a record whose fields have no names: `INSERT INTO t VALUES (…)`, a segment of a site's
//! own, a row without a header.
//!
//! What stands beside each other says what it is. Two names are a person's, a state makes the value
//! before it a town and the one behind it a postal code. And since nothing says that a number is a
//! quantity, a long one is a record's.

use super::super::dates;
use super::super::key::Field;
use super::super::label::Label;
use super::super::names;
use super::super::numbers;
use super::super::text::Text;
use super::super::token::Token;

/// A number with fewer digits counts something more often than it names somebody.
const NUMBER_DIGITS_MIN: usize = 6;

/// What the values of a row beside each other are, where they say it.
pub(super) fn beside(values: &[Text<'_>]) -> Vec<Option<Field>> {
    let single = |at: usize| -> Option<&Token> {
        values.get(at).filter(|text| text.tokens.len() == 1).map(|text| &text.tokens[0])
    };
    let name = |at: usize| {
        single(at)
            .is_some_and(|token| token.is_capital() && names::may_be_name(token) && token.len() > 1)
    };
    let state = |at: usize| single(at).is_some_and(numbers::is_state);
    let field = |at: usize| {
        let beside = name(at) && (name(at + 1) || at > 0 && name(at - 1));
        let town = state(at + 1) && values[at].tokens.iter().all(|token| !token.has_digits());
        let zip = at > 0 && state(at - 1) && single(at).is_some_and(Token::has_digits);
        match (beside, town, zip) {
            (true, false, _) => Some(Field::Sure(Label::Name)),
            (_, true, _) => Some(Field::Sure(Label::Location)),
            (_, _, true) => Some(Field::Number(Label::Zip)),
            _ => None,
        }
    };
    (0..values.len()).map(field).collect()
}

/// What the values of a row are; `None` for those that are read as text.
pub(super) fn fields(values: &[&str]) -> Vec<Option<Field>> {
    let texts: Vec<Text<'_>> = values.iter().map(|value| Text::new(value)).collect();
    let beside = beside(&texts);
    texts.iter().zip(beside).map(|(text, field)| field.or_else(|| alone(text))).collect()
}

/// What one value is by itself.
fn alone(text: &Text<'_>) -> Option<Field> {
    let digits = text.text.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 {
        return names::reads_like_name(text).then_some(Field::MaybeName);
    }
    let whole = |end: usize| end == text.text.trim_end().len();
    if dates::find_date(text, 0).is_some_and(|date| whole(date.end)) {
        return Some(Field::Date);
    }
    // A form of its own says more than its length does.
    if numbers::find(text, 0).is_some_and(|number| whole(number.end)) {
        return None;
    }
    let code = text.text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (code && digits >= NUMBER_DIGITS_MIN).then_some(Field::Number(Label::Id))
}
