// The sites's pages.

/** A page with this in it. */
export const page = (body) =>
  `<!doctype html><meta charset="utf-8"><title>External site</title><link rel="icon" href="data:,">${body}`;

/**
 * A web client: registers with what its query says, opens the fallback page of the next stage in a window, and
 * asks again, with nothing but the session, when that window says that the stage is done.
 */
export const WEB_CLIENT = page(`
<button id="continue">Continue in a page of the server</button>
<script>
  const query = new URLSearchParams(location.search);
  const api = query.get("base") + "/_matrix/client/" + query.get("prefix");
  window.responses = [];
  window.messages = [];

  async function ask(method, path, body, token) {
    const headers = { "Content-Type": "application/json" };
    if (token) headers.Authorization = "Bearer " + token;
    const response = await fetch(api + path, { method, headers, body: body && JSON.stringify(body) });
    const { status } = response;
    return { status, body: await response.json(), retryAfter: response.headers.get("Retry-After") };
  }

  async function register(body) {
    responses.push(await ask("POST", "/register", body));
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
