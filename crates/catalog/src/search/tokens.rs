//! Words as an index has them: folded, and without the marks that letters of Latin script may have.
//!
//! Follows the tokenizer `unicode61` of FTS5 with `remove_diacritics = 2`, so that every database finds
//! the same. PostgreSQL's own parsers depend on its locale, and take addresses and numbers for one word.

use unicode_normalization::char::decompose_canonical;

/// Most bytes of a word that count; PostgreSQL takes up to 2,046.
const TOKEN_BYTES_MAX: usize = 1_024;

/// A word in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// As it is looked for.
    pub(super) folded: String,
    /// Where it stands, in bytes.
    pub(super) start: usize,
    pub(super) end: usize,
}

/// All words of a text, in order.
pub(super) const fn tokens(text: &str) -> Tokens<'_> {
    Tokens { text, at: 0 }
}

/// The words of a text from somewhere on.
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let begins = |char: char| char.is_alphanumeric() && !is_mark(char);
        let start = self.at + self.text[self.at..].find(begins)?;
        let rest = &self.text[start..];
        let ends = |char: char| !char.is_alphanumeric() && !is_mark(char);
        let end = start + rest.find(ends).unwrap_or(rest.len());
        let mut folded = String::new();
        for char in self.text[start..end].chars() {
            fold(char, &mut folded);
        }
        self.at = end;
        Some(Token { folded, start, end })
    }
}

/// A combining mark that is written over or under the letter before.
const fn is_mark(char: char) -> bool {
    matches!(char, '\u{300}'..='\u{36f}')
}

fn fold(char: char, folded: &mut String) {
    for char in char.to_lowercase().filter(|char| !is_mark(*char)) {
        let mut first = None;
        decompose_canonical(char, |part| {
            first.get_or_insert(part);
        });
        let folds = match (char, first) {
            // At the end of a word it looks different.
            ('ς', _) => 'σ',
            (_, Some(letter)) if letter.is_ascii_alphabetic() => letter,
            _ => char,
        };
        if folded.len() + folds.len_utf8() <= TOKEN_BYTES_MAX {
            folded.push(folds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> Vec<String> {
        tokens(text).map(|it| it.folded).collect()
    }

    #[test]
    fn words_are_letters_and_digits() {
        for (text, expected) in [
            ("", &[] as &[&str]),
            (" - ", &[]),
            ("Pears and\napples, 1st", &["pears", "and", "apples", "1st"]),
            (
                "ada@example.com/a-b_c",
                &["ada", "example", "com", "a", "b", "c"],
            ),
            ("-1.5e3 x+y", &["1", "5e3", "x", "y"]),
            (
                "Überschwang der A\u{308}pfel",
                &["uberschwang", "der", "apfel"],
            ),
            ("Größe ΟΔΟΣ οδος", &["große", "οδοσ", "οδοσ"]),
            ("Ёлка, й, が", &["ёлка", "й", "が"]),
            ("İstanbul", &["istanbul"]),
            ("日本語 文", &["日本語", "文"]),
            ("\u{301}a", &["a"]),
        ] {
            assert_eq!(folded(text), expected, "{text:?}");
        }
    }

    #[test]
    fn places_are_those_in_the_text() {
        let text = "Äpfel u\u{301}nd";
        let words: Vec<_> = tokens(text)
            .map(|token| &text[token.start..token.end])
            .collect();
        assert_eq!(words, ["Äpfel", "u\u{301}nd"]);
    }

    #[test]
    fn a_word_has_an_end() {
        let token = tokens(&"ä".repeat(5_000)).next().unwrap();
        assert_eq!((token.folded.len(), token.end), (TOKEN_BYTES_MAX, 10_000));
    }
}
