//! The words around what was found, as `snippet()` of FTS5 has them. That takes longer than is bearable
//! where a word comes often, and other databases have none like it.
//!
//! Of all windows that begin with a match, or with the sentence that has one, the best shows the most
//! different phrases, and then the most matches. It is moved so that these stand in its middle.

use super::{
    MARKS,
    tokens::{Token, tokens},
};

/// What a sentence adds to the worth of a window that begins with it.
const SENTENCE: usize = 100;
/// The first one.
const FIRST_SENTENCE: usize = 120;
/// What a phrase adds that is not in the window yet.
const PHRASE: usize = 1_000;

/// Words that stand side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Phrase {
    pub(super) tokens: Vec<String>,
    /// Its last word may be the beginning of one.
    pub(super) begun: bool,
}

impl Phrase {
    /// Whether it stands where these words begin.
    pub(super) fn begins(&self, tokens: &[Token]) -> bool {
        let Some(there) = tokens.get(..self.tokens.len()) else {
            return false;
        };
        let mut pairs = there.iter().zip(&self.tokens).enumerate();
        pairs.all(|(at, (token, wanted))| {
            if self.begun && at + 1 == self.tokens.len() {
                token.folded.starts_with(wanted.as_str())
            } else {
                token.folded == *wanted
            }
        })
    }
}

/// What each of the words stands for; of the last, perhaps only the beginning is there.
pub(super) fn phrases(words: &[&str]) -> Vec<Phrase> {
    let phrase = |(number, word): (usize, &&str)| Phrase {
        tokens: tokens(word).map(|it| it.folded).collect(),
        begun: number + 1 == words.len(),
    };
    let phrases = words.iter().enumerate().map(phrase);
    phrases.filter(|it| !it.tokens.is_empty()).collect()
}

/// A phrase in a text.
#[derive(Clone, Copy, Debug)]
struct Match {
    /// The first word, and the one after the last.
    start: usize,
    end: usize,
    /// Which phrase.
    phrase: usize,
}

/// So many words of a part of a text, with [`MARKS`] around what matches. The text may begin or end with
/// the part.
///
/// Takes as long as the part is.
pub(super) fn excerpt(
    text: &str,
    [first, last]: [bool; 2],
    phrases: &[Phrase],
    words_max: usize,
) -> String {
    let tokens: Vec<_> = tokens(text).collect();
    let matches = matches(&tokens, phrases);
    let start = best_start(text, &tokens, &matches, words_max);
    let end = (start + words_max).min(tokens.len());
    let [open, close] = MARKS;
    let mut marked = String::new();
    let mut written = 0;
    if start > 0 {
        written = tokens[start].start;
    }
    if start > 0 || !first {
        marked.push('…');
    }
    for (from, to) in joined(&matches) {
        if from < start || from >= end {
            continue;
        }
        let (from, to) = (tokens[from].start, tokens[to.min(end) - 1].end);
        marked.push_str(&text[written..from]);
        marked.push(open);
        marked.push_str(&text[from..to]);
        marked.push(close);
        written = to;
    }
    if end < tokens.len() {
        marked.push_str(&text[written..tokens[end - 1].end]);
    } else {
        marked.push_str(&text[written..]);
    }
    if end < tokens.len() || !last {
        marked.push('…');
    }
    marked
}

/// Where the phrases are, in order.
fn matches(tokens: &[Token], phrases: &[Phrase]) -> Vec<Match> {
    let mut matches = Vec::new();
    for start in 0..tokens.len() {
        for (number, phrase) in phrases.iter().enumerate() {
            if phrase.begins(&tokens[start..]) {
                matches.push(Match {
                    start,
                    end: start + phrase.tokens.len(),
                    phrase: number,
                });
            }
        }
    }
    matches
}

/// Matches that overlap become one.
fn joined(matches: &[Match]) -> Vec<(usize, usize)> {
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for found in matches {
        match joined.last_mut() {
            Some((_, end)) if found.start < *end => *end = (*end).max(found.end),
            _ => joined.push((found.start, found.end)),
        }
    }
    joined
}

fn best_start(text: &str, tokens: &[Token], matches: &[Match], words_max: usize) -> usize {
    let sentences = sentences(text, tokens);
    let (mut best, mut best_worth) = (0, 0);
    for found in matches {
        let window = worth(matches, found.start, words_max);
        if window.worth > best_worth {
            best_worth = window.worth;
            let long = window.end - found.start;
            // What is longer than the window is shown from its middle.
            let middle = (found.start + long.saturating_sub(words_max) / 2)
                .saturating_sub(words_max.saturating_sub(long) / 2);
            best = middle.min(tokens.len().saturating_sub(words_max));
        }
        let before = sentences.partition_point(|start| *start <= found.start);
        let Some(sentence) = before.checked_sub(1).map(|at| sentences[at]) else {
            continue;
        };
        if tokens.len() > words_max && sentence < found.start {
            let more = if sentence == 0 {
                FIRST_SENTENCE
            } else {
                SENTENCE
            };
            let worth = worth(matches, sentence, words_max).worth + more;
            if worth > best_worth {
                (best, best_worth) = (sentence, worth);
            }
        }
    }
    best
}

struct Window {
    worth: usize,
    /// The word after the last match.
    end: usize,
}

fn worth(matches: &[Match], start: usize, words_max: usize) -> Window {
    let from = matches.partition_point(|found| found.start < start);
    let (mut worth, mut end, mut seen) = (0, start, 0_u64);
    for found in &matches[from..] {
        if found.start >= start + words_max {
            break;
        }
        // More phrases than anybody may type have places here.
        let phrase = 1 << (found.phrase % 64);
        worth += if seen & phrase == 0 { PHRASE } else { 1 };
        seen |= phrase;
        end = found.end;
    }
    Window { worth, end }
}

/// The words with which sentences begin.
fn sentences(text: &str, tokens: &[Token]) -> Vec<usize> {
    let begins = |(number, token): (usize, &Token)| {
        let before = &text[..token.start];
        let trimmed = before.trim_end_matches([' ', '\t', '\n', '\r']);
        let is_begin = number == 0 || trimmed.len() < before.len() && trimmed.ends_with(['.', ':']);
        is_begin.then_some(number)
    };
    tokens.iter().enumerate().filter_map(begins).collect()
}
