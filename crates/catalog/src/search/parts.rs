//! A long text in parts, in which phrases are looked for one after the other.

use super::{
    excerpt::Phrase,
    tokens::{Token, Tokens, tokens},
};

/// How long a part is, up to its last word.
const PART_BYTES: usize = 16 << 10;

/// Words of the next part that are found in the one before too: as long may a phrase be that begins in
/// one and ends in the other.
const OVERLAP_WORDS: usize = 16;

/// A part of a text.
#[derive(Clone, Debug)]
pub(super) struct Part<'a> {
    pub(super) text: &'a str,
    /// Its words, and the first of the next part.
    pub(super) tokens: Vec<Token>,
    /// Whether the text begins here, and whether it ends.
    pub(super) is_first: bool,
    pub(super) is_last: bool,
}

/// The parts of a text, in order. Each takes as long as it is.
pub(super) struct Parts<'a> {
    text: &'a str,
    tokens: Tokens<'a>,
    /// Words from `start` on.
    ahead: Vec<Token>,
    start: usize,
}

pub(super) fn parts(text: &str) -> Parts<'_> {
    Parts {
        text,
        tokens: tokens(text),
        ahead: Vec::new(),
        start: 0,
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let (text, start) = (self.text, self.start);
        if start >= text.len() {
            return None;
        }
        let fits = |token: &Token| token.start < start + PART_BYTES;
        let mut next = self.ahead.partition_point(fits);
        while self.ahead.len() < next + OVERLAP_WORDS
            && let Some(token) = self.tokens.next()
        {
            next += usize::from(fits(&token));
            self.ahead.push(token);
        }
        let end = self.ahead.get(next).map_or(text.len(), |word| word.start);
        let ahead = self.ahead[next..].to_vec();
        let mut tokens = std::mem::replace(&mut self.ahead, ahead);
        tokens.truncate(next + OVERLAP_WORDS);
        self.start = end;
        Some(Part {
            text: &text[start..end],
            tokens,
            is_first: start == 0,
            is_last: end == text.len(),
        })
    }
}

/// The first of the parts in which the most of the phrases are.
pub(super) fn best<'a>(text: &'a str, phrases: &[Phrase]) -> Option<Part<'a>> {
    let mut best = None;
    let mut most = 0;
    for part in parts(text) {
        let words = &part.tokens;
        let is_there = |phrase: &&Phrase| (0..words.len()).any(|at| phrase.begins(&words[at..]));
        let found = phrases.iter().filter(is_there).count();
        if best.is_none() || found > most {
            (best, most) = (Some(part), found);
        }
        if most == phrases.len() {
            break;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::super::excerpt::phrases;
    use super::*;

    #[test]
    fn parts_make_up_the_text() {
        let words: Vec<_> = (0..20_000).map(|n| format!("wörd{n}")).collect();
        let long = "x".repeat(3 * PART_BYTES);
        let spaces = " ".repeat(2 * PART_BYTES);
        for text in [
            String::new(),
            " ".to_owned(),
            words.join(" - "),
            long.clone(),
            format!("{spaces}{long} {long}{spaces}"),
            "日本語 ".repeat(9_999),
        ] {
            let parts: Vec<_> = parts(&text).collect();
            let joined: String = parts.iter().map(|part| part.text).collect();
            assert_eq!(joined, text);
            for (number, part) in parts.iter().enumerate() {
                assert_eq!(part.is_first, number == 0);
                assert_eq!(part.is_last, number + 1 == parts.len());
                let own: Vec<_> = tokens(part.text).map(|it| it.folded).collect();
                let there = part.tokens.iter().map(|it| &it.folded);
                assert!(there.clone().take(own.len()).eq(&own));
                let rest = parts[number + 1..].iter();
                let rest = rest.flat_map(|part| tokens(part.text).map(|it| it.folded));
                let next = rest.take(OVERLAP_WORDS);
                assert!(there.skip(own.len()).cloned().eq(next));
            }
        }
    }

    #[test]
    fn the_best_part_has_the_most_phrases() {
        let fill = "word ".repeat(PART_BYTES / 4);
        let text = format!("one {fill} two {fill} one two {fill}");
        let best = |words: &[&str]| best(&text, &phrases(words)).unwrap().text;
        assert!(best(&["one"]).starts_with("one "));
        assert!(best(&["one", "two"]).contains(" one two "));
        assert!(best(&["none"]).starts_with("one "));
        let across = format!("{}one two", "word ".repeat(PART_BYTES / 5 - 1));
        let found = super::best(&across, &phrases(&["one-two"])).unwrap();
        assert!(found.is_first);
    }
}
