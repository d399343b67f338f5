//! Colours and lines, where a terminal shows them; plain text elsewhere.

/// Says how text is written; holds whether there is a terminal.
#[derive(Clone, Copy)]
pub(super) struct Ink(pub(super) bool);

impl Ink {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(super) fn accent(self, text: &str) -> String {
        self.with("36", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.with("1;32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    /// A plain table, moved to the right; on a terminal with lines around the rows. The tables of
    /// the commands have a line between any two rows, which is too wide and too long for a story.
    pub(super) fn table(self, plain: &str) -> String {
        let mut text = String::new();
        let width = plain.lines().filter(|line| !is_note(line)).map(|line| line.chars().count());
        let rule = "─".repeat(width.max().unwrap_or(0));
        let mut add = |line: &str| text.push_str(&format!("  {line}\n"));
        for (number, line) in plain.lines().enumerate() {
            let is_total = line.starts_with("total ");
            if self.0 && (number == 1 || is_total) {
                add(&self.faint(&rule));
            }
            match number {
                0 => add(&self.faint(line)),
                _ if is_note(line) => add(&self.faint(line)),
                _ if is_total => add(&self.bold(line)),
                _ => add(line),
            }
        }
        text
    }
}

fn is_note(line: &str) -> bool {
    line.starts_with("note: ")
}
