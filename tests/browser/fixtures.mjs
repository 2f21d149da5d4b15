// The fixtures of every browser test.

import { withServer } from "../clients/gatehouse-server.mjs";
import { withBrowserUser } from "./browser-user.mjs";
import { withExternalSites } from "./external-sites.mjs";

/**
 * Starts the external sites, a server with these settings and a browser user, and passes them to `run`. The settings are
 * a function of the external sites, because they may contain URLs of those.
 */
export function withFixtures(settings, run, options) {
  return withExternalSites((sites) =>
    withServer({ GATEHOUSE_LIMITS: "off", ...settings(sites) }, (server) =>
      withBrowserUser(options, (user) => run({ sites, server, user })),
    ),
  );
}
