//! What is accepted as a password, and what a stored hash says of one.

use super::*;

fn config(pepper: Option<&str>) -> PasswordConfig {
    PasswordConfig {
        min_score: 3,
        cost: HashCost::parse("m=8,t=1,p=1").unwrap(),
        pepper: pepper.map(|pepper| Pepper::new(Secret::new(pepper.as_bytes().to_vec()))),
        previous_pepper: None,
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

#[test]
fn reg_24_a_password_made_of_the_users_own_name_is_weak() {
    let own = ["correct-horse", "example.org"];
    assert_eq!(
        judge(&config(None), &secret("correct-horse1"), &own),
        Err(PasswordFault::Weak)
    );
    assert_eq!(
        judge(&config(None), &secret("a"), &[]),
        Err(PasswordFault::Weak)
    );
    assert_eq!(
        judge(&config(None), &secret("ostrich lamp 8 quarrel"), &own),
        Ok(())
    );
}

#[test]
fn score_0_accepts_anything_but_the_empty_password() {
    let config = PasswordConfig {
        min_score: 0,
        ..config(None)
    };
    assert_eq!(judge(&config, &secret("a"), &[]), Ok(()));
    assert_eq!(judge(&config, &secret(""), &[]), Err(PasswordFault::Empty));
    assert_eq!(
        judge(&config, &secret(&"a".repeat(MAX_PASSWORD_BYTES + 1)), &[]),
        Err(PasswordFault::TooLong)
    );
}

#[test]
fn a_weak_password_in_other_clothes_is_weak() {
    let fullwidth =
        "\u{FF50}\u{FF41}\u{FF53}\u{FF53}\u{FF57}\u{FF4F}\u{FF52}\u{FF44}\u{FF11}\u{FF12}\u{FF13}";
    assert_eq!(
        judge(&config(None), &secret(fullwidth), &[]),
        Err(PasswordFault::Weak)
    );
}

#[test]
fn no_more_than_the_beginning_of_a_long_password_is_judged() {
    let beginning = "a".repeat(JUDGED_CHARS);
    let strong = "ostrich lamp 8 quarrel";
    assert_eq!(
        judge(&config(None), &secret(&format!("{beginning}{strong}")), &[]),
        Err(PasswordFault::Weak)
    );
    assert_eq!(
        judge(&config(None), &secret(&format!("{strong}{beginning}")), &[]),
        Ok(())
    );
}

#[test]
fn the_phc_string_carries_the_cost() {
    let hash = hash_now(&config(None), &secret("x"), &[7; SALT_BYTES]).unwrap();
    assert!(
        hash.phc.starts_with("$argon2id$v=19$m=8,t=1,p=1$"),
        "{}",
        hash.phc
    );
    assert_eq!(hash.pepper, None);
}

#[test]
fn a_hash_knows_its_password_and_says_when_it_is_outdated() {
    let (plain, peppered) = (config(None), config(Some("a pepper of length")));
    let hash = |config| hash_now(config, &secret("x"), &[7; SALT_BYTES]).unwrap();
    let verify = |config, text: &str, hash: &PasswordHash| verify_now(config, &secret(text), hash);
    assert_eq!(verify(&plain, "x", &hash(&plain)).unwrap(), Verdict::Right);
    assert_eq!(verify(&plain, "y", &hash(&plain)).unwrap(), Verdict::Wrong);
    assert_eq!(
        verify(&peppered, "x", &hash(&peppered)).unwrap(),
        Verdict::Right
    );
    assert_eq!(
        verify(&peppered, "x", &hash(&plain)).unwrap(),
        Verdict::Outdated
    );
    assert_eq!(
        verify(&plain, "x", &hash(&peppered)).unwrap(),
        Verdict::Wrong
    );
    let later = PasswordConfig {
        previous_pepper: peppered.pepper.clone(),
        ..config(Some("another pepper, later"))
    };
    assert_eq!(
        verify(&later, "x", &hash(&peppered)).unwrap(),
        Verdict::Outdated
    );
    assert_eq!(verify(&later, "x", &hash(&later)).unwrap(), Verdict::Right);
    assert_eq!(
        verify(&later, "y", &hash(&peppered)).unwrap(),
        Verdict::Wrong
    );
    let dearer = PasswordConfig {
        cost: HashCost::parse("m=16,t=1,p=1").unwrap(),
        ..plain.clone()
    };
    assert_eq!(
        verify(&dearer, "x", &hash(&plain)).unwrap(),
        Verdict::Outdated
    );
    let long = "x".repeat(MAX_PASSWORD_BYTES + 1);
    assert_eq!(
        verify(&plain, &long, &hash(&plain)).unwrap(),
        Verdict::Wrong
    );
}

#[test]
fn compatible_spellings_give_one_hash_and_a_pepper_another() {
    let phc = |text: &str, pepper| {
        hash_now(&config(pepper), &secret(text), &[7; SALT_BYTES])
            .unwrap()
            .phc
    };
    assert_eq!(phc("\u{FB01}x \u{212B}", None), phc("fix \u{C5}", None));
    assert_ne!(phc("x", None), phc("x", Some("a pepper of length")));
}

#[test]
fn costs_are_checked() {
    assert!(HashCost::parse("m=19456,t=2,p=1").is_some());
    for wrong in [
        "",
        "m=19456",
        "m=19456,t=2",
        "m=1,t=2,p=1",
        "m=19456,t=0,p=1",
        "t=2,m=19456,p=1",
        "m=4194305,t=1,p=1",
    ] {
        assert!(HashCost::parse(wrong).is_none(), "{wrong}");
    }
}
