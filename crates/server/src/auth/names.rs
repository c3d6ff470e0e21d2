//! What people may be called: the same for those who register and for those for whom others vouch.

/// Longest name.
pub(crate) const NAME_CHARS_MAX: usize = 200;

/// Control characters, and the overrides, embeddings and isolates that change the direction of the
/// text around them: with these a name could look like another one on the pages of others.
pub(crate) fn misleads(char: char) -> bool {
    char.is_control() || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The name without what misleads, and no longer than a name may be; `None` if nothing is left. For names
/// that nobody is there to correct.
pub(crate) fn cleaned(name: &str) -> Option<String> {
    let name: String = name.chars().filter(|char| !misleads(*char)).collect();
    let name: String = name.trim().chars().take(NAME_CHARS_MAX).collect();
    Some(name.trim_end().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_misleads_goes_and_the_rest_stays() {
        let long = "ü".repeat(NAME_CHARS_MAX);
        let cases = [
            ("Ada", Some("Ada")),
            (" Ada\u{202e} Lovelace\n", Some("Ada Lovelace")),
            ("\u{2067}\u{202e}\u{7}", None),
            (" \u{2066} ", None),
            ("עדה", Some("עדה")),
            ("Z\u{200d}W", Some("Z\u{200d}W")),
            (&format!("{long}x"), Some(&long)),
            (
                &format!("{} x", "x".repeat(NAME_CHARS_MAX - 1)),
                Some(&"x".repeat(NAME_CHARS_MAX - 1)),
            ),
        ];
        for (name, expected) in cases {
            assert_eq!(cleaned(name).as_deref(), expected, "{name:?}");
        }
    }
}
