//! A page: its forms, its links, and the response that it takes to a client.

use std::collections::BTreeMap;

use shared::http::Query;
use test_support::{Reply, TestServer};

/// A page.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// The response.
    pub(crate) reply: Reply,
    /// The HTML.
    pub(crate) text: String,
    /// The public URL of the server.
    public_url: String,
}

/// A form of a page.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    /// The path that it posts to.
    pub(crate) action: String,
    /// The fields with their values. A button has no value here.
    pub(crate) fields: Vec<(String, String)>,
}

impl Form {
    /// The form with these values in place of its own.
    pub(crate) fn with(mut self, values: &[(&str, &str)]) -> Self {
        for (name, value) in values {
            self.fields.retain(|(own, _)| own != name);
            self.fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        self
    }

    /// The value of a field.
    pub(crate) fn value(&self, name: &str) -> &str {
        let mut fields = self.fields.iter();
        let found = fields.find(|(own, _)| own == name);
        found.map_or("", |(_, value)| value)
    }
}

impl Page {
    pub(super) fn new(server: &TestServer, reply: Reply) -> Self {
        Self {
            text: reply.text(),
            reply,
            public_url: server.local.config().public_url.clone(),
        }
    }

    /// The issuer of responses.
    pub(crate) fn issuer(&self) -> String {
        format!("{}/", self.public_url)
    }

    /// The path without the path of the public URL.
    fn local_path(&self, path: &str) -> String {
        assert!(path.starts_with('/'), "not a path of this server: {path}");
        let (_, url) = self.public_url.split_once("://").unwrap();
        let base = url.find('/').map_or("", |start| &url[start..]);
        path.strip_prefix(base).unwrap().to_owned()
    }

    /// The path of a redirect. Asserts that it stays on this server and repeats no form (OA-52, OA-53).
    pub(crate) fn location(&self) -> Option<String> {
        let location = self.reply.headers.get("location")?.to_str().unwrap();
        assert_eq!(self.reply.status, 303, "OA-53");
        Some(self.local_path(location))
    }

    /// Asserts the status and returns the page.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.reply.status, status, "{}", self.text);
        self
    }

    /// Asserts the headers of a page, and that it loads and runs nothing (OA-50, OA-51, OA-71).
    #[track_caller]
    pub(crate) fn assert_protected(&self) {
        let header = |name| {
            let mut values = self.reply.headers.get_all(name).iter();
            let value = values.next().map(|value| value.to_str().unwrap());
            assert!(values.next().is_none(), "{name} twice");
            value.unwrap_or_default().to_owned()
        };
        let policy = header("content-security-policy");
        let mut directives: Vec<_> = policy.split(';').map(str::trim).collect();
        directives.retain(|directive| !directive.starts_with("style-src 'sha256-"));
        directives.sort_unstable();
        let expected = [
            "base-uri 'none'",
            "default-src 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ];
        assert_eq!(directives, expected, "OA-50: {policy}");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "same-origin", "OA-51");
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        let names = self.reply.headers.keys();
        let cors = names.filter(|name| name.as_str().starts_with("access-control-"));
        assert_eq!(cors.count(), 0, "{:?}", self.reply.headers);
        for tag in ["<script", "<img", "<link", "<iframe", " style=", " onclick"] {
            assert!(!self.text.contains(tag), "{tag}: {}", self.text);
        }
        assert!(self.text.contains("<html lang=\"en\">"), "OA-71");
        for input in self.text.split("<input ").skip(1) {
            let input = input.split('>').next().unwrap();
            let is_labelled = input.contains("type=\"hidden\"") || input.contains("autocomplete=");
            assert!(is_labelled, "OA-71: {input}");
            if let Some((_, id)) = input.split_once("id=\"") {
                let id = id.split('"').next().unwrap();
                assert!(
                    self.text.contains(&format!("<label for=\"{id}\">")),
                    "OA-71: {id}"
                );
            }
        }
    }

    /// The form whose path ends like this.
    #[track_caller]
    pub(crate) fn form(&self, action: &str) -> Form {
        let found = self.find_form(action);
        found.unwrap_or_else(|| panic!("no form for {action}: {}", self.text))
    }

    /// The form whose path ends like this, if the page has one.
    pub(crate) fn find_form(&self, action: &str) -> Option<Form> {
        let forms = self.text.split("<form ").skip(1);
        forms
            .map(|text| text.split("</form>").next().unwrap())
            .map(|text| Form {
                action: self.local_path(&attribute(text, "action").unwrap()),
                fields: text
                    .split("<input ")
                    .skip(1)
                    .map(|input| input.split('>').next().unwrap())
                    .map(|input| {
                        let value = |name| attribute(input, name).unwrap_or_default();
                        (value("name"), value("value"))
                    })
                    .collect(),
            })
            .find(|form| form.action.ends_with(action))
    }

    /// The URL of the link with this text.
    pub(crate) fn link(&self, text: &str) -> Option<String> {
        let mut links = self.text.split("<a ").skip(1);
        let link = links.find(|link| link.split("</a>").next().unwrap().ends_with(text))?;
        attribute(link, "href")
    }

    /// The URL of the link to the client, if the page has one (OA-52).
    pub(crate) fn continue_url(&self) -> Option<String> {
        let mut links = self.text.split("<a ").skip(1);
        let link = links.find(|link| attribute(link, "id").as_deref() == Some("continue"))?;
        attribute(link, "href")
    }

    /// The parameters that the link takes to the client.
    #[track_caller]
    pub(crate) fn response(&self) -> BTreeMap<String, String> {
        let url = self.continue_url();
        let url = url.unwrap_or_else(|| panic!("no link to the client: {}", self.text));
        let start = url.find('#').or(url.find('?')).unwrap();
        let query = Query::parse(&url.as_bytes()[start + 1..]);
        let pairs = query.pairs();
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// The URL that the page opens by itself, if it does.
    pub(crate) fn refresh(&self) -> Option<String> {
        let (_, meta) = self.text.split_once("http-equiv=\"refresh\" ")?;
        let content = attribute(meta, "content").unwrap();
        Some(content.strip_prefix("0;url=").unwrap().to_owned())
    }
}

/// The value of an attribute in the text of a tag.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = tag.split('>').next()?;
    let start = tag.find(&format!("{name}=\""))? + name.len() + 2;
    let value = tag[start..].split('"').next()?;
    let plain = [
        ("&#38;", "&"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
    ];
    let value = plain
        .iter()
        .rev()
        .fold(value.to_owned(), |value, (code, plain)| {
            value.replace(code, plain)
        });
    Some(value)
}
