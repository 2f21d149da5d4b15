"""An unchanged Synapse that uses Gatehouse for all accounts."""

import os
import secrets
import sqlite3

from processes import Process, request

CONFIGURATION = """\
server_name: {server_name}
public_baseurl: {public_url}/
pid_file: {directory}/synapse.pid
listeners:
  - port: {port}
    bind_addresses: [127.0.0.1]
    type: http
    x_forwarded: true
    resources:
      - names: [client, federation]
database:
  name: sqlite3
  args:
    database: {directory}/homeserver.db
log_config: {directory}/synapse-log.yaml
media_store_path: {directory}/media
signing_key_path: {directory}/signing.key
trusted_key_servers: []
report_stats: false
matrix_authentication_service:
  enabled: true
  endpoint: {gatehouse_url}/
  secret: {secret}
macaroon_secret_key: {secret}
app_service_config_files: [{directory}/bridge.yaml]
# The tests send more requests than the default rate limits allow.
rc_message: {unlimited}
rc_joins:
  local: {unlimited}
rc_invites:
  per_room: {unlimited}
  per_user: {unlimited}
  per_issuer: {unlimited}
"""

# An application service with an exclusive namespace.
BRIDGE = """\
id: bridge
url: null
as_token: {token}
hs_token: unused
sender_localpart: bridge-bot
namespaces:
  users:
    - exclusive: true
      regex: '@bridge-.*'
  aliases: []
  rooms: []
"""

UNLIMITED = "{per_second: 1000, burst_count: 1000}"

# One line for each request, and every warning.
LOG_CONFIGURATION = """\
version: 1
formatters:
  plain:
    format: '%(asctime)s %(levelname)s %(message)s'
handlers:
  console:
    class: logging.StreamHandler
    formatter: plain
loggers:
  synapse.access.http:
    level: INFO
root:
  level: WARNING
  handlers: [console]
disable_existing_loggers: false
"""


class Synapse(Process):
    """One Synapse process with a SQLite database, which a restart keeps."""

    name = "synapse"

    def __init__(self, directory, port, *, server_name, secret, signing_key, public_url, gatehouse_url):
        super().__init__(directory, port)
        self.server_name = server_name
        self.secret = secret
        self.database = self.directory / "homeserver.db"
        (self.directory / "homeserver.yaml").write_text(
            CONFIGURATION.format(
                directory=directory,
                port=port,
                server_name=server_name,
                secret=secret,
                public_url=public_url,
                gatehouse_url=gatehouse_url,
                unlimited=UNLIMITED,
            )
        )
        self.bridge_token = secrets.token_hex(16)
        (self.directory / "bridge.yaml").write_text(BRIDGE.format(token=self.bridge_token))
        (self.directory / "synapse-log.yaml").write_text(LOG_CONFIGURATION)
        (self.directory / "signing.key").write_text(f"{signing_key}\n")

    def command(self):
        return [os.environ["SYNAPSE_PYTHON"], "-m", "synapse.app.homeserver", "--config-path", "homeserver.yaml"]

    async def mas(self, method, call, body=None, **params):
        """Calls `/_synapse/mas/<call>`, as Gatehouse does."""
        return await request(method, f"{self.url}/_synapse/mas/{call}", body, self.secret, params)

    async def query_user(self, localpart):
        """The user at Synapse, or None."""
        response = await self.mas("GET", "query_user", localpart=localpart)
        return None if response.status == 404 else response.ok()

    def rows(self, statement, *values):
        """Reads data from Synapse's database that no call returns."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10) as database:
            return database.execute(statement, values).fetchall()

    def devices(self, localpart):
        """The display names of the user's devices by device ID."""
        statement = "SELECT device_id, display_name FROM devices WHERE user_id = ? AND NOT hidden"
        return dict(self.rows(statement, f"@{localpart}:{self.server_name}"))

    def emails(self, localpart):
        """The e-mail addresses of the user."""
        statement = "SELECT address FROM user_threepids WHERE medium = 'email' AND user_id = ? ORDER BY address"
        return [address for (address,) in self.rows(statement, f"@{localpart}:{self.server_name}")]
