//! Search in a real database: what is found, by whom, and what never is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use motet_catalog::{Catalog, DocumentFilter, Hit, HitCursor, Role};
use motet_model::Revision;
use support::{NOW, Store, actor, create, document, on_each_store, user, with_users};

on_each_store! {
    words_are_found_in_titles_and_contents,
    nobody_finds_what_they_may_not_see,
    pages_of_hits_follow_one_another,
    what_others_write_says_nothing_to_whoever_may_not_see_it,
    what_people_type_is_never_a_query,
    erased,
    an_index_of_another_form_is_made_anew,
    long_texts_are_found_to_their_end,
}

const NOTHING: [u8; 0] = [];

async fn hits(catalog: &Catalog, user_n: u8, text: &str, filter: DocumentFilter) -> Vec<Hit> {
    let hits = catalog.search(user(user_n).id, text, filter, 50, None, NOW);
    hits.await.unwrap()
}

/// The first bytes of the ids of what the user finds.
async fn found(catalog: &Catalog, user_n: u8, text: &str) -> Vec<u8> {
    let hits = hits(catalog, user_n, text, DocumentFilter::All).await;
    hits.iter()
        .map(|hit| hit.document.id.to_bytes()[0])
        .collect()
}

async fn write(catalog: &Catalog, n: u8, revision: u64, content: &str) {
    let revision = Revision::new(revision);
    let written = catalog.index_content(document(n), revision, content);
    written.await.unwrap();
}

async fn words_are_found_in_titles_and_contents(store: &Store) {
    let catalog = with_users(store, 1).await;
    for n in 1..=2 {
        create(&catalog, n, 1).await;
    }
    let one = actor(1);
    let renamed = catalog.rename_document(&one, document(2), "Überschwang der Äpfel");
    renamed.await.unwrap();
    write(
        &catalog,
        1,
        3,
        "Pears and apples, and the\nuberschwang of it",
    )
    .await;
    assert_eq!(found(&catalog, 1, "APPLES").await, [1]);
    assert_eq!(found(&catalog, 1, "pears apples").await, [1]);
    assert_eq!(found(&catalog, 1, "pears plums").await, NOTHING);
    assert_eq!(found(&catalog, 1, "apfel").await, [2]);
    assert_eq!(
        found(&catalog, 1, "überschwang").await,
        [2, 1],
        "titles come first"
    );
    assert_eq!(
        found(&catalog, 1, "pears app").await,
        [1],
        "the last word may be begun"
    );
    assert_eq!(
        found(&catalog, 1, "pea apples").await,
        NOTHING,
        "only the last"
    );
    let hit = &hits(&catalog, 1, "apples", DocumentFilter::All).await[0];
    let pieces: Vec<_> = hit
        .snippet
        .iter()
        .map(|it| (it.text.as_str(), it.is_match))
        .collect();
    let rest = ", and the uberschwang of it";
    assert_eq!(
        pieces,
        [("Pears and ", false), ("apples", true), (rest, false)]
    );

    write(&catalog, 1, 2, "older").await;
    assert_eq!(found(&catalog, 1, "older").await, NOTHING);
    write(&catalog, 1, 4, "newer").await;
    assert_eq!(found(&catalog, 1, "apples").await, NOTHING);
    assert_eq!(found(&catalog, 1, "newer").await, [1]);
    let indexed = catalog.indexed(None, 9).await.unwrap();
    let expected = [
        (document(1), Revision::new(4)),
        (document(2), Revision::new(0)),
    ];
    assert_eq!(indexed, expected);
    assert_eq!(
        catalog.indexed(Some(document(1)), 9).await.unwrap(),
        expected[1..]
    );
}

async fn nobody_finds_what_they_may_not_see(store: &Store) {
    let catalog = with_users(store, 2).await;
    for n in 1..=3 {
        create(&catalog, n, 1).await;
        write(&catalog, n, 1, "secret").await;
    }
    let one = actor(1);
    let granted = catalog.grant(&one, document(2), user(2).id, Role::Viewer);
    granted.await.unwrap();
    assert_eq!(found(&catalog, 2, "secret").await, [2]);
    assert_eq!(found(&catalog, 1, "secret").await, [3, 2, 1]);
    let (owned, shared) = (DocumentFilter::Owned, DocumentFilter::Shared);
    assert!(hits(&catalog, 2, "secret", owned).await.is_empty());
    assert_eq!(hits(&catalog, 2, "secret", shared).await.len(), 1);

    let trashed = catalog.trash_document(&one, document(2), true);
    trashed.await.unwrap();
    assert_eq!(found(&catalog, 2, "secret").await, NOTHING);
    assert_eq!(found(&catalog, 1, "secret").await, [3, 1]);
    assert_eq!(
        hits(&catalog, 1, "secret", DocumentFilter::Trash)
            .await
            .len(),
        1
    );
    catalog.doom_document(document(2)).await.unwrap();
    assert!(
        hits(&catalog, 1, "secret", DocumentFilter::Trash)
            .await
            .is_empty()
    );
}

async fn pages_of_hits_follow_one_another(store: &Store) {
    let catalog = with_users(store, 1).await;
    for n in 1..=9 {
        create(&catalog, n, 1).await;
        // Some are equally good.
        write(&catalog, n, 1, &"word ".repeat(usize::from(n / 2))).await;
    }
    let all = hits(&catalog, 1, "word", DocumentFilter::All).await;
    assert_eq!(all.len(), 8);
    let mut paged = Vec::new();
    let mut cursor: Option<HitCursor> = None;
    loop {
        let page = catalog.search(user(1).id, "word", DocumentFilter::All, 3, cursor, NOW);
        let page = page.await.unwrap();
        let Some(last) = page.last() else { break };
        cursor = Some(last.place);
        paged.extend(page);
    }
    assert_eq!(paged, all);
}

/// **untold**.
async fn what_others_write_says_nothing_to_whoever_may_not_see_it(store: &Store) {
    let catalog = with_users(store, 2).await;
    for n in 1..=3 {
        create(&catalog, n, 1).await;
        write(&catalog, n, 1, &"word ".repeat(usize::from(n))).await;
    }
    write(&catalog, 2, 2, "word and another").await;
    let before = hits(&catalog, 1, "word another", DocumentFilter::All).await;
    let all_before = hits(&catalog, 1, "word", DocumentFilter::All).await;
    for n in 4..=40 {
        create(&catalog, n, 2).await;
        write(&catalog, n, 1, "word word word another").await;
    }
    let after = hits(&catalog, 1, "word another", DocumentFilter::All).await;
    assert_eq!(after, before);
    assert_eq!(
        hits(&catalog, 1, "word", DocumentFilter::All).await,
        all_before
    );
    // However often a word is there.
    let ids: Vec<_> = all_before.iter().map(|it| it.document.id).collect();
    assert_eq!(ids, [document(3), document(2), document(1)]);
    let later = motet_catalog::Actor {
        at_ms: NOW + 1,
        ..actor(1)
    };
    let renamed = catalog.rename_document(&later, document(1), "Wordy");
    renamed.await.unwrap();
    assert_eq!(
        found(&catalog, 1, "word").await,
        [1, 3, 2],
        "a word that is begun"
    );
}

/// **plain**.
async fn what_people_type_is_never_a_query(store: &Store) {
    let catalog = with_users(store, 1).await;
    create(&catalog, 1, 1).await;
    write(&catalog, 1, 1, "alpha beta gamma content near or not").await;
    for text in [
        "\"",
        "\"\"",
        "'",
        "*",
        "(",
        ")",
        "alpha*zzz",
        "^",
        "title:alpha",
        "alpha NEAR/2 zzz",
        "NEAR(alpha zzz)",
        "alpha AND zzz",
        "zzz OR alpha",
        "NOT zzz",
        "\0",
        "alpha\0zzz",
        "\"; DROP TABLE documents; --",
        "+",
        "alpha + zzz",
        ":",
        "\\",
    ] {
        assert_eq!(found(&catalog, 1, text).await, NOTHING, "{text:?}");
    }
    for text in [
        "alpha \0 beta",
        "alpha - beta",
        "\"alpha\" \"beta\"",
        "near or not",
        "alpha *",
        "gam*",
        "\"alpha",
        "alpha\"",
        "alpha (",
        "-alpha -",
        "content : alpha",
        "{title content}: alpha",
    ] {
        assert_eq!(found(&catalog, 1, text).await, [1], "{text:?}");
    }
    let long = "alpha ".repeat(10_000);
    assert_eq!(found(&catalog, 1, &long).await, [1]);
}

/// **erased**: also where the index had it.
async fn erased(store: &Store) {
    let catalog = with_users(store, 1).await;
    for n in 1..=2 {
        create(&catalog, n, 1).await;
        write(&catalog, n, 1, "xylophone quagmire").await;
    }
    write(&catalog, 1, 2, "nothing").await;
    catalog
        .delete_document(&actor(1), document(2))
        .await
        .unwrap();
    assert_eq!(found(&catalog, 1, "xylophone").await, NOTHING);
    let tables: &[&str] = match store {
        Store::Sqlite(_) => &["all in one file"],
        Store::Postgres(_) => {
            // SQLite does without.
            catalog.scrub().await.unwrap();
            &["search_parts", "search_parts_words"]
        }
    };
    catalog.close().await;
    for table in tables {
        let bytes = store.bytes(table).await;
        assert!(!bytes.is_empty());
        for word in ["xylophone", "quagmire", "ylophone", "uagmire"] {
            let is_there = bytes.windows(word.len()).any(|it| it == word.as_bytes());
            assert!(!is_there, "{word}");
        }
    }
}

async fn an_index_of_another_form_is_made_anew(store: &Store) {
    let catalog = with_users(store, 1).await;
    create(&catalog, 1, 1).await;
    write(&catalog, 1, 5, "alpha").await;
    catalog.close().await;
    store.execute("UPDATE search_format SET format = 0").await;
    let catalog = store.open().await;
    assert_eq!(found(&catalog, 1, "title").await, [1]);
    let expected = [(document(1), Revision::new(0))];
    assert_eq!(
        catalog.indexed(None, 9).await.unwrap(),
        expected,
        "to be read again"
    );
    write(&catalog, 1, 5, "alpha").await;
    assert_eq!(found(&catalog, 1, "alpha").await, [1]);
}

/// Long enough for more than one value of `tsvector`, in which no more than 16,383 places are.
async fn long_texts_are_found_to_their_end(store: &Store) {
    let catalog = with_users(store, 1).await;
    for n in 1..=3 {
        create(&catalog, n, 1).await;
    }
    let many: Vec<_> = (0..60_000).map(|n| format!("word{n}")).collect();
    write(&catalog, 1, 1, &many.join(" ")).await;
    write(&catalog, 2, 1, &"again ".repeat(100_000)).await;
    write(&catalog, 3, 1, &format!("{} end", "x".repeat(200_000))).await;
    for (text, expected) in [
        ("word0 word59999", &[1][..]),
        ("word0-word1", &[1]),
        ("word59998-word59999", &[1]),
        ("word59999-word59998", &[]),
        ("word0 word60000", &[]),
        ("again", &[2]),
        ("again-again", &[2]),
        ("xxx", &[3]),
        ("end", &[3]),
    ] {
        assert_eq!(found(&catalog, 1, text).await, expected, "{text}");
    }
    // Wherever it is cut.
    for n in (0..50_000).step_by(611) {
        let text = format!("word{n}-word{}-word{}", n + 1, n + 2);
        assert_eq!(found(&catalog, 1, &text).await, [1], "{text}");
    }
    let hit = &hits(&catalog, 1, "word30000-word30001", DocumentFilter::All).await[0];
    let text: String = hit.snippet.iter().map(|it| it.text.as_str()).collect();
    assert!(text.starts_with('…') && text.ends_with('…'), "{text}");
    assert!(text.contains("word29999 word30000 word30001 word30002"));
    let matched = hit.snippet.iter().find(|it| it.is_match).unwrap();
    assert_eq!(matched.text, "word30000 word30001");

    write(&catalog, 1, 2, "short").await;
    assert_eq!(found(&catalog, 1, "word59999").await, NOTHING);
    assert_eq!(found(&catalog, 1, "short").await, [1]);
}

/// Documents, places and snippets are the same in all databases.
#[tokio::test(flavor = "multi_thread")]
async fn every_database_finds_the_same() {
    const WORDS: &[&str] = &[
        "alpha",
        "Alphabet",
        "beta",
        "BÉTA",
        "gamma.",
        "delta:",
        "a-b",
        "ada@example.com",
        "Äpfel",
        "1.5e3",
        "日本語",
        "naïve",
        "e\u{301}te",
        "x_y",
        "(one)",
        "\"two\"",
        "three…",
        "  ",
        "\n",
        "Straße",
        "Ёлка",
        "it's",
        "back\\slash",
        "c++",
        "ΟΔΟΣ",
    ];
    let stores = [Store::sqlite(), Store::postgres().await];
    let catalogs = [
        with_users(&stores[0], 1).await,
        with_users(&stores[1], 1).await,
    ];
    // A linear congruential generator is random enough for words.
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    for n in 1..=40 {
        let count = random(120);
        let words: Vec<_> = (0..count).map(|_| WORDS[random(WORDS.len())]).collect();
        let title = [WORDS[random(WORDS.len())], WORDS[random(WORDS.len())]].join(" ");
        let later = motet_catalog::Actor {
            at_ms: NOW + u64::from(n % 7),
            ..actor(1)
        };
        for catalog in &catalogs {
            create(catalog, n, 1).await;
            let renamed = catalog.rename_document(&later, document(n), &title);
            renamed.await.unwrap();
            write(catalog, n, 1, &words.join(" ")).await;
        }
    }
    let mut hits_in_all = 0;
    for _ in 0..300 {
        let mut words: Vec<_> = (0..=random(3))
            .map(|_| WORDS[random(WORDS.len())])
            .collect();
        let last = words.pop().unwrap();
        let letters = 1 + random(last.chars().count());
        let begun: String = last.chars().take(letters).collect();
        words.push(&begun);
        let text = words.join(" ");
        let expected = hits(&catalogs[0], 1, &text, DocumentFilter::All).await;
        let found = hits(&catalogs[1], 1, &text, DocumentFilter::All).await;
        assert_eq!(found, expected, "{text:?}");
        hits_in_all += found.len();
    }
    assert!(hits_in_all > 1_000, "{hits_in_all}");
}
