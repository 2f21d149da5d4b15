"""nginx and Caddy with the configurations of docs/homeserver.md in front of both servers."""

import re

from processes import REPOSITORY, Process

NGINX = """\
daemon off;
# One process without worker processes, so that it runs as the current user.
master_process off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/nginx-body;
    proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    server {{
        listen 127.0.0.1:{port};
        server_name matrix.example.org;
{locations}
    }}
}}
"""


def documented(language, count=1):
    """The first `count` blocks of code in this language in docs/homeserver.md."""
    page = (REPOSITORY / "docs/homeserver.md").read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= count, f"docs/homeserver.md has {len(blocks)} blocks of {language}"
    return "\n".join(blocks[:count])


def local(configuration, gatehouse, synapse):
    """The configuration with the addresses of the local servers, which have no TLS."""
    changes = {
        "https://": "http://",
        "accounts.example.org": f"127.0.0.1:{gatehouse.port}",
        "localhost:8008": f"127.0.0.1:{synapse.port}",
    }
    for documented_text, local_text in changes.items():
        assert documented_text in configuration, documented_text
        configuration = configuration.replace(documented_text, local_text)
    return configuration


class Nginx(Process):
    """nginx with both location blocks of the page."""

    name = "nginx"

    def __init__(self, directory, port, gatehouse, synapse):
        super().__init__(directory, port)
        locations = local(documented("nginx", 2), gatehouse, synapse)
        text = NGINX.format(directory=directory, port=port, locations=locations)
        (self.directory / "nginx.conf").write_text(text)

    def command(self):
        return ["nginx", "-p", self.directory, "-e", "stderr", "-c", self.directory / "nginx.conf"]


class Caddy(Process):
    """Caddy with the site of the page."""

    name = "caddy"

    def __init__(self, directory, port, gatehouse, synapse):
        super().__init__(directory, port)
        site = local(documented("caddyfile"), gatehouse, synapse)
        assert site.startswith("matrix.example.org {"), site
        site = site.replace("matrix.example.org {", f"http://127.0.0.1:{port} {{", 1)
        (self.directory / "Caddyfile").write_text("{\n    admin off\n}\n" + site)

    def command(self):
        return ["caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"]

    def environment(self):
        # Caddy stores certificates and a copy of its configuration below these directories.
        return {**super().environment(), "XDG_DATA_HOME": str(self.directory), "XDG_CONFIG_HOME": str(self.directory)}
