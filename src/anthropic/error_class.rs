//! What an error is where its type does not say: the reason stands in its text only. The text is
//! looked at while it passes, and never kept.

/// The error types that stand for many reasons: the API's, Bedrock's and Vertex's.
const VAGUE: [&str; 3] = ["invalid_request_error", "ValidationException", "INVALID_ARGUMENT"];
/// How much of a text is looked at, in bytes: the reason comes first.
const LOOKED_AT_MAX: usize = 512;

/// The prompt, or the prompt and the output asked for, does not fit the model's context.
const CONTEXT: &str = "context_length_exceeded";
/// Prepaid credit is used up.
const CREDIT: &str = "credit_balance_too_low";
/// What each class says, in lower case. The first is the API's and Vertex's
/// (`prompt is too long: 215000 tokens > 200000 maximum`), the second the API's where `max_tokens`
/// is what does not fit, the third Bedrock's.
const CLASSES: [(&str, &str); 4] = [
    ("prompt is too long", CONTEXT),
    ("exceed context limit", CONTEXT),
    ("input is too long for requested model", CONTEXT),
    ("credit balance is too low", CREDIT),
];

/// The class of an error; `None` where its type says it all, or the text is not known.
pub(super) fn of(error_type: Option<&str>, text: &str) -> Option<&'static str> {
    // Bedrock names the type in a header, if at all.
    if error_type.is_some_and(|name| !VAGUE.contains(&name)) {
        return None;
    }
    let start = text.as_bytes().get(..LOOKED_AT_MAX).unwrap_or(text.as_bytes());
    let start = start.to_ascii_lowercase();
    let says = |words: &str| memchr::memmem::find(&start, words.as_bytes()).is_some();
    CLASSES.iter().find(|(words, _)| says(words)).map(|(_, class)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_type_hides_is_looked_for() {
        let vague = Some("invalid_request_error");
        let long = "prompt is too long: 215000 tokens > 200000 maximum";
        assert_eq!(of(vague, long), Some(CONTEXT));
        let output = "input length and `max_tokens` exceed context limit: 199000 + 20000 > 200000";
        assert_eq!(of(vague, output), Some(CONTEXT));
        let bedrock = "Input is too long for requested model.";
        assert_eq!(of(None, bedrock), Some(CONTEXT));
        assert_eq!(of(Some("ValidationException"), bedrock), Some(CONTEXT));
        assert_eq!(of(Some("INVALID_ARGUMENT"), "Prompt is too long"), Some(CONTEXT));
        let credit = "Your credit balance is too low to access the Anthropic API.";
        assert_eq!(of(vague, credit), Some(CREDIT));
        assert_eq!(of(vague, "messages: at least one is required"), None);
        assert_eq!(of(Some("rate_limit_error"), long), None, "the type says it");
        assert_eq!(of(vague, &format!("{}{long}", "\u{e9}".repeat(512))), None, "bounded");
    }
}
