use super::*;
use crate::rng::SystemRng;

fn ring(byte: u8, previous: Option<u8>) -> KeyRing {
    let root = |b: u8| Secret::new(vec![b; MIN_ROOT_BYTES]);
    KeyRing::new(root(byte), previous.map(root))
}

#[test]
fn a_sealed_value_needs_its_key_salt_and_place() {
    let sealed = ring(1, None).seal(
        KeyPurpose::UiaSession,
        b"salt",
        b"row 1",
        b"plain",
        &SystemRng,
    );
    let open = |ring: KeyRing, salt: &[u8], place: &[u8]| {
        ring.open(KeyPurpose::UiaSession, salt, place, &sealed)
    };
    assert_eq!(open(ring(1, None), b"salt", b"row 1").unwrap(), b"plain");
    assert_eq!(open(ring(1, None), b"salt", b"row 2"), Err(SealError));
    assert_eq!(open(ring(1, None), b"pepper", b"row 1"), Err(SealError));
    assert_eq!(open(ring(2, None), b"salt", b"row 1"), Err(SealError));
    for length in 0..sealed.len() {
        let cut = &sealed[..length];
        assert_eq!(
            ring(1, None).open(KeyPurpose::UiaSession, b"salt", b"row 1", cut),
            Err(SealError)
        );
    }
}

#[test]
fn values_of_the_previous_key_stay_valid() {
    let old = ring(1, None);
    let new = ring(2, Some(1));
    let sealed = old.seal(KeyPurpose::UiaSession, b"", b"", b"plain", &SystemRng);
    assert_eq!(
        new.open(KeyPurpose::UiaSession, b"", b"", &sealed).unwrap(),
        b"plain"
    );
    let hash = old.hash(KeyPurpose::RegistrationToken, b"token");
    assert!(new.hash_matches(KeyPurpose::RegistrationToken, b"token", &hash));
    assert!(!new.hash_matches(KeyPurpose::AppserviceToken, b"token", &hash));
    assert!(!new.hash_matches(KeyPurpose::RegistrationToken, b"other", &hash));
}

#[test]
fn both_sides_of_a_key_rotation_read_each_others_values() {
    let root = |b: u8| Secret::new(vec![b; MIN_ROOT_BYTES]);
    let before = ring(1, None).with_next(Some(root(2)));
    let after = ring(2, Some(1));
    for (writer, reader) in [(&before, &after), (&after, &before)] {
        let sealed = writer.seal(KeyPurpose::UiaSession, b"", b"", b"plain", &SystemRng);
        assert_eq!(
            reader
                .open(KeyPurpose::UiaSession, b"", b"", &sealed)
                .unwrap(),
            b"plain"
        );
        let hash = writer.hash(KeyPurpose::RegistrationToken, b"token");
        assert!(reader.hash_matches(KeyPurpose::RegistrationToken, b"token", &hash));
        assert!(
            reader
                .hashes(KeyPurpose::RegistrationToken, b"token")
                .contains(&hash)
        );
        let code = &writer.codes(KeyPurpose::ValidationToken, b"1")[0];
        assert!(
            reader
                .codes(KeyPurpose::ValidationToken, b"1")
                .contains(code)
        );
    }
    // Only the current key makes new values.
    assert_eq!(
        before.hash(KeyPurpose::ValidationSessionId, b""),
        ring(1, None).hash(KeyPurpose::ValidationSessionId, b"")
    );
}

#[test]
fn debug_output_does_not_contain_the_secret() {
    assert_eq!(
        format!("{:?}", Secret::new("hunter2".to_owned())),
        "Secret(…)"
    );
}
