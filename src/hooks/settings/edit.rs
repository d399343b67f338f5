//! Our hooks put into a settings file and taken out again, everything else as it is.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstArray, CstInputValue, CstNode, CstObject, CstRootNode};
use serde_json::Value;

use super::{Hooks, SettingsError, TOKEN_VARIABLE, events, ours};
use crate::anthropic::json;

/// Some editors write it at the front.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// What managed settings can say beside the hooks: only theirs run, and only to this address.
const MANAGED_ONLY: &str = "allowManagedHooksOnly";
const ALLOWED_URLS: &str = "allowedHttpHookUrls";

/// The text with these hooks in it, in place of whichever of ours it had before.
///
/// # Errors
///
/// It is not a settings file that the client would read.
pub fn with_hooks(text: &str, hooks: &Hooks) -> Result<String, SettingsError> {
    let file = File::parse(text)?;
    let all = file.object("hooks")?;
    for property in all.properties() {
        let name = property.decoded_name().unwrap_or_default();
        if !events().any(|event| event == name) {
            take_out(&all, &name)?;
        }
    }
    for event in events() {
        let wanted = hooks.hook(event);
        let is_wanted = |hook: &Value| hook == &plain(&wanted);
        if all.get(event).is_some() {
            let (own, kept) = count(&list(&all, event)?, &is_wanted);
            if own == 1 && kept == 1 {
                continue;
            }
            take_out(&all, event)?;
        }
        let hook = CstInputValue::Object(
            wanted.into_iter().map(|(key, value)| (key.to_owned(), input(value))).collect(),
        );
        let group = vec![("hooks".to_owned(), CstInputValue::Array(vec![hook]))];
        list(&all, event)?.append(CstInputValue::Object(group));
    }
    Ok(file.text())
}

/// The text with the token in the `env` block.
///
/// # Errors
///
/// As [`with_hooks`].
pub fn with_token(text: &str, token: &str) -> Result<String, SettingsError> {
    let file = File::parse(text)?;
    let block = file.object("env")?;
    let value = CstInputValue::String(token.to_owned());
    match block.get(TOKEN_VARIABLE) {
        Some(property) if string(&property.value()).as_deref() == Some(token) => {}
        Some(property) => property.set_value(value),
        None => drop(block.append(TOKEN_VARIABLE, value)),
    }
    Ok(file.text())
}

/// The text with the rules of managed settings: no hooks but the managed ones, and those to `url`
/// alone.
///
/// # Errors
///
/// As [`with_hooks`].
pub fn with_rules(text: &str, url: &str) -> Result<String, SettingsError> {
    let file = File::parse(text)?;
    let urls = CstInputValue::Array(vec![CstInputValue::String(url.to_owned())]);
    for (key, value) in [(MANAGED_ONLY, CstInputValue::Bool(true)), (ALLOWED_URLS, urls)] {
        match file.root.get(key) {
            Some(property) => property.set_value(value),
            None => drop(file.root.append(key, value)),
        }
    }
    Ok(file.text())
}

/// The text without our hooks and the token; `managed`: and without the rules of managed settings.
///
/// # Errors
///
/// As [`with_hooks`].
pub fn without(text: &str, managed: bool) -> Result<String, SettingsError> {
    let file = File::parse(text)?;
    if let Some(property) = file.root.get("hooks") {
        let all = file.object("hooks")?;
        let mut taken = false;
        for event in all.properties() {
            taken |= take_out(&all, &event.decoded_name().unwrap_or_default())?;
        }
        if taken && all.properties().is_empty() {
            property.remove();
        }
    }
    if let Some(property) = file.root.get("env") {
        let block = file.object("env")?;
        if let Some(token) = block.get(TOKEN_VARIABLE) {
            token.remove();
            if block.properties().is_empty() {
                property.remove();
            }
        }
    }
    let rules = if managed { [MANAGED_ONLY, ALLOWED_URLS].as_slice() } else { &[] };
    for property in rules.iter().filter_map(|key| file.root.get(key)) {
        property.remove();
    }
    Ok(file.text())
}

/// A settings file as it stands, every space of it.
struct File {
    mark: &'static str,
    tree: CstRootNode,
    root: CstObject,
}

impl File {
    fn parse(text: &str) -> Result<File, SettingsError> {
        let (mark, text) = match text.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => ("\u{feff}", rest),
            None => ("", text),
        };
        let wrong = |error: &dyn std::fmt::Display| SettingsError::NotJson(error.to_string());
        // The client is as strict as this; the tree's own parser is not.
        if !text.trim().is_empty() && json::parse(text).map_err(|e| wrong(&e))?.has_duplicate {
            return Err(SettingsError::Twice);
        }
        let tree =
            CstRootNode::parse(text, &ParseOptions::default()).map_err(|error| wrong(&error))?;
        let object = tree.object_value_or_create();
        let whole = || SettingsError::Shape("the whole".to_owned(), "an object");
        let root = object.ok_or_else(whole)?;
        Ok(File { mark, tree, root })
    }

    fn text(&self) -> String {
        format!("{}{}", self.mark, self.tree)
    }

    fn object(&self, key: &str) -> Result<CstObject, SettingsError> {
        let wrong = || SettingsError::Shape(key.to_owned(), "an object");
        self.root.object_value_or_create(key).ok_or_else(wrong)
    }
}

/// The groups of an event.
fn list(all: &CstObject, event: &str) -> Result<CstArray, SettingsError> {
    let wrong = || SettingsError::Shape(format!("hooks.{event}"), "a list");
    all.array_value_or_create(event).ok_or_else(wrong)
}

/// The hooks of a group, where it has a list of them.
fn hooks_of(group: &CstNode) -> Option<CstArray> {
    group.as_object()?.array_value("hooks")
}

/// How many hooks of ours the groups hold, and how many of those are as wanted and alone.
fn count(groups: &CstArray, is_wanted: &dyn Fn(&Value) -> bool) -> (usize, usize) {
    let (mut own, mut kept) = (0, 0);
    for group in groups.elements() {
        let hooks: Vec<Value> = hooks_of(&group)
            .map(|list| list.elements())
            .unwrap_or_default()
            .iter()
            .map(value)
            .collect();
        let ours = hooks.iter().filter(|hook| ours(hook).is_some()).count();
        own += ours;
        // With a matcher it would see a part of the events only.
        let is_open = group.as_object().is_some_and(|object| object.get("matcher").is_none());
        kept += usize::from(is_open && hooks.len() == 1 && hooks.iter().any(is_wanted));
    }
    (own, kept)
}

/// Takes our hooks out of an event, and what is empty then; whether there were any.
fn take_out(all: &CstObject, event: &str) -> Result<bool, SettingsError> {
    let Some(property) = all.get(event) else { return Ok(false) };
    let groups = list(all, event)?;
    let mut taken = false;
    for group in groups.elements() {
        let Some(hooks) = hooks_of(&group) else { continue };
        let own: Vec<_> =
            hooks.elements().into_iter().filter(|h| ours(&value(h)).is_some()).collect();
        taken |= !own.is_empty();
        if !own.is_empty() && own.len() == hooks.elements().len() {
            group.remove();
            continue;
        }
        own.into_iter().for_each(CstNode::remove);
    }
    if taken && groups.elements().is_empty() {
        property.remove();
    }
    Ok(taken)
}

fn value(node: &CstNode) -> Value {
    serde_json::from_str(&node.to_string()).unwrap_or_default()
}

fn string(node: &Option<CstNode>) -> Option<String> {
    node.as_ref()?.as_string_lit()?.decoded_value().ok()
}

fn plain(fields: &[(&'static str, Value)]) -> Value {
    fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

fn input(value: Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(truth) => CstInputValue::Bool(truth),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text),
        Value::Array(items) => CstInputValue::Array(items.into_iter().map(input).collect()),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| (key, input(value)));
            CstInputValue::Object(fields.collect())
        }
    }
}
