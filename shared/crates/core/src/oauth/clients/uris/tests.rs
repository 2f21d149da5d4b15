use super::*;

fn host(text: &str) -> ClientHost {
    parse_client_uri(text).unwrap()
}

#[test]
fn oa_12_a_client_uri_is_a_public_https_url() {
    for good in [
        "https://element.io",
        "https://element.io/apps/android",
        "https://fluffychat.im",
        "https://github.com/matrix-org/matrix-rust-sdk",
        "https://App.Example.COM:8443/a?b=%20",
        "https://xn--bcher-kva.example/",
        "https://1.example.org",
    ] {
        assert!(parse_client_uri(good).is_some(), "{good}");
    }
    let long_host = format!("https://{}example.org", "a.".repeat(130));
    for bad in [
        "",
        "https://",
        "http://example.org",
        "ftp://example.org",
        "example.org",
        "//example.org",
        "HTTPS://example.org",
        "Https://example.org",
        "https:example.org",
        "https:/example.org",
        "https:///example.org",
        "https://example",
        "https://localhost",
        "https://app.localhost",
        "https://example.org.",
        "https://.example.org",
        "https://user@example.org",
        "https://user:password@example.org",
        "https://example.com\\@example.org",
        "https://example.org#part",
        "https://example.org/#",
        "https://127.0.0.1",
        "https://127.1",
        "https://0x7f.0x1",
        "https://example.0x7f",
        "https://2130706433",
        "https://[::1]",
        "https://[2001:db8::1]/",
        "https://example.org:",
        "https://example.org:port",
        "https://example.org:65536",
        "https://example.org:+1",
        "https://exa mple.org",
        "https://example.org/\n",
        "https://example.org/%",
        "https://example.org/%2",
        "https://example.org/%zz",
        "https://exa%6dple.org",
        "https://b\u{fc}cher.example",
        "https://exam_ple.org",
        " https://example.org",
        &long_host,
    ] {
        assert!(parse_client_uri(bad).is_none(), "{bad}");
    }
}

#[test]
fn oa_13_a_page_has_the_host_of_the_client_or_a_subdomain() {
    let client = host("https://example.com/app");
    for own in [
        "https://example.com",
        "https://EXAMPLE.com:444/terms?a=b#part",
        "https://app.example.com/logo.png",
        "https://a.b.example.com/",
    ] {
        assert!(is_own_page(own, &client), "{own}");
    }
    for foreign in [
        "https://evilexample.com",
        "https://example.com.evil.org",
        "https://example.org",
        "https://com",
        "http://example.com",
        "https://user@example.com",
        "https://evil.org/example.com",
        "https://evil.org?example.com",
        "https://evil.org#.example.com",
        "https://evil.org\\.example.com",
        "javascript:alert(1)//example.com",
        "data:text/html,example.com",
    ] {
        assert!(!is_own_page(foreign, &client), "{foreign}");
    }
    let below = host("https://app.example.com");
    assert!(!is_own_page("https://example.com", &below), "a parent");
}

#[test]
fn oa_14_a_redirect_uri_is_absolute_short_and_without_fragment() {
    let client = host("https://example.com");
    let of_length = |length: usize| {
        let start = "https://example.com/";
        format!("{start}{}", "a".repeat(length - start.len()))
    };
    assert!(is_web_redirect(&of_length(2048), &client));
    for bad in [
        &of_length(2049),
        "",
        "/callback",
        "callback",
        "https://example.com/#",
        "https://example.com/#a",
        "https://user@example.com/",
        "com.example:/#a",
        "http://user@localhost/",
        "http://localhost/#a",
    ] {
        assert!(!is_web_redirect(bad, &client), "{bad}");
        assert!(!is_native_redirect(bad, &client, true), "{bad}");
    }
}

#[test]
fn oa_15_a_web_client_has_https_redirects_of_its_host() {
    let client = host("https://example.com");
    for own in [
        "https://example.com",
        "https://example.com/callback?no_universal_links=true",
        "https://app.example.com:8443/",
    ] {
        assert!(is_web_redirect(own, &client), "{own}");
        assert!(is_native_redirect(own, &client, true), "{own}");
    }
    for foreign in [
        "http://example.com/",
        "https://evilexample.com/",
        "com.example.app:/",
        "http://localhost/",
        "http://127.0.0.1/",
    ] {
        assert!(!is_web_redirect(foreign, &client), "{foreign}");
    }
}

/// OA-16: a native client may have all three kinds.
#[test]
fn oa_17_a_private_use_scheme_begins_with_the_reversed_host() {
    let element = host("https://element.io/apps/android");
    for own in [
        "io.element.android:/",
        "io.element.android.debug:/",
        "io.element.desktop:/vector/webapp/?no_universal_links=true",
        "io.element:callback",
        "IO.Element.Android:/",
        "io.element.app+x-1:/a",
    ] {
        assert!(is_native_redirect(own, &element, true), "{own}");
    }
    let client = host("https://example.com");
    for foreign in [
        "com.examplevil:/",
        "com.example-evil:/",
        "com.example.app://x",
        "com.example.app://",
        "com.example.app:///x",
        "com.example..app:/",
        "com.example.:/",
        ".com.example:/",
        "com:/",
        "example.com:/",
        "app.com.example:/",
        "javascript:alert(1)",
        "data:text/html,x",
        "myapp:/",
        "com.example.app",
        "com.example.app:/a b",
        "com.example.app:/\\",
    ] {
        assert!(!is_native_redirect(foreign, &client, true), "{foreign}");
    }
    let below = host("https://app.example.com");
    assert!(!is_native_redirect("com.example:/", &below, true));
    assert!(is_native_redirect("com.example.app.ios:/", &below, true));
}

#[test]
fn oa_20_a_loopback_redirect_has_one_of_three_hosts() {
    let client = host("https://example.com");
    for own in [
        "http://localhost/callback",
        "http://127.0.0.1",
        "http://[::1]/",
        "http://localhost/?a=b",
    ] {
        assert!(is_native_redirect(own, &client, false), "{own}");
    }
    for foreign in [
        "http://127.0.0.2/",
        "http://localhost./",
        "http://0.0.0.0/",
        "https://localhost/",
        "https://127.0.0.1/",
        "http://LOCALHOST/",
        "http://127.1/",
        "http://[::]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://localhost.example.com/",
        "http://localhost:80@evil.org/",
        "http://evil.org/localhost",
        "http://localhost\\.evil.org/",
        "http:localhost/",
        "http:/localhost/",
    ] {
        assert!(!is_native_redirect(foreign, &client, true), "{foreign}");
    }
}

#[test]
fn oa_21_a_loopback_port_is_a_choice_of_the_operator() {
    let client = host("https://fluffychat.im");
    for uri in [
        "http://localhost:3001/login",
        "http://127.0.0.1:0/",
        "http://[::1]:65535",
    ] {
        assert!(is_native_redirect(uri, &client, true), "{uri}");
        assert!(!is_native_redirect(uri, &client, false), "{uri}");
    }
    for bad in [
        "http://localhost:/",
        "http://localhost:65536/",
        "http://[::1]:x/",
    ] {
        assert!(!is_native_redirect(bad, &client, true), "{bad}");
    }
}
