//! Sums by name, with a bound on how many names are kept.

use std::collections::HashMap;

/// The most names that are told apart in one list; names come from clients, so there is an end.
pub const NAMES_MAX: usize = 200_000;

/// Values by name. Names beyond [`NAMES_MAX`] share one value.
#[derive(Debug, Default)]
pub struct Groups<V> {
    named: HashMap<String, V>,
    beyond: Option<V>,
}

impl<V: Default> Groups<V> {
    /// The value of `name`.
    pub fn at(&mut self, name: &str) -> &mut V {
        // Looked up twice, so that a name is copied only once: it is nearly always there.
        if !self.named.contains_key(name) {
            if self.named.len() >= NAMES_MAX {
                return self.beyond.get_or_insert_with(V::default);
            }
            self.named.insert(name.to_owned(), V::default());
        }
        match self.named.get_mut(name) {
            Some(value) => value,
            None => self.beyond.get_or_insert_with(V::default),
        }
    }

    /// The names in the order of `key`, the largest first, then by name. Of more than `most`, the
    /// rest comes last as one, under the name that `rest` makes of its number.
    pub fn ranked<K: Ord>(
        self,
        most: usize,
        key: impl Fn(&V) -> K,
        rest: impl Fn(usize) -> String,
        merge: impl Fn(&mut V, V),
    ) -> Vec<(String, V)> {
        let mut ranked: Vec<(String, V)> = self.named.into_iter().collect();
        ranked.sort_unstable_by(|a, b| key(&b.1).cmp(&key(&a.1)).then_with(|| a.0.cmp(&b.0)));
        let tail = if ranked.len() > most { ranked.split_off(most) } else { Vec::new() };
        if tail.is_empty() && self.beyond.is_none() {
            return ranked;
        }
        let name = rest(tail.len());
        let mut sum = self.beyond.unwrap_or_default();
        tail.into_iter().for_each(|(_, value)| merge(&mut sum, value));
        ranked.push((name, sum));
        ranked
    }
}
