//! Which skill is at work: from the exchange that carries the result of its call on, until the turn
//! ends or the same agent starts another one.

use std::collections::HashMap;

use crate::agent::query::Query;

/// Skills by turn and agent. No more turns are open at once than queries are followed.
#[derive(Debug, Default)]
pub struct Skills(HashMap<String, Vec<(Option<String>, String)>>);

impl Skills {
    /// The skill that an exchange is part of. `started` is the one whose result it carries.
    pub fn at<'s>(
        &'s mut self,
        turn: &str,
        agent: Option<&str>,
        started: Option<&str>,
    ) -> Option<&'s str> {
        if let Some(skill) = started {
            let skills = self.0.entry(turn.to_owned()).or_default();
            skills.retain(|(known, _)| known.as_deref() != agent);
            skills.push((agent.map(str::to_owned), skill.to_owned()));
        }
        let skills = self.0.get(turn)?;
        skills.iter().find(|(known, _)| known.as_deref() == agent).map(|(_, skill)| skill.as_str())
    }

    /// A turn ended.
    pub fn end(&mut self, turn: &Query) {
        self.0.remove(&turn.first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skill_is_one_agents_until_the_next() {
        let mut skills = Skills::default();
        assert_eq!(skills.at("t", None, None), None);
        assert_eq!(skills.at("t", None, Some("pdf")), Some("pdf"));
        assert_eq!(skills.at("t", Some("a"), None), None);
        assert_eq!(skills.at("t", None, None), Some("pdf"));
        assert_eq!(skills.at("t", None, Some("xlsx")), Some("xlsx"));
        assert_eq!(skills.at("u", None, None), None);
    }
}
