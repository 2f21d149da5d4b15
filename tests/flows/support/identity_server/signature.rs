//! Verification of the homeserver's signature: a strict parser of the header, and canonical JSON
//! that is independent of the implementation.

use std::collections::BTreeMap;

use ring::signature::{ED25519, UnparsedPublicKey};
use ruma_common::{CanonicalJsonValue, serde::Base64};
use serde_json::{Value, json};

/// The form of the signed object that the fake identity server verifies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// The form with `destination_is`, which existing identity servers verify.
    #[default]
    DestinationIs,
    /// The form with `destination`, as in the specification.
    Destination,
}

/// The parameters of an `X-Matrix` header, if it has the one form that every parser accepts.
pub(crate) fn parameters(header: &str) -> Option<BTreeMap<String, String>> {
    let rest = header.strip_prefix("X-Matrix ")?;
    let mut parameters = BTreeMap::new();
    for parameter in rest.split(',') {
        let (name, value) = parameter.split_once('=')?;
        let value = value.strip_prefix('"')?.strip_suffix('"')?;
        let plain =
            name.bytes().all(|b| b.is_ascii_lowercase()) && !value.contains([' ', '"', '\\']);
        if !plain
            || parameters
                .insert(name.to_owned(), value.to_owned())
                .is_some()
        {
            return None;
        }
    }
    let names: Vec<_> = parameters.keys().map(String::as_str).collect();
    (names == ["destination", "key", "origin", "sig"]).then_some(parameters)
}

/// Whether the header signs a request to `name` with a key that the homeserver publishes.
pub(super) fn holds(
    homeserver: &Value,
    name: &str,
    form: Form,
    uri: &str,
    header: &str,
    content: &Value,
) -> bool {
    let Some(found) = parameters(header) else {
        return false;
    };
    let form = match form {
        Form::DestinationIs => "destination_is",
        Form::Destination => "destination",
    };
    let signed = json!({
        "method": "POST", "uri": uri, "origin": found["origin"], form: name, "content": content,
    });
    let mxid = content["mxid"].as_str().unwrap_or_default();
    homeserver["server_name"] == found["origin"]
        && found["destination"] == name
        && mxid.ends_with(&format!(":{}", found["origin"]))
        && verifies(
            &homeserver["verify_keys"][&found["key"]]["key"],
            &found["sig"],
            &signed,
        )
}

/// Whether `signature` is the signature of an object by a key, both in base64.
pub(crate) fn verifies(key: &Value, signature: &str, object: &Value) -> bool {
    let mut object = object.clone();
    if let Some(members) = object.as_object_mut() {
        members.remove("signatures");
    }
    let (Some(key), Ok(object)) = (key.as_str(), CanonicalJsonValue::try_from(object)) else {
        return false;
    };
    let (Ok(key), Ok(signature)) = (<Base64>::parse(key), <Base64>::parse(signature)) else {
        return false;
    };
    UnparsedPublicKey::new(&ED25519, key.as_bytes())
        .verify(object.to_string().as_bytes(), signature.as_bytes())
        .is_ok()
}
