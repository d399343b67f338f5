//! Sums by name, with a bound on how many names are kept.

use std::collections::HashMap;

/// The most names that are told apart in one list; names come from clients, so there is an end.
pub const NAMES_MAX: usize = 200_000;

/// Values by name. Names beyond [`NAMES_MAX`] share one value.
#[derive(Debug, Default)]
pub struct Groups<V> {
    places: HashMap<String, usize>,
    named: Vec<(String, V)>,
    /// Where the last one was: often the next one is there too.
    last: usize,
    beyond: V,
    is_beyond: bool,
}

impl<V: Default> Groups<V> {
    /// The value of `name`.
    pub fn at(&mut self, name: &str) -> &mut V {
        let is_last = self.named.get(self.last).is_some_and(|(known, _)| known == name);
        if !is_last {
            let place = self.places.get(name).copied();
            let Some(place) = place.or_else(|| self.insert(name)) else {
                self.is_beyond = true;
                return &mut self.beyond;
            };
            self.last = place;
        }
        match self.named.get_mut(self.last) {
            Some((_, value)) => value,
            None => &mut self.beyond,
        }
    }

    fn insert(&mut self, name: &str) -> Option<usize> {
        let place = self.named.len();
        if place >= NAMES_MAX {
            return None;
        }
        self.places.insert(name.to_owned(), place);
        self.named.push((name.to_owned(), V::default()));
        Some(place)
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
        let mut ranked = self.named;
        ranked.sort_unstable_by(|a, b| key(&b.1).cmp(&key(&a.1)).then_with(|| a.0.cmp(&b.0)));
        let tail = if ranked.len() > most { ranked.split_off(most) } else { Vec::new() };
        if tail.is_empty() && !self.is_beyond {
            return ranked;
        }
        let name = rest(tail.len());
        let mut sum = self.beyond;
        tail.into_iter().for_each(|(_, value)| merge(&mut sum, value));
        ranked.push((name, sum));
        ranked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first_and_nothing_is_lost() {
        let mut groups: Groups<u64> = Groups::default();
        for (name, more) in [("a", 1), ("b", 5), ("c", 2), ("d", 2), ("a", 2)] {
            *groups.at(name) += more;
        }
        let ranked =
            groups.ranked(2, |sum| *sum, |rest| format!("{rest} more"), |sum, more| *sum += more);
        let owned = |name: &str, sum| (name.to_owned(), sum);
        assert_eq!(ranked, [owned("b", 5), owned("a", 3), owned("2 more", 4)]);
    }

    #[test]
    fn names_have_an_end_and_sums_do_not() {
        let mut groups: Groups<u64> = Groups::default();
        for name in 0..NAMES_MAX + 3 {
            *groups.at(&name.to_string()) += 1;
        }
        let ranked = groups.ranked(1, |sum| *sum, |_| "rest".to_owned(), |sum, more| *sum += more);
        assert_eq!(ranked.iter().map(|(_, sum)| sum).sum::<u64>(), NAMES_MAX as u64 + 3);
    }
}
