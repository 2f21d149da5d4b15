// HTML pages of the external sites.

/** Returns an HTML page with this body. */
export const page = (body) =>
  `<!doctype html><meta charset="utf-8"><title>External site</title><link rel="icon" href="data:,">${body}`;

/**
 * A web client. It registers with the parameters of its query string and opens the fallback page of the next stage in a
 * new window. When that window reports that the stage is complete, it repeats the request with only the UIA session.
 */
export const WEB_CLIENT = page(`
<button id="continue">Continue on the fallback page</button>
<script>
  const query = new URLSearchParams(location.search);
  const api = query.get("base") + "/_matrix/client/" + query.get("prefix");
  window.responses = [];
  window.messages = [];

  async function request(method, path, body, token) {
    const headers = { "Content-Type": "application/json" };
    if (token) headers.Authorization = "Bearer " + token;
    const response = await fetch(api + path, { method, headers, body: body && JSON.stringify(body) });
    const { status } = response;
    return { status, body: await response.json(), retryAfter: response.headers.get("Retry-After") };
  }

  async function register(body) {
    responses.push(await request("POST", "/register", body));
  }

  addEventListener("message", (event) => {
    messages.push({ data: event.data, origin: event.origin });
    if (event.data === "authDone") register({ auth: { session: responses[0].body.session } });
  });

  document.getElementById("continue").onclick = () => {
    const { session, completed, flows } = responses.at(-1).body;
    const stage = flows[0].stages.find((stage) => !completed.includes(stage));
    open(api + "/auth/" + encodeURIComponent(stage) + "/fallback/web?session=" + encodeURIComponent(session));
  };

  register(JSON.parse(query.get("parameters")));
</script>`);
