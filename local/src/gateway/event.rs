//! Conversion of HTTP requests to the events of a REST API, and of the results of functions to HTTP responses.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use hyper::body::Bytes;
use serde_json::{Map, Value, json};
use shared::clock::Timestamp;

use crate::{gateway::router::Match, runtime::clock::common_log};

/// The parts of an event that are not in the HTTP request.
#[derive(Debug)]
pub struct RequestInfo<'a> {
    /// The address of the client.
    pub peer: IpAddr,
    /// The time of arrival.
    pub at: Timestamp,
    /// The request id.
    pub request_id: &'a str,
    /// The stage of the API.
    pub stage: &'a str,
}

/// The event in payload format 1.0.
pub fn event(request: &Request<Bytes>, found: &Match<'_>, info: &RequestInfo<'_>) -> Value {
    let headers = forwarded(request.headers(), info.peer);
    let (single, multi) = header_maps(&headers);
    let (query, multi_query) = query_maps(request.uri().query().unwrap_or_default());
    let path = request.uri().path();
    let method = request.method().as_str();
    let resource = &found.route.path;
    let domain = single.get("Host").cloned().unwrap_or_default();
    let body = request.body();
    json!({
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": single,
        "multiValueHeaders": multi,
        "queryStringParameters": null_if_empty(query),
        "multiValueQueryStringParameters": null_if_empty(multi_query),
        "pathParameters": if found.parameters.is_empty() { Value::Null } else { json!(found.parameters) },
        "stageVariables": null,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "deploymentId": "local",
            "domainName": domain,
            "domainPrefix": "local",
            "extendedRequestId": info.request_id,
            "httpMethod": method,
            "identity": {
                "accessKey": null,
                "accountId": null,
                "caller": null,
                "cognitoAuthenticationProvider": null,
                "cognitoAuthenticationType": null,
                "cognitoIdentityId": null,
                "cognitoIdentityPoolId": null,
                "principalOrgId": null,
                "sourceIp": info.peer.to_string(),
                "user": null,
                "userAgent": single.get("User-Agent").or_else(|| single.get("user-agent")),
                "userArn": null,
            },
            "path": format!("/{}{path}", info.stage),
            "protocol": "HTTP/1.1",
            "requestId": info.request_id,
            "requestTime": common_log(info.at),
            "requestTimeEpoch": info.at.0,
            "resourceId": "local",
            "resourcePath": resource,
            "stage": info.stage,
        },
        // Every media type of the API is binary, so every body is base64.
        "body": if body.is_empty() { Value::Null } else { json!(BASE64_STANDARD.encode(body)) },
        "isBase64Encoded": !body.is_empty(),
    })
}

/// The HTTP response for the result of a function.
pub fn response(answer: &Value) -> Result<Response<Vec<u8>>> {
    let status = answer["statusCode"].as_u64().context("no statusCode")?;
    let body = match &answer["body"] {
        Value::Null => Vec::new(),
        Value::String(text) if answer["isBase64Encoded"] == true => BASE64_STANDARD.decode(text)?,
        Value::String(text) => text.clone().into_bytes(),
        other => bail!("the body is not a string: {other}"),
    };
    let mut response = Response::new(body);
    *response.status_mut() = u16::try_from(status)?.try_into()?;
    for (name, values) in answer["multiValueHeaders"]
        .as_object()
        .into_iter()
        .flatten()
    {
        for value in values.as_array().into_iter().flatten() {
            append(response.headers_mut(), name, value)?;
        }
    }
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        if !response.headers().contains_key(name) {
            append(response.headers_mut(), name, value)?;
        }
    }
    Ok(response)
}

fn append(headers: &mut HeaderMap, name: &str, value: &Value) -> Result<()> {
    let text = value
        .as_str()
        .with_context(|| format!("the header {name} is not a string"))?;
    headers.append(HeaderName::try_from(name)?, HeaderValue::try_from(text)?);
    Ok(())
}

/// The headers of the request, with `X-Forwarded-*` as API Gateway sets them. Scheme and port of the client are
/// replaced. The address of the client is appended to its `X-Forwarded-For`.
fn forwarded(headers: &HeaderMap, peer: IpAddr) -> HeaderMap {
    let mut headers = headers.clone();
    let claimed = headers
        .get_all("x-forwarded-for")
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .chain([peer.to_string()])
        .collect::<Vec<_>>()
        .join(", ");
    if let Ok(claimed) = HeaderValue::try_from(claimed) {
        headers.insert("x-forwarded-for", claimed);
    }
    headers.insert("x-forwarded-port", HeaderValue::from_static("443"));
    headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
    if !headers.contains_key(header::HOST) {
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    }
    for hop in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        headers.remove(hop);
    }
    headers
}

/// The headers of the event: one map has the last value of each header, and the other map has all values.
fn header_maps(headers: &HeaderMap) -> (Map<String, Value>, Map<String, Value>) {
    let mut single = Map::new();
    let mut multi = Map::new();
    for name in headers.keys() {
        let values: Vec<Value> = headers
            .get_all(name)
            .iter()
            .map(|value| Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let name = match name.as_str() {
            "host" => "Host",
            "x-forwarded-for" => "X-Forwarded-For",
            "x-forwarded-port" => "X-Forwarded-Port",
            "x-forwarded-proto" => "X-Forwarded-Proto",
            other => other,
        };
        single.insert(name.to_owned(), values.last().cloned().unwrap_or_default());
        multi.insert(name.to_owned(), Value::Array(values));
    }
    (single, multi)
}

/// The decoded query parameters: one map has the last value of each parameter, and the other map has all values.
fn query_maps(query: &str) -> (Map<String, Value>, Map<String, Value>) {
    let mut single = Map::new();
    let mut multi = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = Value::String(value.into_owned());
        if let Value::Array(values) = multi.entry(name.clone()).or_insert_with(|| json!([])) {
            values.push(value.clone());
        }
        single.insert(name.into_owned(), value);
    }
    (single, multi)
}

fn null_if_empty(map: Map<String, Value>) -> Value {
    if map.is_empty() {
        Value::Null
    } else {
        Value::Object(map)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::{gateway::router, template::Template};

    fn event_of(request: &Request<Bytes>) -> Value {
        let template = Template::ours().expect("our own template parses");
        let found = router::find(&template, request.method().as_str(), request.uri().path());
        let info = RequestInfo {
            peer: Ipv4Addr::LOCALHOST.into(),
            at: Timestamp(1_709_210_096_789),
            request_id: "id",
            stage: &template.stage,
        };
        event(request, &found.expect("a route"), &info)
    }

    #[test]
    fn lambda_http_can_read_the_event_of_a_request() {
        let request =
            Request::post("/_matrix/client/r0/auth/m.login.terms/fallback/web?a=1&a=%32+x&b=%ff&c")
                .header("Host", "matrix.example.org")
                .header("X-Forwarded-For", "192.0.2.7")
                .header("X-Forwarded-Proto", "gopher")
                .body(Bytes::from_static(b"\xff{}"))
                .expect("a request");
        let event = event_of(&request);
        assert_eq!(
            event["resource"],
            "/_matrix/client/r0/auth/{type}/fallback/web"
        );
        assert_eq!(event["pathParameters"], json!({ "type": "m.login.terms" }));
        assert_eq!(
            event["requestContext"]["path"],
            "/v/_matrix/client/r0/auth/m.login.terms/fallback/web"
        );
        assert_eq!(
            event["multiValueQueryStringParameters"]["a"],
            json!(["1", "2 x"])
        );
        assert_eq!(
            event["queryStringParameters"],
            json!({ "a": "2 x", "b": "\u{fffd}", "c": "" })
        );
        assert_eq!(event["headers"]["X-Forwarded-For"], "192.0.2.7, 127.0.0.1");
        assert_eq!(event["headers"]["X-Forwarded-Proto"], "https");
        assert_eq!(event["body"], BASE64_STANDARD.encode(b"\xff{}"));

        let read =
            lambda_http::request::from_str(&event.to_string()).expect("lambda_http reads it");
        assert_eq!(read.method(), "POST");
        assert_eq!(read.headers()["host"], "matrix.example.org");
        assert_eq!(read.body().as_ref(), b"\xff{}");
    }

    #[test]
    fn headers_that_are_not_ascii_reach_the_function() {
        let request = Request::get("/_matrix/client/versions")
            .header(
                "User-Agent",
                HeaderValue::from_bytes(b"caf\xe9").expect("a value"),
            )
            .body(Bytes::new())
            .expect("a request");
        let event = event_of(&request);
        assert_eq!(event["body"], Value::Null);
        assert_eq!(event["queryStringParameters"], Value::Null);
        lambda_http::request::from_str(&event.to_string()).expect("lambda_http reads it");
    }

    #[test]
    fn a_response_has_all_headers_of_the_result() {
        let answer = json!({
            "statusCode": 303,
            "headers": { "location": "/elsewhere", "x-both": "ignored" },
            "multiValueHeaders": { "x-both": ["1", "2"] },
            "body": "aGk=",
            "isBase64Encoded": true,
        });
        let response = response(&answer).expect("a response");
        assert_eq!(
            (response.status().as_u16(), response.body().as_slice()),
            (303, b"hi".as_slice())
        );
        assert_eq!(response.headers()["location"], "/elsewhere");
        assert_eq!(response.headers().get_all("x-both").iter().count(), 2);
        assert!(super::response(&json!({ "statusCode": 99_999 })).is_err());
    }
}
