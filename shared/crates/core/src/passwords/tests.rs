//! Tests of the rules for passwords, and of the verification of stored hashes.

use super::*;

fn config(pepper: Option<&str>) -> PasswordConfig {
    PasswordConfig {
        min_score: 3,
        cost: HashCost::parse("m=8,t=1,p=1").unwrap(),
        pepper: pepper.map(pepper_of),
        previous_pepper: None,
        imported_pepper: Some(pepper_of("a pepper")),
    }
}

fn pepper_of(text: &str) -> Pepper {
    Pepper::new(Secret::new(text.as_bytes().to_vec()))
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

#[test]
fn reg_24_a_password_with_the_user_name_is_weak() {
    let own = ["correct-horse", "example.org"];
    assert_eq!(
        validate(&config(None), &secret("correct-horse1"), &own),
        Err(PasswordError::Weak)
    );
    assert_eq!(
        validate(&config(None), &secret("a"), &[]),
        Err(PasswordError::Weak)
    );
    assert_eq!(
        validate(&config(None), &secret("ostrich lamp 8 quarrel"), &own),
        Ok(())
    );
}

#[test]
fn score_0_accepts_all_but_the_empty_password() {
    let config = PasswordConfig {
        min_score: 0,
        ..config(None)
    };
    assert_eq!(validate(&config, &secret("a"), &[]), Ok(()));
    assert_eq!(
        validate(&config, &secret(""), &[]),
        Err(PasswordError::Empty)
    );
    assert_eq!(
        validate(&config, &secret(&"a".repeat(MAX_PASSWORD_BYTES + 1)), &[]),
        Err(PasswordError::TooLong)
    );
}

#[test]
fn a_weak_password_in_fullwidth_letters_is_weak() {
    let fullwidth =
        "\u{FF50}\u{FF41}\u{FF53}\u{FF53}\u{FF57}\u{FF4F}\u{FF52}\u{FF44}\u{FF11}\u{FF12}\u{FF13}";
    assert_eq!(
        validate(&config(None), &secret(fullwidth), &[]),
        Err(PasswordError::Weak)
    );
}

#[test]
fn only_the_beginning_of_a_long_password_is_scored() {
    let beginning = "a".repeat(strength::SCORED_CHARS);
    let strong = "ostrich lamp 8 quarrel";
    assert_eq!(
        validate(&config(None), &secret(&format!("{beginning}{strong}")), &[]),
        Err(PasswordError::Weak)
    );
    assert_eq!(
        validate(&config(None), &secret(&format!("{strong}{beginning}")), &[]),
        Ok(())
    );
}

#[test]
fn the_phc_string_contains_the_cost() {
    let hash = Worker::new(config(None))
        .hash(&secret("x"), &[7; SALT_BYTES])
        .unwrap();
    assert!(
        hash.phc.starts_with("$argon2id$v=19$m=8,t=1,p=1$"),
        "{}",
        hash.phc
    );
    assert_eq!(hash.pepper, None);
}

#[test]
fn verification_detects_outdated_hashes() {
    let (unpeppered, peppered) = (config(None), config(Some("a pepper of length")));
    let hash = |config: &PasswordConfig| {
        Worker::new(config.clone())
            .hash(&secret("x"), &[7; SALT_BYTES])
            .unwrap()
    };
    let verify = |config: &PasswordConfig, text: &str, hash: &PasswordHash| {
        Worker::new(config.clone()).verify(&secret(text), hash)
    };
    assert_eq!(
        verify(&unpeppered, "x", &hash(&unpeppered)).unwrap(),
        PasswordCheck::Right
    );
    assert_eq!(
        verify(&unpeppered, "y", &hash(&unpeppered)).unwrap(),
        PasswordCheck::Wrong
    );
    assert_eq!(
        verify(&peppered, "x", &hash(&peppered)).unwrap(),
        PasswordCheck::Right
    );
    assert_eq!(
        verify(&peppered, "x", &hash(&unpeppered)).unwrap(),
        PasswordCheck::Outdated
    );
    assert_eq!(
        verify(&unpeppered, "x", &hash(&peppered)).unwrap(),
        PasswordCheck::Wrong
    );
    let later = PasswordConfig {
        previous_pepper: peppered.pepper.clone(),
        ..config(Some("another pepper, later"))
    };
    assert_eq!(
        verify(&later, "x", &hash(&peppered)).unwrap(),
        PasswordCheck::Outdated
    );
    assert_eq!(
        verify(&later, "x", &hash(&later)).unwrap(),
        PasswordCheck::Right
    );
    assert_eq!(
        verify(&later, "y", &hash(&peppered)).unwrap(),
        PasswordCheck::Wrong
    );
    let costlier = PasswordConfig {
        cost: HashCost::parse("m=16,t=1,p=1").unwrap(),
        ..unpeppered.clone()
    };
    assert_eq!(
        verify(&costlier, "x", &hash(&unpeppered)).unwrap(),
        PasswordCheck::Outdated
    );
    let long = "x".repeat(MAX_PASSWORD_BYTES + 1);
    assert_eq!(
        verify(&unpeppered, &long, &hash(&unpeppered)).unwrap(),
        PasswordCheck::Wrong
    );
}

#[test]
fn compatible_spellings_give_one_hash() {
    let phc = |text: &str, pepper| {
        Worker::new(config(pepper))
            .hash(&secret(text), &[7; SALT_BYTES])
            .unwrap()
            .phc
    };
    assert_eq!(phc("\u{FB01}x \u{212B}", None), phc("fix \u{C5}", None));
    assert_ne!(phc("x", None), phc("x", Some("a pepper of length")));
}

#[test]
fn invalid_and_excessive_costs_are_rejected() {
    assert!(HashCost::parse("m=19456,t=2,p=1").is_some());
    for wrong in [
        "",
        "m=19456",
        "m=19456,t=2",
        "m=1,t=2,p=1",
        "m=19456,t=0,p=1",
        "t=2,m=19456,p=1",
        "m=1048577,t=1,p=1",
        "m=1048576,t=3,p=1",
        "m=8,t=4294967295,p=1",
    ] {
        assert!(HashCost::parse(wrong).is_none(), "{wrong}");
    }
}

/// The password of the hashes below, which were made with the libraries that other servers use: Python's
/// bcrypt, passlib, hashlib and argon2-cffi.
const OSTRICH: &str = "ostrich lamp 8 quarrel";

/// Verifies a password against a stored hash, with or without the pepper of the other server.
fn check(phc: &str, peppered: bool, typed: &str) -> PasswordCheck {
    let config = config(None);
    let pepper = config.imported_pepper.as_ref().filter(|_| peppered);
    let hash = PasswordHash {
        phc: phc.to_owned(),
        pepper: pepper.map(|pepper| pepper.id.clone()),
        changed_at: Timestamp::default(),
    };
    Worker::new(config).verify(&secret(typed), &hash).unwrap()
}

#[test]
fn hashes_of_other_servers_are_verified_as_outdated() {
    for (phc, peppered) in [
        (
            "$2b$04$.LsJnLhDQre2rTGMNnvhNuE0kjlX02e0N7ugdlnyx3724o6u2BURa",
            false,
        ),
        (
            "$2a$04$vylzgjzriyZ27/VqbnP3z./bsm8dzoyxxftbiclUH8PeR1vD8pLGK",
            false,
        ),
        (
            "$2b$04$0PJjPh38QjyWwVV3PD9hO.GR49B4N0nR.wO6lcDQW7RGLol5.jGqG",
            true,
        ),
        (
            "$pbkdf2-sha256$1000$YwzhfA8B4FwLofR.TwnhnA$7cmLV9TKaDBXTTsrB9eyBTuyT.yvKAehaJHynEDkHXE",
            false,
        ),
        (
            "$pbkdf2-sha512$1000$llJKifG.1zrnHMM4p9Ta2w$XKtGvcUYmxQXmZTWeq80n6G3p7qqleV0/wMsjXetSvLRlrA9mKUur/Zz/wlv8vpCbNRq39LUO5H212FOx4I1tQ",
            false,
        ),
        (
            "$pbkdf2-sha256$i=1000,l=48$n3QRVt3jLj/g6/1m8hS3rQ$2BMCcrxBH23XX70cXIaJO7Dnp7+0NdhQv/bygk2StBhk+dPAKsFx8UMYuLFC3cJd",
            true,
        ),
    ] {
        assert_eq!(check_hash_format(phc), Ok(()), "{phc}");
        assert_eq!(
            check(phc, peppered, OSTRICH),
            PasswordCheck::Outdated,
            "{phc}"
        );
        for wrong in ["ostrich lamp 8 quarrel ", "", "Ostrich lamp 8 quarrel"] {
            assert_eq!(check(phc, peppered, wrong), PasswordCheck::Wrong, "{phc}");
        }
        assert_eq!(
            check(phc, !peppered, OSTRICH),
            PasswordCheck::Wrong,
            "{phc}"
        );
    }
    // The algorithm of this server: the hash is outdated only if its cost differs.
    let argon2 = "$argon2id$v=19$m=8,t=1,p=1$vtveTBIPyY237Fx9CLby9Q$37O1eGfTlEKXyGmwLrB7ATulU/1w0oS4ngAjWZI0rx0";
    assert_eq!(check(argon2, false, OSTRICH), PasswordCheck::Right);
    assert_eq!(check(argon2, false, "another"), PasswordCheck::Wrong);
}

#[test]
fn bcrypt_uses_72_bytes_and_rejects_zero_bytes() {
    let long = "$2b$04$6p4luuf0UEs/GT.4yHfAve9fBMrC5PH9apH7IV6I8PX/x7F9TvG7q";
    let digits = "0123456789".repeat(9);
    assert_eq!(check(long, false, &digits), PasswordCheck::Outdated);
    assert_eq!(check(long, false, &digits[..72]), PasswordCheck::Outdated);
    assert_eq!(check(long, false, &digits[..71]), PasswordCheck::Wrong);
    // The end of the pepper is beyond the 72 bytes.
    let peppered = "$2b$04$orm71elYCOdH4pC/JlUKcu5N7YHUTN1OpF8hX.34wPJPDpmBC8TIu";
    assert_eq!(
        check(peppered, true, &digits[..70]),
        PasswordCheck::Outdated
    );
    assert_eq!(check(peppered, true, &digits[..69]), PasswordCheck::Wrong);
    let ostrich = "$2b$04$.LsJnLhDQre2rTGMNnvhNuE0kjlX02e0N7ugdlnyx3724o6u2BURa";
    let zero = format!("{OSTRICH}\0");
    assert_eq!(check(ostrich, false, &zero), PasswordCheck::Wrong);
}

#[test]
fn imported_hashes_match_the_typed_or_normalized_password() {
    let (typed, normalized) = ("\u{FB01}sh \u{212B}", "fish \u{C5}");
    let nfkc = "$2b$04$ODErPiaVA3yFR55e13jG5eQOb.62cqHHsc.JE81DNYbXzuLWt8Uf2";
    let raw = "$2b$04$DNm8JC2mPxeFhnFP.0nreOdrDbHZUbHK8vy7TGgGMi6MXOd.12VSe";
    for (hash, text, right) in [
        (nfkc, typed, true),
        (nfkc, normalized, true),
        (raw, typed, true),
        (raw, normalized, false),
    ] {
        let check = check(hash, false, text);
        assert_eq!(check == PasswordCheck::Outdated, right, "{hash} {text}");
    }
}

#[test]
fn hashes_that_cannot_be_verified_match_no_password() {
    use HashFormatError::{Malformed, TooExpensive, Unknown};
    let salted = "$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (hash, error) in [
        ("", Unknown),
        ("secret", Unknown),
        (
            "$2x$04$.LsJnLhDQre2rTGMNnvhNuE0kjlX02e0N7ugdlnyx3724o6u2BURa",
            Unknown,
        ),
        (
            "$argon2i$v=19$m=8,t=1,p=1$vtveTBIPyY237Fx9CLby9Q$37O1eGfTlEKXyGmwLrB7ATulU/1w0oS4ngAjWZI0rx0",
            Unknown,
        ),
        ("$6$salt$hash", Unknown),
        ("$2b$04$", Malformed),
        (
            "$2b$03$.LsJnLhDQre2rTGMNnvhNuE0kjlX02e0N7ugdlnyx3724o6u2BURa",
            Malformed,
        ),
        (
            "$2b$+9$.LsJnLhDQre2rTGMNnvhNuE0kjlX02e0N7ugdlnyx3724o6u2BURa",
            Malformed,
        ),
        (
            "$2b$04$.LsJnLhDQre2rTGMNnvhNuE0kjlX02e0N7ugdlnyx3724o6u2BUR\u{e9}",
            Malformed,
        ),
        (
            "$2b$15$.LsJnLhDQre2rTGMNnvhNuE0kjlX02e0N7ugdlnyx3724o6u2BURa",
            TooExpensive,
        ),
        (
            "$2b$31$.LsJnLhDQre2rTGMNnvhNuE0kjlX02e0N7ugdlnyx3724o6u2BURa",
            TooExpensive,
        ),
        (
            "$argon2id$v=19$m=8,t=1,p=1$vtveTBIPyY237Fx9CLby9Q",
            Malformed,
        ),
        ("$argon2id$v=19$m=8,t=1,p=1", Malformed),
        ("$pbkdf2-sha256$1000$AAAA$AAAA", Malformed),
        ("$pbkdf2-sha256$10$AAAA$", Malformed),
        ("$pbkdf2-sha256$10$AAAA", Malformed),
    ] {
        assert_eq!(check_hash_format(hash), Err(error), "{hash}");
        for typed in ["", "x"] {
            assert_eq!(check(hash, false, typed), PasswordCheck::Wrong, "{hash}");
        }
    }
    for (head, error) in [
        ("$argon2id$v=19$m=4194304,t=1,p=1", TooExpensive),
        ("$argon2id$v=19$m=65536,t=4294967295,p=1", TooExpensive),
        ("$pbkdf2-sha256$0", Malformed),
        ("$pbkdf2-sha256$i=1000,l=64", Malformed),
        ("$pbkdf2-sha256$1000000000", TooExpensive),
        ("$pbkdf2-sha512$2000001", TooExpensive),
        ("$pbkdf2-sha256$999", Malformed),
        ("$pbkdf2-sha256$+1000", Malformed),
        ("$pbkdf2-sha256$i=+1000", Malformed),
        ("$argon2id$v=16$m=8,t=1,p=1", Malformed),
        ("$argon2id$v=19$m=8,t=1,p=1,data=AAAA", Malformed),
        ("$argon2id$m=8,t=1,p=1", Malformed),
    ] {
        let hash = format!("{head}{salted}");
        assert_eq!(check_hash_format(&hash), Err(error), "{hash}");
        assert_eq!(check(&hash, false, "x"), PasswordCheck::Wrong, "{hash}");
    }
}

/// The kept buffer was used for another password before, and the other cost needs a buffer of another size.
#[test]
fn reused_memory_does_not_change_a_hash() {
    let (own, other) = (
        HashCost::parse("m=64,t=2,p=1"),
        HashCost::parse("m=16,t=1,p=2"),
    );
    let [own, other] = [own, other].map(|cost| PasswordConfig {
        cost: cost.unwrap(),
        ..config(None)
    });
    let worker = Worker::new(own.clone());
    for round in 0..3_u8 {
        for config in [&other, &own] {
            let fresh = Worker::new(config.clone());
            let password = secret(&format!("ostrich {round}"));
            let hash = fresh.hash(&password, &[round; SALT_BYTES]).unwrap();
            let right = if config.cost == own.cost {
                assert_eq!(worker.hash(&password, &[round; SALT_BYTES]).unwrap(), hash);
                PasswordCheck::Right
            } else {
                PasswordCheck::Outdated
            };
            assert_eq!(worker.verify(&password, &hash).unwrap(), right);
            assert_eq!(
                worker.verify(&secret("lamp"), &hash).unwrap(),
                PasswordCheck::Wrong
            );
        }
    }
    assert_eq!(worker.memory.idle_buffers(), 1);
}
