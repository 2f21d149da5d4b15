//! Password hashes in the notations of other servers, rewritten in the one notation that is stored.
//!
//! LDAP, Dovecot and Spring write a scheme in braces before a hash, Django writes the name of its class. Django,
//! Werkzeug and Keycloak write PBKDF2 hashes in notations of their own. No error message contains the hash.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD},
};
use serde_json::Value;
use shared::passwords;

/// Rewrites and checks a hash.
pub(crate) fn parse(text: &str) -> Result<String, String> {
    let text = text.trim();
    let hash = if text.starts_with('{') && text.ends_with('}') {
        let credential = serde_json::from_str(text);
        let credential: Value = credential.map_err(|_| KEYCLOAK.to_owned())?;
        from_keycloak(&credential)?
    } else {
        rewritten(text)?
    };
    passwords::check_hash_format(&hash).map_err(|error| error.to_string())?;
    Ok(hash)
}

fn rewritten(text: &str) -> Result<String, String> {
    if let Some((scheme, hash)) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        return from_braces(scheme, hash);
    }
    let (start, rest) = text.split_once('$').unwrap_or((text, ""));
    match start {
        // A hash in the notation that is stored.
        "" => Ok(text.to_owned()),
        "argon2" => Ok(format!("${rest}")),
        // Django writes two dollar signs.
        "bcrypt" => Ok(format!("${}", rest.trim_start_matches('$'))),
        "bcrypt_sha256" => Err(
            "the password hash is bcrypt of SHA-256 (Django's bcrypt_sha256), which is not supported; \
             import the user without it, and let the user reset the password"
                .to_owned(),
        ),
        "pbkdf2_sha256" | "pbkdf2_sha512" => from_django(&start["pbkdf2_".len()..], rest),
        _ => match start.strip_prefix("pbkdf2:") {
            Some(params) => from_werkzeug(params, rest),
            None => Ok(text.to_owned()),
        },
    }
}

/// `{BLF-CRYPT}$2y$…`, `{bcrypt}$2a$…`, `{ARGON2ID}$argon2id$…`, `{PBKDF2-SHA256}29000$salt$hash`.
fn from_braces(scheme: &str, hash: &str) -> Result<String, String> {
    let name = scheme.to_ascii_lowercase();
    let name = name.split('@').next().unwrap_or_default();
    match name {
        "bcrypt" | "blf-crypt" | "crypt" | "argon2" | "argon2id" if hash.starts_with('$') => {
            Ok(hash.to_owned())
        }
        "pbkdf2-sha256" | "pbkdf2-sha512" => {
            Ok(format!("${name}${}", hash.trim_start_matches('$')))
        }
        _ => {
            let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            let shown = if scheme.len() <= 32 && scheme.bytes().all(is_name) {
                scheme
            } else {
                "…"
            };
            Err(format!(
                "the password hash has the scheme `{{{shown}}}`, which is not supported; supported are {{BCRYPT}}, \
                 {{BLF-CRYPT}}, {{CRYPT}} with bcrypt, {{ARGON2}}, {{ARGON2ID}}, {{PBKDF2-SHA256}} and {{PBKDF2-SHA512}}"
            ))
        }
    }
}

/// `rounds$salt$hash`, where the salt is text and the hash is Base64.
fn from_django(digest: &str, rest: &str) -> Result<String, String> {
    let parts: Vec<&str> = rest.split('$').collect();
    let [rounds, salt, hash] = parts[..] else {
        return Err(malformed("Django"));
    };
    let salt = BASE64_STANDARD_NO_PAD.encode(salt);
    let hash = hash.trim_end_matches('=');
    Ok(format!("$pbkdf2-{digest}${rounds}${salt}${hash}"))
}

/// `pbkdf2:sha256:rounds$salt$hash`, where the salt is text and the hash is hexadecimal.
fn from_werkzeug(params: &str, rest: &str) -> Result<String, String> {
    let (digest, rounds) = params.split_once(':').unwrap_or((params, ""));
    let parts = rest.split_once('$');
    let bytes = parts.and_then(|(salt, hash)| Some((salt, from_hex(hash)?)));
    let (Some((salt, hash)), true) = (bytes, ["sha256", "sha512"].contains(&digest)) else {
        return Err(malformed("Werkzeug"));
    };
    let salt = BASE64_STANDARD_NO_PAD.encode(salt);
    let hash = BASE64_STANDARD_NO_PAD.encode(hash);
    Ok(format!("$pbkdf2-{digest}${rounds}${salt}${hash}"))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        (pair.len() == 2 && !pair.starts_with('+')).then(|| u8::from_str_radix(pair, 16).ok())?
    });
    bytes.collect()
}

fn malformed(server: &str) -> String {
    format!("the password hash is not well-formed in the notation of {server}")
}

const KEYCLOAK: &str = "the password hash is not a credential of Keycloak with `secretData` and `credentialData`, with the \
     algorithm pbkdf2-sha256, pbkdf2-sha512 or argon2 (argon2id)";

/// A credential of a Keycloak export: `secretData` and `credentialData`, each a JSON object or its text.
pub(super) fn from_keycloak(credential: &Value) -> Result<String, String> {
    keycloak_hash(credential).ok_or_else(|| KEYCLOAK.to_owned())
}

fn keycloak_hash(credential: &Value) -> Option<String> {
    let member = |name: &str| match credential.get(name)? {
        Value::String(text) => serde_json::from_str(text).ok(),
        other => Some(other.clone()),
    };
    let (secret, data): (Value, Value) = (member("secretData")?, member("credentialData")?);
    let bytes = |name: &str| {
        let text = secret.get(name)?.as_str()?;
        let bytes = BASE64_STANDARD.decode(text).ok()?;
        Some(BASE64_STANDARD_NO_PAD.encode(bytes))
    };
    let (salt, hash) = (bytes("salt")?, bytes("value")?);
    let rounds = data.get("hashIterations")?.as_u64()?;
    match data.get("algorithm")?.as_str()? {
        name @ ("pbkdf2-sha256" | "pbkdf2-sha512") => {
            Some(format!("${name}${rounds}${salt}${hash}"))
        }
        "argon2" => {
            let parameter = |name: &str| {
                let value = data.get("additionalParameters")?.get(name)?;
                let value = value
                    .as_array()
                    .map_or(Some(value), |values| values.first())?;
                value.as_str()
            };
            let number = |name: &str| parameter(name)?.parse::<u32>().ok();
            if (parameter("type")?, parameter("version")?) != ("id", "1.3") {
                return None;
            }
            let (memory, lanes) = (number("memory")?, number("parallelism")?);
            Some(format!(
                "$argon2id$v=19$m={memory},t={rounds},p={lanes}${salt}${hash}"
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BCRYPT: &str = "$2b$04$.LsJnLhDQre2rTGMNnvhNuE0kjlX02e0N7ugdlnyx3724o6u2BURa";
    const ARGON2: &str = "$argon2id$v=19$m=8,t=1,p=1$vtveTBIPyY237Fx9CLby9Q$37O1eGfTlEKXyGmwLrB7ATulU/1w0oS4ngAjWZI0rx0";

    #[test]
    fn prefixes_of_other_servers_are_removed() {
        for scheme in [
            "{bcrypt}",
            "{BCRYPT}",
            "{CRYPT}",
            "{BLF-CRYPT}",
            "bcrypt",
            "bcrypt$",
            "",
        ] {
            assert_eq!(
                parse(&format!("{scheme}{BCRYPT}")).as_deref(),
                Ok(BCRYPT),
                "{scheme}"
            );
        }
        for scheme in [
            "{ARGON2}",
            "{argon2}",
            "{argon2@SpringSecurity_v5_8}",
            "{ARGON2ID}",
            "argon2",
            " ",
        ] {
            assert_eq!(
                parse(&format!("{scheme}{ARGON2}")).as_deref(),
                Ok(ARGON2),
                "{scheme}"
            );
        }
    }

    #[test]
    fn notations_of_other_servers_are_rewritten() {
        let hash = "7cmLV9TKaDBXTTsrB9eyBTuyTyvKAehaJHynEDkHXEA";
        let rewritten = format!("$pbkdf2-sha256$1000$c2FsdHNhbHQ${hash}");
        let bytes = BASE64_STANDARD_NO_PAD.decode(hash).unwrap();
        let hexadecimal = bytes
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let secret = json!({ "value": format!("{hash}="), "salt": "c2FsdHNhbHQ=", "additionalParameters": {} });
        let data = json!({ "hashIterations": 1000, "algorithm": "pbkdf2-sha256", "additionalParameters": {} });
        for text in [
            format!("pbkdf2_sha256$1000$saltsalt${hash}="),
            format!("pbkdf2:sha256:1000$saltsalt${hexadecimal}"),
            format!("{{PBKDF2-SHA256}}1000$c2FsdHNhbHQ${hash}"),
            json!({ "type": "password", "secretData": secret.to_string(), "credentialData": data.to_string() }).to_string(),
            json!({ "secretData": secret, "credentialData": data }).to_string(),
        ] {
            assert_eq!(parse(&text).as_deref(), Ok(rewritten.as_str()), "{text}");
        }
        let data = json!({
            "hashIterations": 5, "algorithm": "argon2",
            "additionalParameters": { "hashLength": ["32"], "memory": ["7168"], "type": ["id"], "version": ["1.3"], "parallelism": ["1"] },
        });
        let secret = json!({ "value": format!("{hash}="), "salt": "c2FsdHNhbHQ=" });
        let argon2 =
            parse(&json!({ "secretData": secret, "credentialData": data }).to_string()).unwrap();
        assert_eq!(
            argon2,
            format!("$argon2id$v=19$m=7168,t=5,p=1$c2FsdHNhbHQ${hash}")
        );
    }

    #[test]
    fn the_error_names_the_scheme_but_not_the_hash() {
        for (text, named) in [
            ("{SSHA}c2VjcmV0", "{SSHA}"),
            ("{SHA512-CRYPT}$6$c2VjcmV0", "{SHA512-CRYPT}"),
            ("{CRYPT}c2VjcmV0", "{CRYPT}"),
            ("bcrypt_sha256$$2b$12$c2VjcmV0", "bcrypt_sha256"),
            ("pbkdf2_sha256$c2VjcmV0", "Django"),
            ("pbkdf2:sha1:1000$c2VjcmV0$c2VjcmV0", "Werkzeug"),
            ("{\"secretData\":\"c2VjcmV0\"}", "Keycloak"),
            ("pbkdf2_sha1$1000$c2VjcmV0$c2VjcmV0", "not supported"),
            ("$wp$2y$10$c2VjcmV0", "not supported"),
            ("$6$c2VjcmV0", "not supported"),
            ("c2VjcmV0", "not supported"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.contains(named) && !error.contains("c2VjcmV0"),
                "{text}: {error}"
            );
        }
    }
}
