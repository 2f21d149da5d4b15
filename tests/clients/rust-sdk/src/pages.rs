//! A browser without a display for the pages of the OAuth 2.0 API.

use anyhow::{Context, Result, ensure};
use matrix_sdk::reqwest::{Client, RequestBuilder};
use url::{Url, form_urlencoded::Serializer};

/// A browser. It keeps the cookie, follows redirects of the server, finds forms by the names of their fields, and reads
/// the link to the client but never opens it.
pub struct PageDriver {
    http: Client,
    cookie: Option<String>,
    url: Url,
    html: String,
}

impl PageDriver {
    /// Opens a page.
    pub async fn open(http: Client, url: Url) -> Result<Self> {
        let mut driver = Self {
            http,
            cookie: None,
            url: url.clone(),
            html: String::new(),
        };
        driver.get(url).await?;
        Ok(driver)
    }

    /// Submits the form that has all these fields. The hidden fields of the form are sent, too.
    pub async fn submit(&mut self, values: &[(&str, &str)]) -> Result<()> {
        let has = |form: &&str, name: &str| form.contains(&format!(" name=\"{name}\""));
        let mut forms = self.html.split("<form ").skip(1);
        let form = forms.find(|form| values.iter().all(|(name, _)| has(form, name)));
        let form = form.with_context(|| format!("no form has the fields: {}", self.html))?;
        let form = form.split("</form>").next().unwrap_or_default();
        let action = attribute(form, "action").context("the form has no action")?;
        let action = self.url.join(&action)?;
        let mut body = Serializer::new(String::new());
        for input in form.split("<input ").skip(1) {
            if attribute(input, "type").as_deref() == Some("hidden") {
                let name = attribute(input, "name").context("a field has no name")?;
                let value = attribute(input, "value").context("a field has no value")?;
                body.append_pair(&name, &value);
            }
        }
        body.extend_pairs(values);
        let request = self.http.post(action.clone());
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.send(action, request.body(body.finish())).await
    }

    /// Opens the link with this text.
    pub async fn follow(&mut self, text: &str) -> Result<()> {
        let end = format!(">{text}</a>");
        let mut links = self.html.split("<a ").skip(1);
        let link = links.find(|link| link.contains(&end));
        let link = link.and_then(|link| attribute(link, "href"));
        let link = link.with_context(|| format!("no link `{text}`: {}", self.html))?;
        self.get(self.url.join(&link)?).await
    }

    /// The URL of the link to the client.
    pub fn response(&self) -> Result<Url> {
        let link = self.html.split("<a id=\"continue\" ").nth(1);
        let link = link.and_then(|link| attribute(link, "href"));
        let link = link.with_context(|| format!("no link to the client: {}", self.html))?;
        Ok(Url::parse(&link)?)
    }

    async fn get(&mut self, url: Url) -> Result<()> {
        let request = self.http.get(url.clone());
        self.send(url, request).await
    }

    async fn send(&mut self, mut url: Url, mut request: RequestBuilder) -> Result<()> {
        loop {
            if let Some(cookie) = &self.cookie {
                request = request.header("cookie", cookie);
            }
            let response = request.send().await?;
            let header = |name| {
                response
                    .headers()
                    .get(name)
                    .and_then(|value| value.to_str().ok())
            };
            if let Some(cookie) = header("set-cookie") {
                self.cookie = cookie.split(';').next().map(str::to_owned);
            }
            let Some(location) = header("location") else {
                self.url = url;
                self.html = response.text().await?;
                return Ok(());
            };
            let target = url.join(location)?;
            ensure!(
                target.origin() == url.origin(),
                "a redirect leaves the server: {target}"
            );
            request = self.http.get(target.clone());
            url = target;
        }
    }
}

/// The first attribute with this name in `html`, which begins inside a tag.
fn attribute(html: &str, name: &str) -> Option<String> {
    let html = format!(" {html}");
    let (_, rest) = html.split_once(&format!(" {name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    // The templates write these character references.
    let references = [
        ("&#34;", "\""),
        ("&#38;", "&"),
        ("&#39;", "'"),
        ("&#60;", "<"),
        ("&#62;", ">"),
    ];
    let decode = |text: String, (from, to): (&str, &str)| text.replace(from, to);
    Some(references.into_iter().fold(value.to_owned(), decode))
}
